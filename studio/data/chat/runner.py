"""Running one cleaning step over all rows, in several processes where that is worth it."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from studio.data.chat.changes import Changes
from studio.data.chat.rows import CODEC, ChatRow, RemovedRow
from studio.data.chat.steps.base import CorpusStep, RowStep, Verdict
from studio.data.shelf import Form, Shelf, Shelves, parts_of
from studio.data.stages import StepResult, judged
from studio.data.verdicts import Drop, carry_out
from studio.data.workers import Answer, Workers

T = TypeVar("T")

# Below this much text, starting processes costs more than they save.
_WORTH_CHARACTERS = 8_000_000
_CHUNK_CHARACTERS = 1_000_000
# Parts of a shelf that helpers may work on besides the one that is waited for.
_PARTS_AHEAD = 2

_Task = tuple[int, Answer[list[tuple[int, Verdict]]]]
"""Number of the first row, and what became of the rows from there that are not as they were."""
_Asked = tuple[Sequence[ChatRow], Path | None, list[_Task]]


@dataclass
class _Outcome:
    """What became of rows: those that stay, those that go, how many were changed."""

    kept: list[ChatRow] | Shelf[ChatRow]
    removed: list[RemovedRow] | Shelf[RemovedRow]
    changes: Changes
    changed: int = 0

    def take(
        self,
        name: str,
        rows: Sequence[ChatRow],
        verdicts: Iterable[Verdict | None],
        file: Path | None,
        form: Callable[[ChatRow], ChatRow] = lambda row: row,
    ) -> None:
        """Carry out the verdicts of a step on some rows.

        Args:
            file: in which the rows lie, None for those in memory; where all stay as they are it need not be written again.
            form: how a row is kept among the removed ones.
        """
        kept, dropped, changed = carry_out(rows, self._watched(rows, verdicts))
        if file is not None and isinstance(self.kept, Shelf) and not dropped and not changed:
            self.kept.link(file)
            return
        self.kept.extend(kept)
        self.removed.extend(
            RemovedRow(form(row), name, drop.reason, drop.value, drop.threshold, drop.matched) for row, drop in dropped
        )
        self.changed += changed

    def _watched(self, rows: Sequence[ChatRow], verdicts: Iterable[Verdict | None]) -> Iterator[Verdict | None]:
        """The verdicts; a few of the rows that they change are remembered."""
        for row, verdict in zip(rows, verdicts, strict=True):
            if verdict is not None and verdict is not row and isinstance(verdict, ChatRow):
                self.changes.note(row, verdict)
            yield verdict


def run_step(
    name: str, settings: dict[str, Any], step: RowStep | CorpusStep, rows: Sequence[ChatRow], crew: Workers, shelves: Shelves
) -> StepResult[ChatRow, RemovedRow]:
    """Judge all rows with one step; rows on a shelf part by part, and what is left of them goes onto a new one.

    Args:
        name: registry key, for the record and ``removed.parquet``.
        settings: what the recipe says about the step, for the record.
    """
    started = time.perf_counter()
    found = _Outcome(_empty(rows, shelves, CODEC.row_form), _empty(rows, shelves, CODEC.gone_form), Changes(name))
    if isinstance(step, RowStep):
        before, after, gone = (_empty(rows, shelves, CODEC.row_form) for _ in range(3))
        for part, file, verdicts in _judge_rows(step, rows, crew):
            if type(step).tell is not RowStep.tell:
                altered = [(row, verdict) for row, verdict in zip(part, verdicts, strict=True) if verdict is not row]
                changed = [(row, verdict) for row, verdict in altered if isinstance(verdict, ChatRow)]
                before.extend(row for row, _ in changed)
                after.extend(row for _, row in changed)
            if type(step).tell_removed is not RowStep.tell_removed:
                gone.extend(row for row, verdict in zip(part, verdicts, strict=True) if isinstance(verdict, Drop))
            found.take(name, part, verdicts, file, step.removed_form)
        notes = [*step.tell(before, after), *step.tell_removed(gone)]
    else:
        step.crew = crew
        judged_by = iter(step.judge_all(rows))
        for part, file in parts_of(rows):
            found.take(name, part, itertools.islice(judged_by, len(part)), file)
        notes = list(step.notes)
    figures = {"examples": found.changes.told()} if found.changed else {}
    result = judged(
        name, settings, len(rows), found.kept, found.removed, changed=found.changed, started=started, notes=notes, figures=figures
    )
    if isinstance(step, CorpusStep) and step.box is not None:
        result.record = result.record.model_copy(update={"box": step.box})
    return result


def _empty(rows: Sequence[ChatRow], shelves: Shelves, form: Form[T]) -> list[T] | Shelf[T]:
    """Where rows go that come of others: into a list, or onto a shelf where those lie on one."""
    return shelves.new(form) if isinstance(rows, Shelf) else []


def _judge_rows(
    step: RowStep, rows: Sequence[ChatRow], crew: Workers
) -> Iterator[tuple[Sequence[ChatRow], Path | None, Sequence[Verdict]]]:
    """Rows, as many at a time as may be in memory, with their file and the verdicts of a step that looks at one row at a time."""
    waiting: deque[_Asked] = deque()
    for part, file in parts_of(rows):
        sizes = [sum(len(turn["content"]) for turn in row.turns) for row in part]
        # Rows that lie on a shelf are many, however few a part holds.
        if crew.alone or not (isinstance(rows, Shelf) or sum(sizes) >= _WORTH_CHARACTERS):
            yield part, file, [step.judge(row) for row in part]
            continue
        tasks = [(start, crew.pool().submit(_judge_chunk, step, part[start:stop])) for start, stop in _chunks(sizes)]
        waiting.append((part, file, tasks))
        # While one part is carried out, helpers are at work on the next ones.
        if len(waiting) > _PARTS_AHEAD:
            yield _answered(*waiting.popleft())
    while waiting:
        yield _answered(*waiting.popleft())


def _answered(
    part: Sequence[ChatRow], file: Path | None, tasks: Sequence[_Task]
) -> tuple[Sequence[ChatRow], Path | None, Sequence[Verdict]]:
    """Rows with their verdicts, once these are there."""
    verdicts: list[Verdict] = list(part)
    for start, task in tasks:
        for offset, verdict in task.result():
            verdicts[start + offset] = verdict
    return part, file, verdicts


def _chunks(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Half-open ranges of rows with about the same amount of text."""
    start = total = 0
    for index, size in enumerate(sizes):
        total += size
        if total >= _CHUNK_CHARACTERS:
            yield start, index + 1
            start, total = index + 1, 0
    if start < len(sizes):
        yield start, len(sizes)


def _judge_chunk(step: RowStep, rows: Sequence[ChatRow]) -> list[tuple[int, Verdict]]:
    """Verdicts that differ from the row itself: only those travel back."""
    judged = ((offset, row, step.judge(row)) for offset, row in enumerate(rows))
    return [(offset, verdict) for offset, row, verdict in judged if verdict is not row]
