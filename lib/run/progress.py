"""Progress of long-running work, and the time that is left.

In a terminal, or in a notebook that somebody is looking at, progress is one line that is overwritten. In files, and in
notebooks that papermill executes, it is about `LINES` lines, at most one per unit of work.
"""

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

#: Approximate number of lines for all of the work.
LINES = 50

#: Seconds of evaluation before progress is shown: most evaluations take less.
PATIENCE = 10.0

#: Only the outermost work of a process shows progress.
_outermost = threading.Lock()


def overwrites() -> bool:
    """Whether stderr is shown live, as in a terminal, so that a line can overwrite the previous one."""
    if sys.stderr.isatty():
        return True
    # Not imported here, which is slow: if nobody has imported IPython, there is no notebook.
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython else None
    # A front end that accepts input has a user; papermill does not accept any.
    return kernel is not None and bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


@contextmanager
def progress(
    description: str, total: int, unit: str = "epoch", finished: int = 0, delay: float = 0.0
) -> Iterator[Callable[[int], None]]:
    """Show the progress of `total` units of work on stderr; yields a function to call with the number finished.

    `finished` units were done before. The time left is estimated from those done since, once they are a tenth of the
    rest. Nothing is shown inside other work that shows progress, nor in the first `delay` seconds. The function may be
    called from any thread.
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
    """Call `look` once a second, in a thread, until the block ends."""

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
