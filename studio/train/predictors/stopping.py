"""A signal while something is fitted that keeps nothing on the way: it ends at once, and the record says that it was stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from studio.train.predictors.job import Job


class _StoppedError(Exception):
    """A signal came."""


@contextmanager
def at_once(job: Job) -> Iterator[None]:
    """End the block when SIGINT or SIGTERM comes, and mark the job as stopped; what was fitted so far is lost, which is said."""

    def stop(number: int, _frame: Any) -> None:
        job.stop.received = number
        raise _StoppedError

    # Elsewhere signals cannot be taken over, and are not sent to.
    watched = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, stop) for number in watched}
    try:
        yield
    except _StoppedError:
        job.stop.stopped = True
        job.say(f"stopped: {job.preset.estimator.type} keeps nothing on the way; resumed, it starts again from the rows")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
