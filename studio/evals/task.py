"""What a task is: a function from a context (models, settings, data) to a result (scores, differences, evidence).

A task module has ``run(context: TaskContext) -> TaskResult``; its settings are a class in ``studio/schema/`` with a ``type``. The
tables of :mod:`studio.evals.tasks` name both. Metric names are written without the task: the runner puts ``task.`` before them
where a suite has tasks.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
from markupsafe import Markup

from studio.core.errors import StudioError
from studio.core.progress import Progress
from studio.core.records import Difference, GroupScores, RunRecord, Score
from studio.core.workspace import Workspace
from studio.evals.evidence import Answer, Decoding, Message
from studio.evals.silence import Silence
from studio.evals.subjects import Offered, Subject
from studio.evals.targets import Target
from studio.evals.thinking import Thinking
from studio.schema.tasks import GenerationSettings, TaskSettings

T = TypeVar("T", bound=TaskSettings, covariant=True)
R = TypeVar("R")


class NotComputedError(StudioError):
    """A task's data or tool cannot be had here. One sentence: what is missing and what to do; the rest of the suite goes on."""


@dataclass(frozen=True)
class Part:
    """One text on an example's card: a heading, the text (None: there is none), a note beside the heading, and the thought that
    stood before the text and is no part of it.
    """

    tag: str
    text: str | None
    note: str = ""
    thought: str | None = None


@dataclass(frozen=True)
class Card:
    """One example on the page: what it is, its picture as an URI that holds it, texts below each other, then texts side by side
    (one per model).
    """

    id: str
    parts: Sequence[Part] = ()
    sides: Sequence[Part] = ()
    picture: str | None = None


@dataclass(frozen=True)
class CardGroup:
    """Examples under one heading, for example ``Most worsened, by ROUGE-L``."""

    title: str
    cards: Sequence[Card]


@dataclass(frozen=True)
class Panel:
    """A block of a task's own on the page, for example a grid of pictures. html: whole and safe; it fetches nothing."""

    title: str
    html: Markup


@dataclass
class TaskResult:
    """What a task found.

    scores: label (``tuned``, ``base``) to its Scores, the same metrics in the same order for every label.
    differences: tuned minus base, one per metric that can be compared.
    examples: one line per example, for ``examples.parquet``.
    groups: measures per category or group.
    notes: what the reader must be warned of. limits: what these numbers do not show.
    cards: examples for the page. data: what was asked (name, rows, revision, licence). rows: how many examples.
    marks: scores of what is no model, to hold the models against (``real`` pictures, ``noise``), by name.
    lead: sentences for people in a hurry, before the verdicts.
    panels: blocks of the task's own for the page. about: description of each model, where the task opened them itself.
    write_files: puts files of the task's own into the report's folder.
    """

    scores: dict[str, list[Score]]
    differences: list[Difference] = field(default_factory=list)
    examples: pd.DataFrame = field(default_factory=pd.DataFrame)
    groups: list[GroupScores] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    cards: list[CardGroup] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    title: str = ""
    marks: dict[str, list[Score]] = field(default_factory=dict)
    lead: list[str] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    write_files: Callable[[Path], None] | None = None


@dataclass
class TaskContext(Generic[T]):
    """All that a task may use.

    labels: models under measurement, ``tuned`` first, then ``base`` where there is one.
    task: its settings, with generation, likelihood and limit filled in.
    run_folder, run: the Run that is measured; None for a base, a merged folder or an endpoint.
    dataset: folder given by ``--data``; None leaves it to the task's own settings.
    open_subject: opens a model by label on first use and keeps it; the base may be the run's model with its adapter off, so a
        subject is used inside ``with context.subject(label) as subject:`` only, one at a time.
    open_beside: opens a model that is not measured but helps to measure; see :meth:`beside`.
    """

    labels: Sequence[str]
    task: T
    seed: int
    resamples: int
    workspace: Workspace
    open_subject: Callable[[str], AbstractContextManager[Subject]]
    open_beside: Callable[[str, Target], AbstractContextManager[Subject]] | None = None
    run_folder: Path | None = None
    run: RunRecord | None = None
    dataset: Path | None = None
    progress: bool = False
    targets: Mapping[str, Target] = field(default_factory=dict)
    """What each label stands for, for tasks that open models in a way of their own."""
    thinking: dict[str, Thinking] = field(default_factory=dict)
    """How many answers of each model had thoughts, for the report."""
    silence: dict[str, Silence] = field(default_factory=dict)
    """How many answers of each model say nothing, for the report."""

    @property
    def has_base(self) -> bool:
        """True when there is something to compare with."""
        return "base" in self.labels

    def subject(self, label: str) -> AbstractContextManager[Subject]:
        """The model of that label, ready to be asked; its answers and log-probabilities are cached."""
        return self.open_subject(label)

    def beside(self, name: str, target: Target) -> AbstractContextManager[Subject]:
        """A model that helps to measure, for example a judge, ready to be asked; what it says is cached like everything else."""
        if self.open_beside is None:
            raise ValueError(f"the task {self.task.key!r} cannot open a model beside those that are measured")
        return self.open_beside(name, target)

    def tell(self, text: str) -> None:
        """Say something to the person who waits, before it happens; nothing where nobody does."""
        if self.progress:
            sys.stderr.write(f"{self.task.key}: {text}\n")

    @property
    def decoding(self) -> Decoding:
        """How the task's answers are written."""
        settings = self.task.generation or GenerationSettings()
        return Decoding(settings.max_new_tokens, settings.temperature, settings.top_p, settings.top_k, self.seed)

    def answers(self, subject: Subject, prompts: Sequence[Sequence[Message]], tools: Offered = None) -> list[Answer | None]:
        """What a model answers to prompts, with the task's settings. Thoughts stand apart and are counted for the report."""
        size = (self.task.generation or GenerationSettings()).batch_size
        with self.bar(f"{subject.label}: answers", len(prompts)) as advance:
            found = subject.answers(prompts, self.decoding, batch_size=size, tools=tools, advance=advance)
        self.thinking.setdefault(subject.label, Thinking()).count(prompts, found)
        self.silence.setdefault(subject.label, Silence()).count(found)
        return found

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None] | None]:
        """A progress bar's ``advance``, or None when none is wanted."""
        if not self.progress:
            yield None
            return
        with Progress(f"{self.task.key}: {what}", total) as bar:
            yield bar.advance

    def draw(self, rows: Sequence[R], limit: int | None = None) -> list[R]:
        """At most ``limit`` rows (None: the task's limit), drawn with the suite's seed, in their own order."""
        wanted = limit if limit is not None else self.task.limit
        if wanted is None or wanted >= len(rows):
            return list(rows)
        return [rows[index] for index in sorted(random.Random(self.seed).sample(range(len(rows)), wanted))]

    def draw_of_each(self, kinds: Sequence[Sequence[R]]) -> list[list[R]]:
        """At most the task's limit of rows in all, of each kind its share; see :func:`shares`."""
        sizes = shares(self.task.limit, [len(rows) for rows in kinds])
        return [self.draw(rows, size) for rows, size in zip(kinds, sizes, strict=True)]

    def dataset_folder(self, name: str | None = None) -> Path:
        """Folder of the Dataset to read: ``--data``, else the one named, else the one the run was trained on.

        Raises:
            UserError: there is no such dataset.
            NotComputedError: nothing names one.
        """
        from studio.core.workspace import run_dataset

        if self.dataset is not None:
            return self.dataset
        if name is not None:
            return self.workspace.find_dataset(name)
        if self.run is None:
            raise NotComputedError(
                "no dataset is named, and the model is not a run that would know its own. Give one: --data DATASET"
            )
        return run_dataset(self.run, self.workspace)


def shares(limit: int | None, sizes: Sequence[int]) -> list[int]:
    """How many of each kind are taken where there may be ``limit`` in all (None: any number): one of each, then in proportion."""
    taken = [0] * len(sizes)
    if limit is None or limit >= sum(sizes):
        return list(sizes)
    for _ in range(limit):
        least = min(
            (number for number, size in enumerate(sizes) if size), key=lambda number: (taken[number] / sizes[number], number)
        )
        taken[least] += 1
    return taken


Task = Callable[[TaskContext[Any]], TaskResult]
