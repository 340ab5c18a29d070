"""Which engines there are and what they need, one line each, and results that are the same whichever thread trains."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import dask
import pytest
import torch
from helpers import assert_same, experiment, member, processes_of_group, run_python, train

from lib.errors import ConfigError
from lib.run import engines
from lib.run.engines import appears, check_engine, open_engine
from lib.run.store import RunStore
from lib.training import ensemble
from lib.training.ensemble import train_ensemble


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"engine": "lokky"}, r"^unknown engine 'lokky'; did you mean 'loky'\? allowed: loky, sequential, dask$"),
        ({"engine": "spark"}, r"^unknown engine 'spark'"),
        ({"jobs": 0}, r"^jobs must be an integer at least 1, got 0$"),
        ({"jobs": -2}, r"^jobs must be an integer at least 1, got -2$"),
        ({"jobs": True}, r"^jobs must be an integer at least 1, got True$"),
        ({"jobs": 1.5}, r"^jobs must be an integer at least 1, got 1.5$"),
        (
            {"scheduler": "slrum"},
            r"^unknown scheduler 'slrum'; did you mean 'slurm'\? .*, or an address like tcp://host:",
        ),
        ({"scheduler": "tcp://host"}, r"^unknown scheduler 'tcp://host'; allowed: local, slurm, or an address"),
        ({"scheduler": "tcp://host:99999"}, r"^unknown scheduler"),
        ({"scheduler": "tcp://host:0"}, r"^unknown scheduler"),
        ({"scheduler": "node1:8786"}, r"^unknown scheduler"),
        ({"scheduler": 8786}, r"^unknown scheduler 8786"),
        ({"scheduler": "local", "engine": "loky"}, r"^scheduler 'local' is for the engine dask, got engine 'loky'$"),
    ],
)
def test_engine_not_allowed_is_one_line(arguments, pattern):
    with pytest.raises(ConfigError, match=pattern) as caught:
        check_engine(**{"engine": None, "jobs": None} | arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "scheduler", [None, "local", "tcp://node1.cluster:8786", "tls://10.0.0.1:1", "tcp://[::1]:8786"]
)
def test_scheduler_that_may_be_there_is_allowed(scheduler):
    check_engine("dask", 2, scheduler)


def test_engine_without_its_packages_says_what_to_install(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^engine 'dask' needs distributed, of the extra cluster: pip install -e "):
        check_engine(None, None, "tcp://host:8786")
    check_engine("loky", None)


def test_slurm_that_is_not_there_or_not_configured_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^scheduler 'slurm' needs Slurm's command sbatch"):
        check_engine(None, None, "slurm")
    (tmp_path / "sbatch").touch(0o755)
    with pytest.raises(ConfigError, match=r"^scheduler 'slurm' needs cores and memory of a job in dask's config"):
        check_engine(None, None, "slurm")
    with dask.config.set({"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "1GB"}):
        check_engine(None, None, "slurm")


#: Takes a copy of a job's script as Slurm does, since whoever submits it deletes it, and runs it at once here.
SBATCH = """#!/bin/sh
[ "$1" = --test-only ] && exit 0
cp "$1" "$0.$$"
setsid sh "$0.$$" >>"$0.log" 2>&1 &
echo $! >>"$0.jobs"
echo "Submitted batch job $!"
"""


@pytest.mark.slow
def test_members_in_jobs_of_slurm_are_the_same_to_the_bit(tmp_path, monkeypatch):
    """The jobs are real processes that run the script that Slurm would get; Slurm itself is a script."""
    for name, text in (("sbatch", SBATCH), ("scancel", "#!/bin/sh\nkill -TERM -- -$1\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    settings = {"cores": 2, "processes": 1, "memory": "4GB", "interface": "lo", "local-directory": str(tmp_path)}
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in settings.items()}):
        found = train_ensemble(experiment(), scheduler="slurm", jobs=2, store=tmp_path / "runs")
    assert_same(found, train(tmp_path / "one"))
    jobs = (tmp_path / "sbatch.jobs").read_text().split()
    assert len(jobs) == 2
    deadline = time.monotonic() + 60
    while any(processes_of_group(int(job)) for job in jobs):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_job_that_slurm_refuses_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho sbatch: error: invalid partition >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    settings = {"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "1GB", "jobqueue.slurm.interface": "lo"}
    with (
        dask.config.set(settings),
        pytest.raises(
            ConfigError, match=r"^Slurm refuses the job of jobqueue.slurm: sbatch: error: invalid partition$"
        ),
        open_engine("dask", 1, 1, "slurm"),
    ):
        pass


def test_package_is_imported_without_dask():
    code, _, err = run_python(
        "import sys, lib.training.ensemble; assert not {'distributed', 'dask', 'IPython'} & set(sys.modules)"
    )
    assert code == 0, err


def test_two_members_at_once_in_threads_are_the_same_to_the_bit(tmp_path):
    """As in a worker of dask with two threads: PyTorch's threads are each thread's own, and so are its results."""
    one = train(tmp_path / "one", num_members=3, epochs=3)
    task = ("digits", None, None, str(tmp_path / "two"))
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(2,)) as pool:
        configs = [asdict(member(number, epochs=3)) for number in range(3)]
        list(pool.map(lambda config: ensemble._train_task([config], *task), configs))
    torch.set_num_threads(1)  # also what threads begin with that come later
    other = train(tmp_path / "two", num_members=3, epochs=3)
    assert_same(other, one)


def test_file_appears_late_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "file"
    assert not appears(path, 0.1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(appears, path, 60)
        path.parent.mkdir()
        path.touch()
        assert waiting.result()


def test_sequential_engine_raises_where_it_is_submitted():
    with open_engine("sequential", None, 1) as executor, pytest.raises(ZeroDivisionError):
        executor.submit(lambda: 1 / 0)


def test_paths_of_data_mean_the_same_in_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, expected in (
        ("digits", "digits"),
        ("images.npz", f"{tmp_path}/images.npz"),
        ("imagefolder@32:a:b", f"imagefolder@32:{tmp_path}/a:b"),
        ("imagefolder:/a", "imagefolder:/a"),
    ):
        assert ensemble._absolute(given) == expected
    assert RunStore("runs").root == tmp_path / "runs"
