"""How far long work is, and how long it will still take.

In a terminal, and in a notebook that somebody looks at, that is one line which is written over again and again. In
files, and in notebooks that papermill executes, there are about `LINES` lines, no more than one for each piece of work.
"""

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

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
    """Show on stderr how far work of `total` pieces is: yields what is to be told how many of them are finished.

    The time left is estimated from the pieces finished since the beginning, where `finished` ones were there already,
    once they are a tenth of the work. Nothing is shown within other work that shows how far it is, nor in the first
    `delay` seconds. Any thread may tell.
    """
    if not _outermost.acquire(blocking=False):
        yield lambda finished: None
        return
    in_place, lock, start = overwrites(), threading.Lock(), time.monotonic()
    before, work, step = finished, total - finished, max(1, math.ceil((total - finished) / LINES))
    said, shown = finished, -1.0

    def tell(number: int, step: int = step) -> None:
        nonlocal finished, said, shown
        with lock:
            finished = max(finished, number)
            seconds, done = time.monotonic() - start, finished - before
            due = finished - said >= step or (in_place and seconds - shown >= 0.5)
            if not due or seconds < delay:
                return
            if done == work:
                end = f"in {timedelta(seconds=round(seconds))}"
            elif 10 * done >= work:
                end = f"{timedelta(seconds=round(seconds * (work - done) / done))} left"
            else:
                end = f"{timedelta(seconds=round(seconds))} so far"
            line = f"{description}: {finished} of {total} {unit}s, {end}"
            print(f"\r{line:<79}" if in_place else line, end="" if in_place else "\n", file=sys.stderr, flush=True)
            said, shown = finished, seconds

    try:
        yield tell
    finally:
        tell(finished, step=1)
        if in_place and shown >= 0:
            print(file=sys.stderr)
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
