"""Running one cleaning step over all rows, in several processes where that is worth it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.steps.base import CorpusStep, RowStep, Verdict
from studio.data.stages import StepResult, judged
from studio.data.verdicts import carry_out
from studio.data.workers import Workers

# Below this much text, starting processes costs more than they save.
_WORTH_CHARACTERS = 8_000_000
_CHUNK_CHARACTERS = 1_000_000


def run_step(
    name: str, settings: dict[str, Any], step: RowStep | CorpusStep, rows: Sequence[ChatRow], crew: Workers
) -> StepResult[ChatRow, RemovedRow]:
    """Judge all rows with one step.

    Args:
        name: registry key, for the record and ``removed.parquet``.
        settings: what the recipe says about the step, for the record.
    """
    started = time.perf_counter()
    verdicts = _judge_rows(step, rows, crew) if isinstance(step, RowStep) else step.judge_all(rows)
    kept, dropped, changed = carry_out(rows, verdicts)
    form = step.removed_form if isinstance(step, RowStep) else (lambda row: row)
    removed = [RemovedRow(form(row), name, drop.reason, drop.value, drop.threshold, drop.matched) for row, drop in dropped]
    if isinstance(step, CorpusStep):
        notes = list(step.notes)
    else:
        pairs = [(row, verdict) for row, verdict in zip(rows, verdicts, strict=True) if verdict is not row]
        altered = [(row, verdict) for row, verdict in pairs if isinstance(verdict, ChatRow)]
        notes = step.tell([row for row, _ in altered], [verdict for _, verdict in altered])
        notes += step.tell_removed([row for row, _ in dropped])
    result = judged(name, settings, len(rows), kept, removed, changed=changed, started=started, notes=notes)
    if isinstance(step, CorpusStep) and step.box is not None:
        result.record = result.record.model_copy(update={"box": step.box})
    return result


def _judge_rows(step: RowStep, rows: Sequence[ChatRow], crew: Workers) -> list[Verdict]:
    """Verdicts of a step that looks at one row at a time."""
    sizes = [sum(len(turn["content"]) for turn in row.turns) for row in rows]
    if crew.count < 2 or sum(sizes) < _WORTH_CHARACTERS:
        return [step.judge(row) for row in rows]
    verdicts: list[Verdict] = list(rows)
    chunks = list(_chunks(sizes))
    tasks = [crew.pool().submit(_judge_chunk, step, rows[start:stop]) for start, stop in chunks]
    for (start, _), task in zip(chunks, tasks, strict=True):
        for offset, verdict in task.result():
            verdicts[start + offset] = verdict
    return verdicts


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
