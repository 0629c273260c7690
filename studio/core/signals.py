"""SIGTERM as Ctrl-C: a container or a service that is stopped clears away what it has half written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Inside the block SIGTERM raises :class:`KeyboardInterrupt` with its name. The process is to end then, so a second one
    changes nothing, whatever is still cleared away behind the block.
    """
    stopped = False

    def stop(number: int, _frame: Any) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    # Elsewhere signals cannot be taken over, and are not sent to.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if not stopped:
            signal.signal(signal.SIGTERM, before)
