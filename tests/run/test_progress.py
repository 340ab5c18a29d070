"""Progress in a file, in a terminal and in notebooks: few lines, each with the time left."""

import itertools
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from types import SimpleNamespace

import nbformat
import papermill
import pytest
from helpers import CHECKOUT
from nbformat.v4 import new_code_cell, new_notebook

from lib.run.progress import progress
from lib.run import progress as module


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is set."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_lines_say_how_many_are_finished_and_the_time_left(clock, capsys):
    with progress("digits / small_cnn", 60, finished=12) as tell:
        clock.seconds = 10
        tell(20)
    # 8 of the 48 that were left took 10 seconds; what was there before took none.
    assert lines(capsys) == ["digits / small_cnn: 20 of 60 epochs, 0:50 left"]


def test_lines_end_with_the_whole_time(clock, capsys):
    with progress("training", 2) as tell:
        clock.seconds = 4000.4
        tell(2)
    assert lines(capsys) == ["training: 2 of 2 epochs, in 1:06:40"]


@pytest.mark.parametrize("seconds_each", [0.01, 1, 100])
def test_lines_are_about_fifty_for_thousands_of_epochs(clock, capsys, seconds_each):
    with progress("training", 2000) as tell:
        for finished in range(1, 2001):
            clock.seconds = finished * seconds_each
            tell(finished)
    said = lines(capsys)
    assert 40 <= len(said) <= 120  # of a day and more, one each half hour
    assert said[-1].startswith("training: 2000 of 2000 epochs, in ")


def test_lines_are_no_more_than_one_an_epoch(clock, capsys):
    with progress("training", 3) as tell:
        for seconds, finished in enumerate([0, 1, 1, 1, 2, 2, 3, 3]):
            clock.seconds = 1000 * seconds
            tell(finished)
    assert [re.search(r"(\d) of 3", line)[1] for line in lines(capsys)] == ["1", "2", "3"]


def test_work_that_is_over_soon_says_nothing(clock, capsys):
    for seconds, said in ((9, 0), (11, 1)):
        with progress("evaluating", 5, "network", delay=10) as tell:
            clock.seconds += seconds
            tell(5)
        assert len(lines(capsys)) == said


def test_work_within_other_work_says_nothing_and_the_next_one_does(clock, capsys):
    with progress("outer", 2) as outer:
        with progress("inner", 2) as inner:
            inner(2)
        outer(2)
    with pytest.raises(KeyError), progress("failing", 2):
        raise KeyError
    with progress("next", 1) as tell:
        tell(1)
    assert [line.split(":")[0] for line in lines(capsys)] == ["outer", "next"]


def test_threads_may_tell_at_once(clock, capsys):
    finished = itertools.count(1)
    with progress("evaluating", 400, "network") as tell:
        threads = [threading.Thread(target=lambda: [tell(next(finished)) for _ in range(100)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert lines(capsys)[-1].startswith("evaluating: 400 of 400 networks")


SCRIPT = """
import time
from lib.run.progress import progress
with progress("digits / small_cnn", 4) as tell:
    for finished in range(1, 5):
        time.sleep(0.2)
        tell(finished)
"""


NOTEBOOK = new_notebook(
    cells=[new_code_cell(SCRIPT)],
    metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
)


def test_file_gets_lines_and_a_terminal_one_bar(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", SCRIPT], check=True, stderr=log, env=environment)
    text = (tmp_path / "log").read_text()
    assert "\r" not in text
    assert re.findall(r"^digits / small_cnn: (\d) of 4 epochs, (?:in )?0:0\d(?: left)?$", text, re.M) == list("1234")

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # as Linux says the end of a terminal
        pass
    os.close(ours)
    assert process.wait() == 0
    *overwritten, last = shown.decode().strip().split("\r")
    assert "\n" not in "".join(overwritten)
    assert "100%" in last
    assert "4/4" in last


def test_papermill_logs_lines_and_a_front_end_with_a_user_gets_a_bar(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    (tmp_path / "in.ipynb").write_text(nbformat.writes(NOTEBOOK))
    with (tmp_path / "log").open("w+") as log:
        papermill.execute_notebook(
            str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"), progress_bar=False, stderr_file=log
        )
    text = (tmp_path / "log").read_text()
    assert "\r" not in text
    assert len(text.splitlines()) == 4
    (cell,) = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert "".join(output.text for output in cell.outputs) == text


@pytest.mark.parametrize("allowed", [True, False])
def test_notebook_that_somebody_looks_at_is_told_by_its_questions(monkeypatch, allowed):
    kernel = SimpleNamespace(get_parent=lambda channel: {"content": {"allow_stdin": allowed}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=kernel)))
    assert module.overwrites() is allowed
