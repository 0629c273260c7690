"""Helpers that are tasks of a Ray cluster, in the place of processes of this machine. Ray decides where work runs, nothing else.

Work travels with its rows and comes back as an answer; a task whose process or machine was lost is done again elsewhere. Order,
leaders of duplicates, splits and fingerprints are decided where the build runs, so a Dataset is the same whoever helped.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import studio
from studio.core.errors import StudioError, UserError
from studio.core.files import sha256_json
from studio.core.ray_cluster import ray_cluster
from studio.data.cache import code_files, code_version, library_versions
from studio.data.workers import Asked, Found, Hire, Pool, Workers, processors

Result = TypeVar("Result")

_INSTEAD = "Leave --engine ray out to build in this process."
# A task is done again so often when its process is lost; work that kills its process each time is then given back.
_RETRIES = 3
# Tasks under way for each processor: one that works, and some that wait with their rows in Ray's memory.
_AHEAD = 3

_prepared: set[str] = set()
"""What this process of Ray was prepared with."""


class LostWorkerError(StudioError, BrokenProcessPool):
    """Processes of Ray that worked on the same part ended again and again."""


class _RayAnswer(Generic[Result]):
    """See :class:`studio.data.workers.Answer`."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self.reference = ray, reference

    def result(self) -> Result:
        """See :meth:`studio.data.workers.Answer.result`."""
        errors = self._ray.exceptions
        try:
            answer: Result = self._ray.get(self.reference)
        except errors.RayTaskError as error:
            raise _told(error) from None
        except errors.RayError as error:
            reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
            raise LostWorkerError(
                f"a part of the work was lost on Ray {1 + _RETRIES} times ({reason}), perhaps for want of memory. Take fewer "
                f"--processes, or build again: finished steps are kept. {_INSTEAD}"
            ) from error
        return answer


def _told(error: Any) -> BaseException:
    """What work raised, as if it had been done here; that the studio cannot be loaded there is said in words."""
    cause: BaseException = error.cause
    missing = isinstance(cause, ModuleNotFoundError) or "failed to import on the worker" in str(cause)
    if isinstance(cause, StudioError) or not missing:
        return cause
    lines = [line.strip() for line in str(cause).splitlines() if "ModuleNotFoundError" in line]
    why = (lines[-1] if lines else str(cause).splitlines()[0]).rstrip(".")
    return UserError(
        f"a machine of the Ray cluster cannot load the studio ({why}). Install finetuning-studio {studio.__version__} "
        f"with the same libraries in the environment in which 'ray start' runs there. {_INSTEAD}"
    )


class _RayPool:
    """See :class:`studio.data.workers.Pool`; hands work over as fast as it is done, so that Ray's memory does not fill up."""

    def __init__(self, ray: Any, most: int, prepare: Callable[[], None], libraries: tuple[str, ...]) -> None:
        """``most``: tasks that may be under way."""
        self._ray, self._most = ray, most
        self._begun = (identity_of(libraries), prepare, libraries, str(Path.cwd()))
        self._task: Any = ray.remote(num_cpus=1, num_gpus=0, max_retries=_RETRIES)(carry_out)
        self._open: list[Any] = []

    def submit(self, work: Callable[Asked, Found], /, *args: Asked.args, **kwargs: Asked.kwargs) -> _RayAnswer[Found]:
        """See :meth:`studio.data.workers.Pool.submit`."""
        while len(self._open) >= self._most:
            _, self._open = self._ray.wait(self._open, num_returns=1)
        answer: _RayAnswer[Found] = self._handed(self._task, work, args, kwargs)
        self._open.append(answer.reference)
        return answer

    def ask(self, node: str) -> _RayAnswer[None]:
        """Have nothing done on one machine, whether its processors are busy or not; what it lacks is raised by the answer."""
        pinned = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        return self._handed(self._task.options(num_cpus=0, scheduling_strategy=pinned), _nothing, (), {})

    def _handed(self, task: Any, work: Callable[..., Any], args: Any, kwargs: Any) -> _RayAnswer[Any]:
        """Work as a task."""
        return _RayAnswer(self._ray, task.remote(*self._begun, work, args, kwargs))


class RayWorkers(Workers):
    """See :class:`studio.data.workers.Workers`; how many help is how many processors the cluster has, or fewer if asked for."""

    def __init__(
        self, ray: Any, prepare: Callable[[], None], libraries: Sequence[str], *, far: bool, count: int | None = None
    ) -> None:
        """``ray``: connected. ``far``: the cluster was there before, so that its machines may be others."""
        there = int(ray.cluster_resources().get("CPU", 0))
        super().__init__(min(count or there, there) or 1, prepare)
        self.far = far
        self._ray = ray
        waiting = 1 if far and count else _AHEAD  # Ray itself keeps to the count where it was started for it
        self._tasks = _RayPool(ray, self.count * waiting, prepare, tuple(libraries))

    @property
    def alone(self) -> bool:
        """Never: even a single processor of Ray is another one than that of the build."""
        return False

    def pool(self) -> Pool:
        """See :meth:`studio.data.workers.Workers.pool`."""
        return self._tasks

    def renew(self) -> None:
        """Ray has put another process in the place of the one that ended."""

    def close(self) -> None:
        """Ray ends with the block it was started for."""

    def check(self) -> None:
        """Ask every machine whether it has the same studio, so that a mistake is told before anything is read.

        Raises:
            UserError: one has not, or the cluster has no processors.
        """
        alive = [node for node in self._ray.nodes() if node.get("Alive") and node.get("Resources", {}).get("CPU")]
        if not alive:
            raise UserError(f"the Ray cluster has no processors for tasks. Start it with 'ray start --num-cpus N'. {_INSTEAD}")
        for answer in [self._tasks.ask(node["NodeID"]) for node in alive]:
            answer.result()


def identity_of(libraries: tuple[str, ...]) -> str:
    """Hash of all that could make another machine's answers different: Python, code and libraries."""
    code = code_version(*code_files(".", "../language"))
    return sha256_json([platform.python_version_tuple()[:2], studio.__version__, code, library_versions(libraries)])


def carry_out(
    identity: str,
    prepare: Callable[[], None],
    libraries: tuple[str, ...],
    folder: str,
    work: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Do a piece of work in a process of Ray; ``folder``: where the build runs, for paths that are relative.

    Raises:
        UserError: this machine's studio is not that of the build.
    """
    if identity != identity_of(libraries):
        raise UserError(
            f"the machine {platform.node()} of the Ray cluster has another studio, Python or library than this one. Install "
            f"finetuning-studio {studio.__version__} with the same libraries on all (pip install -c constraints.txt). {_INSTEAD}"
        )
    name = f"{prepare.__module__}.{prepare.__qualname__}"
    if name not in _prepared:
        prepare()
        _prepared.add(name)
        with contextlib.suppress(OSError):  # another machine need not have it; what lacks a file says so
            os.chdir(folder)
    return work(*args, **kwargs)


def _nothing() -> None:
    """Work that shows that work can be done."""


@contextmanager
def _hired(
    prepare: Callable[[], None],
    libraries: Sequence[str],
    *,
    address: str | None,
    count: int | None,
    tell: Callable[[str], None],
) -> Iterator[Workers]:
    """See :func:`hire_on_ray`."""
    tell("ray: connecting" if address else "ray: starting on this machine")
    started = count or min(processors(), 8)
    with ray_cluster(address, instead=_INSTEAD, processes=None if address else started) as ray:
        crew = RayWorkers(ray, prepare, libraries, far=address is not None, count=count)
        crew.check()
        tell(f"ray: {crew.count} processors at {address or 'this machine alone'}")
        yield crew


def hire_on_ray(address: str | None, count: int | None, tell: Callable[[str], None]) -> Hire:
    """Helpers on Ray; see :class:`studio.data.workers.Hire`.

    Args:
        address: of a cluster that runs; None starts Ray on this machine.
        count: at most so many at once.
    """
    return partial(_hired, address=address, count=count, tell=tell)
