"""Running one cleaning step over all rows, in several processes where that is worth it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from studio.core.records import StepRecord
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.steps.base import CorpusStep, Drop, RowStep, Verdict
from studio.data.stages import StepResult

# Below this much text, starting processes costs more than they save.
_WORTH_CHARACTERS = 8_000_000
_CHUNK_CHARACTERS = 1_000_000


def leave_interrupts() -> None:
    """Ctrl-C reaches all processes of a terminal; the first one deals with it and stops the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Workers:
    """Processes that judge rows; none is started before the first step that is worth it."""

    def __init__(self, count: int | None = None, prepare: Callable[[], None] = leave_interrupts) -> None:
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
    kept: list[ChatRow] = []
    removed: list[RemovedRow] = []
    changed = 0
    for row, verdict in zip(rows, verdicts, strict=True):
        if isinstance(verdict, Drop):
            removed.append(RemovedRow(row, name, verdict.reason, verdict.value, verdict.threshold, verdict.matched))
        else:
            changed += verdict is not row
            kept.append(verdict)
    reasons = Counter(gone.reason for gone in removed)
    record = StepRecord(
        name=name,
        settings=settings,
        rows_in=len(rows),
        rows_out=len(kept),
        changed=changed,
        removed=dict(reasons.most_common()),
        seconds=round(time.perf_counter() - started, 3),
    )
    notes = list(step.notes) if isinstance(step, CorpusStep) else []
    return StepResult(kept, removed, record, notes)


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
