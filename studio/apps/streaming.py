"""Work that runs in a thread of its own while somebody follows it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def stream_from_thread(work: Callable[[Callable[[T], None]], None], stop: threading.Event) -> Iterator[T]:
    """Yield what ``work`` tells, as it comes, while it runs in a thread.

    Whoever follows may go away between two pieces, and a lock that the work holds must not go with them: the work goes on, and
    ``stop`` is set, so that it can end soon. It is set at the end in any case.

    Args:
        work: called once, with the function that passes a piece on.
    Raises:
        BaseException: whatever the work raised, after the pieces before it.
    """
    line: queue.SimpleQueue[T | BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            work(line.put)
        except BaseException as error:
            line.put(error)
        finally:
            line.put(None)

    threading.Thread(target=run, daemon=True).start()
    try:
        while (found := line.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
    finally:
        stop.set()
