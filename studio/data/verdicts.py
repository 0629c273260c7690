"""What a cleaning step of any kind says of a row: it stays, changed or not, or it goes for a reason.

A row that stays as it is may be said by the row itself or by None, which holds no row in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True)
class Drop:
    """A verdict against a row. value: what was seen; threshold: the limit it broke; matched: id of the row it repeats."""

    reason: str
    value: str | None = None
    threshold: str | None = None
    matched: str | None = None


def carry_out(rows: Sequence[Row], verdicts: Iterable[Row | Drop | None]) -> tuple[list[Row], list[tuple[Row, Drop]], int]:
    """Rows that stay, rows that go with their verdict, and how many that stay were changed (are another object)."""
    kept: list[Row] = []
    dropped: list[tuple[Row, Drop]] = []
    changed = 0
    for row, verdict in zip(rows, verdicts, strict=True):
        if isinstance(verdict, Drop):
            dropped.append((row, verdict))
        elif verdict is None:
            kept.append(row)
        else:
            changed += verdict is not row
            kept.append(verdict)
    return kept, dropped, changed
