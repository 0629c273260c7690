"""What a step for tables is: something that sees all rows at once, and says why each row that goes has to go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from studio.core.telling import counted
from studio.data.tables.table import DataTable
from studio.data.verdicts import Drop


@dataclass
class Outcome:
    """What a step did.

    table: with its values changed, before rows go. drops: places of rows that go, with the verdict. changed: rows whose
    values were altered. notes: for people. facts: plain JSON values for the report.
    """

    table: DataTable
    drops: dict[int, Drop] = field(default_factory=dict)
    changed: int = 0
    notes: list[str] = field(default_factory=list)
    facts: Any = None


class TableStep(ABC):
    """A step. learns: whether it looks at training rows to decide; rows are divided before the first one that does."""

    learns: bool = True

    @abstractmethod
    def run(self, table: DataTable) -> Outcome:
        """Judge a table.

        Raises:
            DataError: a column that was named is not there, or the recipe says to stop at what was found.
        """


def listed(counts: dict[str, int], most: int = 6) -> str:
    """``a (12), b (3)``, from the largest on; what goes beyond ``most`` is counted."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    more = f" and {counted(len(ordered) - most, 'more column')}" if len(ordered) > most else ""
    return ", ".join(f"{name} ({count:,})" for name, count in ordered[:most]) + more
