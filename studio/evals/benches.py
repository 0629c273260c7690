"""The benches of an evaluation: what opens the models that its tasks ask. Each is opened when a task first asks, and shared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from studio.core.workspace import Workspace
from studio.evals.subjects import Subject
from studio.evals.targets import Target
from studio.evals.tasks import ASKED, BENCHES


class Bench(Protocol):
    """The models under measurement, for all tasks that ask them in one way.

    What :data:`studio.evals.tasks.BENCHES` names is called with ``targets``, ``workspace``, ``cached``, ``about`` and ``dtype``
    and gives a context manager of a bench; it is left when all tasks are done, or with the error that ended them.
    """

    def subject(self, label: str) -> AbstractContextManager[Subject]:
        """The model of a label, ready to be asked inside the block."""
        ...

    def beside(self, name: str, target: Target) -> AbstractContextManager[Subject]:
        """A model that is not measured but helps to measure, under a name of its own; it stays open for the next task."""
        ...


@dataclass
class Benches:
    """The benches of one evaluation.

    targets: label (``tuned``, ``base``) to what was found. cached: answers may be taken from the workspace's cache.
    dtype: number type that models are to compute in; ``auto`` leaves it to them.
    about: label to the description of its model, for the report; filled in by whatever opens it.
    """

    targets: dict[str, Target]
    workspace: Workspace
    cached: bool
    dtype: str = "auto"
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    _opened: dict[str, Bench] = field(default_factory=dict)
    _left_at_the_end: ExitStack = field(default_factory=ExitStack)

    def subject(self, kind: str, label: str) -> AbstractContextManager[Subject]:
        """The model of a label as a kind of task asks it."""
        if kind not in ASKED:
            raise ValueError(f"the task {kind!r} asks models and does not say in which way: add it to studio.evals.tasks.ASKED")
        return self.bench(ASKED[kind]).subject(label)

    def beside(self, kind: str, name: str, target: Target) -> AbstractContextManager[Subject]:
        """A model that is not measured but helps a kind of task to measure, for example a judge."""
        return self.bench(ASKED[kind]).beside(name, target)

    def bench(self, way: str) -> Bench:
        """The bench of a way of asking, opened when it is first wanted."""
        if way not in self._opened:
            opening = BENCHES.get(way)(self.targets, self.workspace, cached=self.cached, about=self.about, dtype=self.dtype)
            self._opened[way] = self._left_at_the_end.enter_context(opening)
        return self._opened[way]


@contextmanager
def benches_for(targets: dict[str, Target], workspace: Workspace, *, cached: bool, dtype: str = "auto") -> Iterator[Benches]:
    """The benches of one evaluation; those that were opened are left at the end of the block."""
    with ExitStack() as stack:
        yield Benches(targets, workspace, cached, dtype, _left_at_the_end=stack)
