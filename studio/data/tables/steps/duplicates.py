"""Rows that are equal to an earlier one."""

from __future__ import annotations

import numpy as np

from studio.data.tables.steps.base import Outcome, TableStep
from studio.data.tables.table import DataTable
from studio.data.verdicts import Drop


class ExactRows(TableStep):
    """See :class:`studio.schema.table_steps.ExactRowsStep`."""

    learns = False

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns

    def run(self, table: DataTable) -> Outcome:
        """Drop every row but the first of those that are equal."""
        compared = (
            [column.name for column in table.chosen(self._columns, "exact_duplicates")] if self._columns else comparable(table)
        )
        doubled = table.frame[compared].duplicated(keep=False).to_numpy()
        places = np.flatnonzero(doubled)
        first: dict[int, int] = {}
        drops: dict[int, Drop] = {}
        for place, group in zip(places.tolist(), same_values(table, compared, places).tolist(), strict=True):
            if (earlier := first.setdefault(group, place)) != place:
                drops[place] = Drop("repeats an earlier row", None, "a row that differs", str(table.ids[earlier]))
        return Outcome(table, drops)


def comparable(table: DataTable) -> list[str]:
    """Columns in which equal rows are equal: all but the id and those that a step added."""
    return [column.name for column in table.columns.values() if column.role != "id" and not column.made_by]


def same_values(table: DataTable, columns: list[str], places: np.ndarray) -> np.ndarray:
    """A number for each of some rows, the same for equal ones, int64 [places]; missing values equal each other."""
    if not len(places):
        return np.zeros(0, dtype=np.int64)
    rows = table.frame[columns].iloc[places]
    found: np.ndarray = rows.groupby(columns, dropna=False, sort=False, observed=True).ngroup().to_numpy()
    return found
