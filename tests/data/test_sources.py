"""Published datasets: where they are looked for, and downloads that keep all files or none."""

import shutil
from pathlib import Path
from urllib.error import URLError

import pytest

from lib.data import sources
from lib.data.formats import DatasetError
from lib.data.sources import SOURCES, data_root, find


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(sources, "fetch", refuse)


def fails(name: str, root: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        find(name, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "fashion_mnist"])  # it may be on this machine
def test_missing_without_network(tmp_path: Path, name: str) -> None:
    line = fails(name, tmp_path)
    source = SOURCES[name]
    assert "Name or service not known" in line
    assert all(str(tmp_path / folder) in line for folder in source.folders)
    assert line.endswith(f"put the files of {' and '.join(source.downloads)} into {tmp_path / source.folders[0]}")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Not a directory" in fails("svhn", tmp_path / "file")


def test_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one of two files fails, neither is kept; once both have arrived, nothing is downloaded again."""
    fetched = []

    def fetch(url: str, folder: Path, md5: str) -> None:
        fetched.append(url)
        (folder / url.rsplit("/", 1)[1]).write_text(md5)
        if len(fetched) == 2:
            raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(sources, "fetch", fetch)
    folder = tmp_path / "new" / "svhn"
    assert "File not found or corrupted" in fails("svhn", tmp_path / "new")
    assert list(folder.iterdir()) == []
    for _ in range(2):
        assert find("svhn", tmp_path / "new") == folder
        assert sorted(file.name for file in folder.iterdir()) == ["test_32x32.mat", "train_32x32.mat"]
    assert len(fetched) == 4


def test_download_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, folder: Path, md5: str) -> None:
        content = tmp_path / "content" / "cifar-10-batches-bin"
        content.mkdir(parents=True)
        for file in SOURCES["cifar10"].files:
            (content / file).write_text(file)
        shutil.make_archive(str(folder / "cifar-10-binary"), "gztar", tmp_path / "content")

    monkeypatch.setattr(sources, "fetch", fetch)
    folder = find("cifar10", tmp_path)
    assert folder == tmp_path / "cifar-10-batches-bin"
    assert sorted(file.name for file in folder.iterdir()) == sorted(SOURCES["cifar10"].files)


def test_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATA_DIR", raising=False)
    assert data_root() == Path(sources.__file__).parents[2] / "data"
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root("~/elsewhere") == Path.home().resolve() / "elsewhere"
