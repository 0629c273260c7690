"""What is known of a project: its task, its data and this machine. What was said is replaced by what a Dataset shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from studio.core.errors import StudioError, UserError
from studio.core.records import DatasetRecord
from studio.core.telling import bytes_of
from studio.core.workspace import Workspace, read_dataset
from studio.data.examples import Examples
from studio.schema.advice import Condition
from studio.schema.project import Need
from studio.search.crew import visible_gpus
from studio.train.capacity import free_disk, memory_of


@dataclass(frozen=True)
class Facts:
    """None where something is not known.

    rows: to learn from. test_rows: that a measurement can rest on. labels: label to its rows to learn from. per_label: rows of
    the rarest. memory, disk: bytes. notes: what was found out on the way.
    """

    task: str
    input: str | None = None
    rows: int | None = None
    test_rows: int | None = None
    labels: dict[str, int] = field(default_factory=dict)
    classes: int | None = None
    columns: int | None = None
    series: int | None = None
    minutes: float | None = None
    gpu: bool = False
    memory: int | None = None
    disk: int | None = None
    cores: int = 1
    dataset: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def per_label(self) -> int | None:
        """Rows of the rarest label, as far as they can be known."""
        if self.labels:
            return min(self.labels.values())
        return self.rows // self.classes if self.rows is not None and self.classes else None


def said_and_seen(need: Need, workspace: Workspace, read: Callable[[Path, str], Examples] | None, memory: int | None) -> Facts:
    """The facts of a project.

    Args:
        read: the examples of a split of a Dataset, where the task has them. memory: bytes a training may take, as it was said.
    Raises:
        UserError: the Dataset that is named does not exist, or does not fit the task.
    """
    gpu = bool(visible_gpus())
    facts = Facts(
        need.kind,
        need.input,
        rows=need.rows,
        classes=need.classes,
        series=need.series,
        minutes=need.minutes,
        gpu=gpu,
        memory=memory or (memory_of("cuda") if gpu else memory_of("cpu")),
        disk=free_disk(workspace),
        cores=os.cpu_count() or 1,
    )
    if need.dataset is None:
        # As a Dataset is divided where nothing is said: a tenth each is set aside.
        rows = None if need.rows is None else round(0.8 * need.rows)
        return replace(facts, rows=rows, test_rows=None if need.rows is None else round(0.1 * need.rows))
    folder = workspace.find_dataset(need.dataset)
    record = read_dataset(folder)
    facts = replace(facts, dataset=record.name, rows=record.splits.get("train", 0), test_rows=record.splits.get("test", 0))
    if read is None:
        return replace(facts, series=_series(record) or need.series, input=facts.input or _form(record))
    try:
        train = read(folder, "train")
    except StudioError as error:
        raise UserError(f"needs: the Dataset {record.name} does not fit a task of kind {need.kind}: {error}") from error
    return _with_examples(facts, train, record)


def _series(record: DatasetRecord) -> int | None:
    """How many series a Dataset says it has."""
    told = (record.model_extra or {}).get("series")
    return told if isinstance(told, int) else len(told) if isinstance(told, list | dict) else None


def _form(record: DatasetRecord) -> str | None:
    """What the rows of a chat teach; raw text among conversations has to be learnt as raw text."""
    form = (record.model_extra or {}).get("form")
    return "texts" if form == "texts and conversations" else form if isinstance(form, str) else None


def _with_examples(facts: Facts, train: Examples, record: DatasetRecord) -> Facts:
    """What rows and their target show."""
    types = {column.type for column in train.columns}
    seen = "pictures" if "picture" in types else "text" if types == {"text"} else "columns"
    labels: dict[str, int] = {}
    if train.target is not None and train.target.dtype == object:
        labels = dict(Counter(train.target.tolist()).most_common())
    return replace(
        facts,
        input=facts.input or seen,
        rows=len(train),
        test_rows=record.splits.get("test", 0),
        labels=labels,
        classes=len(labels) or facts.classes,
        columns=len(train.columns),
        notes=tuple(train.notes),
    )


def meets(facts: Facts, when: Condition, *, unknown: bool) -> bool:
    """Whether a rule speaks.

    Args:
        unknown: what is not known counts as met, or as not met.
    """
    if facts.task not in when.tasks:
        return False
    if when.inputs and not (facts.input in when.inputs if facts.input is not None else unknown):
        return False
    if when.gpu is not None and when.gpu != facts.gpu:
        return False
    bounds = [
        (facts.rows, when.rows_from, when.rows_to),
        (facts.per_label, when.per_label_from, when.per_label_to),
        (facts.columns, None, when.columns_to),
        (facts.series, when.series_from, when.series_to),
        (facts.minutes, when.minutes_from, None),
        (facts.memory, memory_of_rule(when), None),
    ]
    return all(_within(value, low, high, unknown) for value, low, high in bounds)


def memory_of_rule(when: Condition) -> int | None:
    """Bytes that a rule asks for."""
    return bytes_of(when.memory_from, "memory_from") if when.memory_from is not None else None


def _within(value: float | None, low: float | None, high: float | None, unknown: bool) -> bool:
    """Whether a value lies between two bounds, of which either may be missing."""
    if low is None and high is None:
        return True
    if value is None:
        return unknown
    return (low is None or value >= low) and (high is None or value <= high)


def assumed(facts: Facts, when: Condition) -> list[str]:
    """What a rule takes for granted that is not known."""
    asked = [
        ("rows", facts.rows, when.rows_from, when.rows_to),
        ("classes", facts.per_label, when.per_label_from, when.per_label_to),
        ("series", facts.series, when.series_from, when.series_to),
        ("minutes", facts.minutes, when.minutes_from, None),
        ("input", facts.input, when.inputs or None, None),
    ]
    return [name for name, value, low, high in asked if value is None and (low is not None or high is not None)]
