"""How far long work is, and how long it will still take: a bar where lines can be overwritten, else a line at times.

In a terminal and in a notebook that somebody looks at there is one bar. In files, and in notebooks that papermill
executes, there are lines of their own, no more than one for each piece of work that was finished.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from tqdm import tqdm

#: Lines for all of the work, about.
LINES = 50

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

    The time left is estimated from the pieces finished since the beginning, once they are a tenth of the work. Within
    other work that shows how far it is nothing is shown. Any thread may tell.

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
        with closing(_Display(description, total, unit, finished, delay)) as display:
            yield display.tell
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


class _Display:
    def __init__(self, description: str, total: int, unit: str, finished: int, delay: float):
        # Smoothing 0 is the mean since the beginning.
        options = {"delay": delay, "smoothing": 0, "bar_format": "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}]"}
        self._bar = tqdm(
            desc=description, total=total, unit=unit, initial=finished, disable=not overwrites(), **options
        )
        self._line = f"{description}: {{}} of {total} {unit}s, {{}}"
        self._before = self._finished = self._said = finished
        self._work, self._delay, self._start, self._lock = total - finished, delay, time.monotonic(), threading.Lock()

    def tell(self, finished: int) -> None:
        with self._lock:
            self._finished = max(finished, self._finished)
            if self._can_estimate():
                self._bar.bar_format = None  # tqdm's own, which has the time left
            self._bar.update(self._finished - self._bar.n)
            if LINES * (self._finished - self._said) >= self._work:
                self._say()

    def close(self) -> None:
        with self._lock:
            self._bar.close()
            self._say()

    def _can_estimate(self) -> bool:
        return 10 * (self._finished - self._before) >= self._work

    def _say(self) -> None:
        seconds, done = time.monotonic() - self._start, self._finished - self._before
        if not self._bar.disable or self._finished == self._said or seconds < self._delay:
            return
        if done == self._work:
            end = f"in {tqdm.format_interval(seconds)}"
        elif self._can_estimate():
            end = f"{tqdm.format_interval(seconds * (self._work - done) / done)} left"
        else:
            end = f"{tqdm.format_interval(seconds)} so far"
        print(self._line.format(self._finished, end), file=sys.stderr, flush=True)
        self._said = self._finished
