"""Progress in a file, in a terminal and in notebooks: few lines, each with the time left."""

import itertools
import re
import sys
import threading
from types import SimpleNamespace

import pytest

from lib.run import progress as module
from lib.run.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when it is set."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_lines_say_how_many_are_finished_and_the_time_left(clock, capsys):
    with progress("digits / small_cnn", 60, finished=12) as tell:
        clock.seconds = 10
        tell(20)
    # 8 of the remaining 48 took 10 seconds; the 12 finished before took none.
    assert lines(capsys) == ["digits / small_cnn: 20 of 60 epochs, 0:00:50 left"]


def test_lines_have_no_time_left_before_a_tenth_is_done(clock, capsys):
    with progress("training", 20) as tell:
        for finished in (1, 2):
            clock.seconds = 10 * finished
            tell(finished)
    assert lines(capsys) == ["training: 1 of 20 epochs, 0:00:10 so far", "training: 2 of 20 epochs, 0:03:00 left"]


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
    assert len(said) == 50
    assert [line.split()[-1] for line in said] == ["far"] * 4 + ["left"] * 45 + said[-1].split()[-1:]
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


def test_terminal_gets_one_line_over_and_over(monkeypatch, clock, capsys):
    monkeypatch.setattr(module, "overwrites", lambda: True)
    with progress("digits / small_cnn", 20) as tell:
        for clock.seconds, finished in ((1, 0), (1.1, 0), (2, 1), (20, 20)):
            tell(finished)
    written = capsys.readouterr().err
    assert written.endswith("\n")
    assert written.count("\n") == 1
    _, *shown = written.split("\r")
    assert [line.rstrip().partition(": ")[2] for line in shown] == [
        "0 of 20 epochs, 0:00:01 so far",
        "1 of 20 epochs, 0:00:02 so far",
        "20 of 20 epochs, in 0:00:20",
    ]


@pytest.mark.parametrize("allowed", [True, False])
def test_notebook_that_somebody_looks_at_is_told_by_its_questions(monkeypatch, allowed):
    kernel = SimpleNamespace(get_parent=lambda channel: {"content": {"allow_stdin": allowed}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=kernel)))
    assert module.overwrites() is allowed
