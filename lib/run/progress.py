"""How far long work is, and how long it will still take: a bar where lines can be overwritten, else a line at times.

In a terminal and in a notebook that somebody looks at there is one bar. In files, and in notebooks that papermill
executes, there are lines of their own, no more than one for each piece of work that was finished.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

#: Lines for work that takes long, about, and the seconds between two of them, at most.
LINES = 50
LONGEST_SILENCE = 1800.0

#: Seconds of evaluation before anything is said of it: most is done by then.
PATIENCE = 10.0

#: Only the outermost work of a process shows how far it is.
_outermost = threading.Lock()


def overwrites() -> bool:
    """Whether somebody sees what goes to stderr, as in a terminal, so that a line can be written over the last."""
    if sys.stderr.isatty():
        return True
    # Where nobody has imported IPython there is no notebook, and it takes long.
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython else None
    # A front end that lets its user answer questions has a user; papermill has none.
    return kernel is not None and bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


@contextmanager
def progress(
    description: str, total: int, unit: str = "epoch", finished: int = 0, delay: float = 0.0
) -> Iterator[Callable[[int], None]]:
    """Show on stderr how far work is: yields what is to be told how many pieces are finished.

    The time left is estimated from the pieces finished since the beginning. Within other work that shows how far it is
    nothing is shown. Any thread may tell.

    Args:
        description: of the work.
        total: pieces that it has.
        unit: what a piece is.
        finished: pieces that were finished before.
        delay: seconds before anything is shown.
    """
    if not _outermost.acquire(blocking=False):
        yield lambda finished: None
        return
    try:
        shown = _Bar if overwrites() else _Lines
        display = shown(description, total, unit, finished, delay)
        try:
            yield display.tell
        finally:
            display.close()
    finally:
        _outermost.release()


@contextmanager
def every_second(look: Callable[[], None]) -> Iterator[None]:
    """Look at something once a second, in a thread, until the block ends."""

    def watch() -> None:
        while not stop.wait(1.0):
            look()

    stop = threading.Event()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


class _Bar:
    def __init__(self, description: str, total: int, unit: str, finished: int, delay: float):
        # Smoothing 0 is the mean since the beginning.
        options = {"unit": unit, "initial": finished, "delay": delay, "smoothing": 0}
        self._bar = tqdm(desc=description, total=total, **options)
        self._lock = threading.Lock()

    def tell(self, finished: int) -> None:
        with self._lock:
            if finished > self._bar.n:
                self._bar.update(finished - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _Lines:
    def __init__(self, description: str, total: int, unit: str, finished: int, delay: float):
        self._description, self._total, self._unit = description, total, unit
        self._before = self._finished = self._said = finished
        self._start = time.monotonic()
        # What takes no time needs no line, and one that begins has none to show.
        self._next = self._start + delay
        self._silent = True
        self._lock = threading.Lock()

    def tell(self, finished: int) -> None:
        with self._lock:
            self._finished = max(finished, self._finished)
            if self._finished > self._said and time.monotonic() >= self._next:
                self._say()

    def close(self) -> None:
        with self._lock:
            # The last piece, and a delay that has passed, unless it was said already.
            if self._finished > self._said and (not self._silent or time.monotonic() >= self._next):
                self._say()

    def _say(self) -> None:
        now = time.monotonic()
        seconds = now - self._start
        whole = seconds * (self._total - self._before) / (self._finished - self._before)
        left = self._total - self._finished
        end = f"{_clock(whole - seconds)} left" if left > 0 else f"in {_clock(seconds)}"
        count = f"{self._finished} of {self._total} {self._unit}s"
        print(f"{self._description}: {count}, {end}", file=sys.stderr, flush=True)
        self._said, self._silent = self._finished, False
        self._next = now + min(whole / LINES, LONGEST_SILENCE)


def _clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: 0:41, 12:05, 3:00:00."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
