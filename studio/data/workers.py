"""Processes that help to build a Dataset of any kind; none is started before there is work that is worth it.

Who helps is decided once for a build (:data:`Hire`): processes here, or those of a Ray cluster (:mod:`studio.data.ray_workers`).
What is found never depends on it: helpers are asked, and the process that builds decides.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from studio.core.children import prepare_child

Asked = ParamSpec("Asked")
Found = TypeVar("Found")
Result = TypeVar("Result", covariant=True)


class Answer(Protocol[Result]):
    """What a helper was asked for."""

    def result(self) -> Result:
        """The answer, once it is there.

        Raises:
            BrokenProcessPool: the process that worked on it ended. Otherwise what the work raised.
        """


class Pool(Protocol):
    """Takes work in; that of the standard library, or another that does the same."""

    def submit(self, work: Callable[Asked, Found], /, *args: Asked.args, **kwargs: Asked.kwargs) -> Answer[Found]:
        """Have a function called elsewhere. Function, arguments and answer are pickled."""


class Workers:
    """Processes that judge rows; none is started before the first step that is worth it."""

    far = False
    """True where helpers are on other machines, which see the same files only where disks are shared."""

    def __init__(self, count: int | None = None, prepare: Callable[[], None] = prepare_child) -> None:
        """``count``: None means one per processor this process may use, at most 8; ``prepare`` is called in each process."""
        self.count = count or min(processors(), 8)
        self._prepare = prepare
        self._pool: ProcessPoolExecutor | None = None

    @property
    def alone(self) -> bool:
        """True when nobody would help, so that work is better done in the process that asks."""
        return self.count < 2

    def pool(self) -> Pool:
        """The pool, started when first asked for. Fresh interpreters: threads of Rust libraries do not survive a fork."""
        if self._pool is None:
            context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
            self._pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=self._prepare)
        return self._pool

    def in_order(self, work: Callable[..., Found], parts: Iterable[object], *more: object) -> Iterator[Found]:
        """``work(part, *more)`` of each part, in order; few parts are on their way at a time, so that not all are in memory."""
        waiting: deque[Answer[Found]] = deque()
        for part in parts:
            waiting.append(self.pool().submit(work, part, *more))
            if len(waiting) > 2 * self.count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def beside(self, work: Callable[Asked, Found], *args: Asked.args, **kwargs: Asked.kwargs) -> Callable[[], Found]:
        """A function's result, for later: worked out meanwhile where processes run already, else when it is asked for."""
        return partial(work, *args, **kwargs) if self._pool is None else self._pool.submit(work, *args, **kwargs).result

    def renew(self) -> None:
        """Have fresh processes after one has ended: a pool of the standard library is of no use then."""
        self.close()

    def close(self) -> None:
        """Stop the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class Hire(Protocol):
    """Who helps with a build."""

    def __call__(self, prepare: Callable[[], None], libraries: Sequence[str]) -> AbstractContextManager[Workers]:
        """Workers that are stopped at the end of the block.

        Args:
            prepare: called once in each process.
            libraries: whose versions decide what is found; other machines have to have the same.
        """


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(count: int | None = None, prepare: Callable[[], None] = prepare_child) -> Iterator[Workers]:
    """Workers that are stopped at the end of the block."""
    crew = Workers(count, prepare)
    try:
        yield crew
    finally:
        crew.close()


def hire_here(
    prepare: Callable[[], None],
    libraries: Sequence[str],  # noqa: ARG001 - processes of this machine have the same
    *,
    count: int | None = None,
) -> AbstractContextManager[Workers]:
    """See :class:`Hire`; as many processes of this machine as it has processors, or ``count``."""
    return workers(count, prepare)
