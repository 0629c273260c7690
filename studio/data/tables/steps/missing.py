"""Missing values: their rows dropped, or where they were said in a column of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from studio.core.telling import counted
from studio.data.tables.steps.base import Outcome, TableStep, listed
from studio.data.tables.table import DataTable, TableColumn
from studio.data.verdicts import Drop


class MissingValues(TableStep):
    """See :class:`studio.schema.table_steps.MissingValuesStep`."""

    def __init__(self, columns: list[str], action: str) -> None:
        self._columns, self._action = columns, action
        self.learns = action == "flag"

    def run(self, table: DataTable) -> Outcome:
        """Drop rows, or add a column for each that lacks values in training rows."""
        columns = table.chosen(self._columns, "missing")
        gone = {column.name: table.frame[column.name].isna().to_numpy() for column in columns}
        if self._action == "drop":
            return Outcome(table, _drops(gone))
        return _flagged(table, {name: where for name, where in gone.items() if where[table.train].any()})


def _drops(gone: dict[str, np.ndarray]) -> dict[int, Drop]:
    """Rows in which something is missing."""
    drops: dict[int, Drop] = {}
    for name, where in gone.items():
        for place in np.flatnonzero(where).tolist():
            drops.setdefault(place, Drop("a value is missing", name, "a value in each of the columns"))
    return drops


def _flagged(table: DataTable, gone: dict[str, np.ndarray]) -> Outcome:
    """A column of yes and no beside each that lacks values."""
    frame, columns = table.frame.copy(deep=False), dict(table.columns)
    for name, where in gone.items():
        flag = f"{name} missing"
        table.check_free(flag, "missing")
        frame[flag] = pd.Series(np.where(where, "yes", "no"), dtype="str")
        about = f"whether {name} is missing"
        columns[flag] = TableColumn(flag, "category", about=about, role="ignored", feature=False, made_by="missing")
    if not gone:
        return Outcome(table)
    changed = int(np.logical_or.reduce(list(gone.values())).sum())
    counts = listed({name: int(where.sum()) for name, where in gone.items()})
    notes = [f"{counted(changed)} lack a value: {counts}; a column 'NAME missing' beside each says where"]
    return Outcome(replace(table, frame=frame, columns=columns), changed=changed, notes=notes)
