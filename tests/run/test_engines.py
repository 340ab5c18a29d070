"""The engines and what they need, with one line per error, and results that are the same whichever thread trains."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest
import torch
from helpers import assert_same, member, train

from lib.errors import ConfigError
from lib.run import engines
from lib.run.engines import check_engine, has_bfloat16, open_engine, usable_cores
from lib.training import ensemble


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"engine": "lokky"}, r"^unknown engine 'lokky'; did you mean 'loky'\? allowed: loky, sequential, dask$"),
        ({"jobs": 0}, r"^jobs must be an integer at least 1, got 0$"),
        ({"jobs": True}, r"^jobs must be an integer at least 1, got True$"),
        ({"jobs": 1.5}, r"^jobs must be an integer at least 1, got 1.5$"),
        (
            {"scheduler": "slrum"},
            r"^unknown scheduler 'slrum'; did you mean 'slurm'\? .*, or an address like tcp://host:",
        ),
        ({"scheduler": "tcp://host"}, r"^unknown scheduler 'tcp://host'; allowed: local, slurm, or an address"),
        ({"scheduler": "node1:8786"}, r"^unknown scheduler"),
        ({"scheduler": 8786}, r"^unknown scheduler 8786"),
        ({"scheduler": "local", "engine": "loky"}, r"^scheduler 'local' is for the engine dask, got engine 'loky'$"),
    ],
)
def test_engine_not_allowed_is_one_line(arguments, pattern):
    with pytest.raises(ConfigError, match=pattern) as caught:
        check_engine(**{"engine": None, "jobs": None} | arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheduler", [None, "local", "tcp://node1.cluster:8786", "tls://10.0.0.1:1", "tcp://[::1]:80"])
def test_scheduler_that_may_be_there_is_allowed(scheduler):
    check_engine("dask", 2, scheduler)


def test_engine_without_its_packages_says_what_to_install(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^engine 'dask' needs distributed, from the extra cluster: pip install -e "):
        check_engine(None, None, "tcp://host:8786")
    check_engine("loky", None)


def test_cores_are_no_more_than_the_environment_allows(monkeypatch):
    assert usable_cores() >= 1
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert usable_cores() == 1


@pytest.mark.parametrize(
    ("known", "has"),
    [
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),
        ({}, True),
    ],
)
def test_bfloat16_is_that_of_the_processor(monkeypatch, known, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert has_bfloat16(torch.device("cpu")) == has


def test_two_members_at_once_in_threads_are_the_same_to_the_bit(tmp_path):
    """As in a dask worker with two threads: each thread has its own number of PyTorch threads and its own results."""
    one = train(tmp_path / "one", num_members=3, epochs=3)
    task = ("digits", None, None, str(tmp_path / "two"))
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(2,)) as pool:
        configs = [asdict(member(number, epochs=3)) for number in range(3)]
        list(pool.map(lambda config: ensemble._train_task([config], *task), configs))
    torch.set_num_threads(1)  # later threads start with this number too
    other = train(tmp_path / "two", num_members=3, epochs=3)
    assert_same(other, one)


def test_sequential_engine_raises_where_it_is_submitted():
    with open_engine("sequential", None, 1) as executor, pytest.raises(ZeroDivisionError):
        executor.submit(lambda: 1 / 0)
