"""The way of rows through reading and the steps, with what was removed and recorded; what is known already is not done again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from studio.core.allocator import give_back_freed_memory
from studio.core.errors import DataError
from studio.core.records import StepRecord
from studio.core.telling import counted
from studio.data.cache import Gone, Row, Snapshot, StepCache
from studio.data.shelf import Joined, Shelf

Tell = Callable[[str], None]


@dataclass
class StepResult(Generic[Row, Gone]):
    """What a step left, what it removed, and its record. figures: plain JSON values to keep with it."""

    rows: Sequence[Row]
    removed: Sequence[Gone]
    record: StepRecord
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


class Removed(Protocol):
    """A removed row of any kind."""

    @property
    def reason(self) -> str:
        """Why it was removed."""


R = TypeVar("R", bound=Removed)


def judged(
    name: str,
    settings: dict[str, Any],
    rows_in: int,
    kept: Sequence[Row],
    removed: Sequence[R],
    *,
    changed: int = 0,
    started: float,
    notes: list[str] | None = None,
    figures: dict[str, Any] | None = None,
    reasons: dict[str, int] | None = None,
) -> StepResult[Row, R]:
    """The result of a step (or of reading) with its record: counts, reasons from the most frequent on, seconds.

    Args:
        settings: what the recipe says about the step.
        started: ``time.perf_counter()`` at its beginning.
        reasons: removed rows by reason, where the reasons themselves would be too many; None counts them.
    """
    counted = Counter(gone.reason for gone in removed).most_common()
    record = StepRecord(
        name=name,
        settings=settings,
        rows_in=rows_in,
        rows_out=len(kept),
        changed=changed,
        removed=dict(counted) if reasons is None else reasons,
        seconds=round(time.perf_counter() - started, 3),
    )
    return StepResult(kept, removed, record, notes or [], figures or {})


# Rows lost while reading are the fault of the files, of what wrote or fetched them, or of what the recipe says of these; no step
# can be loosened.
_AT_THE_BEGINNING = {
    "read": "Mend the files, or what the recipe says of their format.",
    "write": "Give the writer another model or prompt, or raise its limits.",
    "fetch": "Look at the addresses, rules and limits of the source.",
}


class Stages(Generic[Row, Gone]):
    """Rows on their way; one key per stage, reading first.

    figures: those of reading. told: the same of every stage, in their order.
    """

    def __init__(self, keys: list[str], cache: StepCache[Row, Gone], tell: Tell) -> None:
        self._keys, self._cache, self._tell = keys, cache, tell
        self._forget()

    def _forget(self) -> None:
        """Start over."""
        self.rows: Sequence[Row] = []
        self._removed: list[Sequence[Gone]] = []
        self.steps: list[StepRecord] = []
        self.notes: list[str] = []
        self.figures: dict[str, Any] = {}
        self.told: list[dict[str, Any]] = []

    @property
    def removed(self) -> Sequence[Gone]:
        """All that was removed so far, in order."""
        if any(isinstance(part, Shelf) for part in self._removed):
            return Joined(self._removed)
        return [gone for part in self._removed for gone in part]

    def run(self, read: Callable[[], StepResult[Row, Gone]], judge: Callable[[int, Sequence[Row]], StepResult[Row, Gone]]) -> int:
        """Run what is not known yet.

        Args:
            read: reads all sources.
            judge: runs the step with a number, counted from 0, on the rows that are left.
        Returns:
            how many stages were reused.
        Raises:
            DataError: no row is left; says which step took most.
        """
        reused = self._restore(self._cache.latest(self._keys))
        if reused:
            self._tell(f"reused {reused} of {len(self._keys)} stages, {counted(len(self.rows))}")
        for position in range(reused, len(self._keys)):
            if position and not self.rows:
                raise DataError(self._nothing_left())
            result = judge(position - 1, self.rows) if position else read()
            self._take(result)
            if isinstance(result.rows, Shelf):
                give_back_freed_memory()
            figures = {"record": result.record.model_dump(), "notes": result.notes, **result.figures}
            self._cache.put(self._keys[position], Snapshot(result.rows, result.removed, figures))
            if position:
                self._cache.forget_parts(self._keys[position - 1])
            if not position:
                self.figures = figures
        if not self.rows:
            raise DataError(self._nothing_left())
        return reused

    def _restore(self, known: int) -> int:
        """Take over the results of the first stages; fewer when one of them turns out to be damaged."""
        while known:
            rows = self._cache.rows(self._keys[known - 1])
            if rows is None:
                known -= 1
                continue
            for position, key in enumerate(self._keys[:known]):
                found = self._cache.removed(key)
                if found is None:
                    self._forget()
                    known = position
                    break
                self._adopt(*found)
            else:
                self.rows = rows
                return known
        return 0

    def _adopt(self, removed: Sequence[Gone], figures: dict[str, Any]) -> None:
        """Take over what one stage removed and recorded."""
        record = StepRecord.model_validate(figures["record"])
        self._removed.append(removed)
        self.notes += [f"{record.name}: {note}" for note in figures.get("notes", [])]
        self.figures = self.figures or figures
        self.told.append(figures)
        self.steps.append(record)

    def _take(self, result: StepResult[Row, Gone]) -> None:
        """Go on with what a step left."""
        self.rows = result.rows
        self._removed.append(result.removed)
        self.told.append(result.figures)
        self.steps.append(result.record)
        self.notes += [f"{result.record.name}: {note}" for note in result.notes]
        record = result.record
        gone = f", {record.rows_in - record.rows_out:,} removed" if record.rows_in > record.rows_out else ""
        changed = f", {record.changed:,} changed" if record.changed else ""
        self._tell(f"{record.name}: {counted(record.rows_out)}{gone}{changed} ({record.seconds:.1f} s)")

    def blame(self) -> str:
        """A sentence about the step that removed most, with a blank before it; empty where no step took a tenth."""
        worst = max(self.steps, key=lambda step: step.rows_in - step.rows_out)
        gone = worst.rows_in - worst.rows_out
        if gone <= 0.1 * worst.rows_in:
            return ""
        return f" The step {worst.name!r} removed {gone:,} of {worst.rows_in:,} rows ({next(iter(worst.removed), 'no reason')})."

    def _nothing_left(self) -> str:
        """One sentence when the steps removed everything."""
        worst = max(self.steps, key=lambda step: step.rows_in - step.rows_out)
        reason = next(iter(worst.removed), "no reason")
        name, remedy = worst.name, "Loosen that step in the recipe."
        if worst is self.steps[0]:
            at = Counter(getattr(gone, "step", name) for part in self._removed[:1] for gone in part)
            name = max(at, key=lambda one: at[one], default=name)
            remedy = _AT_THE_BEGINNING.get(name, _AT_THE_BEGINNING["read"])
        return (
            f"no row is left: the step {name!r} removed {worst.rows_in - worst.rows_out:,} of {worst.rows_in:,} "
            f"({reason}). {remedy}"
        )
