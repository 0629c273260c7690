"""Processes that help to build a Dataset of any kind; none is started before there is work that is worth it."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from studio.core.children import prepare_child

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Processes that judge rows; none is started before the first step that is worth it."""

    def __init__(self, count: int | None = None, prepare: Callable[[], None] = prepare_child) -> None:
        """``count``: None means one per processor this process may use, at most 8; ``prepare`` is called in each process."""
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.count = count or min(available, 8)
        self._prepare = prepare
        self._pool: Executor | None = None

    def pool(self) -> Executor:
        """The pool, started when first asked for. Fresh interpreters: threads of Rust libraries do not survive a fork."""
        if self._pool is None:
            context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
            self._pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=self._prepare)
        return self._pool

    def in_order(self, work: Callable[..., T], parts: Iterable[object], *more: object) -> Iterator[T]:
        """``work(part, *more)`` of each part, in order; few parts are on their way at a time, so that not all are in memory."""
        waiting: deque[Future[T]] = deque()
        for part in parts:
            waiting.append(self.pool().submit(work, part, *more))
            if len(waiting) > 2 * self.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def beside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
        """A function's result, for later: worked out meanwhile where processes run already, else when it is asked for."""
        return partial(work, *args, **kwargs) if self._pool is None else self._pool.submit(work, *args, **kwargs).result

    def close(self) -> None:
        """Stop the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


@contextmanager
def workers(count: int | None = None) -> Iterator[Workers]:
    """Workers that are stopped at the end of the block."""
    crew = Workers(count)
    try:
        yield crew
    finally:
        crew.close()
