"""Files of the store: written whole or not at all, whatever fails, and checksummed."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lib.errors import ConfigError
from lib.run import files
from lib.run.files import (
    DamagedRun,
    StoreError,
    appears,
    check_writable,
    local_path,
    read_with_digest,
    write_atomically,
    write_with_digest,
)


def test_write_atomically_replaces_the_content_and_leaves_nothing_else(tmp_path):
    for content in (b"old", b"newer"):
        write_atomically(tmp_path / "deep" / "file", content)
        assert (tmp_path / "deep" / "file").read_bytes() == content
    assert os.listdir(tmp_path / "deep") == ["file"]
    (tmp_path / "other").touch()
    assert (tmp_path / "deep" / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_paths_are_those_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert local_path("~/a", "data_dir") == local_path(Path("a"), "data_dir") == tmp_path / "a"
    for address in ("s3://bucket/a", Path("gs://bucket"), "file:/a"):
        with pytest.raises(ConfigError, match=r"^data_dir must be a path on this machine, got the address "):
            local_path(address, "data_dir")
    with pytest.raises(ConfigError, match=r"^data_dir must be a path on this machine, got ~nobody-of-that-name/a, "):
        local_path("~nobody-of-that-name/a", "data_dir")


def test_folder_that_cannot_be_written_is_told_before_it_is_needed(tmp_path):
    check_writable(tmp_path / "new" / "folder", "results_dir")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^results_dir must be a writable folder, got .*folder$"):
        check_writable(tmp_path / "file" / "folder", "results_dir")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_write_atomically_failure_is_one_line_and_leaves_the_old_content(tmp_path, monkeypatch, step):
    write_atomically(tmp_path / "file", b"old")

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, step, fail)
        with pytest.raises(StoreError) as caught:
            write_atomically(tmp_path / "file", b"newer")
    assert str(caught.value).startswith(
        f"cannot write {tmp_path / 'file'}: {os.strerror(errno.ENOSPC)}; choose another"
    )
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_write_atomically_syncs_before_it_renames(tmp_path, monkeypatch):
    steps = []
    for name in ("fsync", "replace"):
        function = getattr(os, name)
        monkeypatch.setattr(files.os, name, lambda *a, n=name, f=function: (steps.append(n), f(*a))[1])
    write_atomically(tmp_path / "file", b"content")
    assert steps == ["fsync", "replace"]


def test_digest_tells_a_bit_of_arrays_and_metadata(tmp_path):
    path = tmp_path / "file.safetensors"
    write_with_digest(path, {"a": np.arange(3.0), "b": np.zeros((0, 2), np.int64)}, {"epoch": "1"})
    arrays, metadata = read_with_digest(path)
    np.testing.assert_array_equal(arrays["a"], [0, 1, 2])
    assert arrays["b"].shape == (0, 2)
    assert metadata["epoch"] == "1"
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(DamagedRun, match=r"^file\.safetensors"):
            read_with_digest(path)


def test_file_appears_late_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "file"
    assert not appears(path, 0.1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(appears, path, 60)
        path.parent.mkdir()
        path.touch()
        assert waiting.result()
