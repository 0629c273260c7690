"""Columns that say the same in every training row."""

from __future__ import annotations

from dataclasses import replace

from studio.core.errors import DataError
from studio.core.telling import counted
from studio.data.tables.steps.base import Outcome, TableStep
from studio.data.tables.table import DataTable


class ConstantColumns(TableStep):
    """See :class:`studio.schema.table_steps.ConstantColumnsStep`."""

    def __init__(self, share: float) -> None:
        self._share = share

    def run(self, table: DataTable) -> Outcome:
        """Take out columns that are predicted from and say nothing.

        Raises:
            DataError: no other column would be left to predict from.
        """
        notes, gone = [], set()
        train = table.frame.iloc[table.train]
        for column in table.columns.values():
            if not column.feature or not len(train):
                continue
            counts = train[column.name].value_counts(dropna=False)
            share = float(counts.iloc[0]) / len(train)
            if share >= self._share:
                gone.add(column.name)
                notes.append(self._note(column.name, counts.index[0], share, int(table.frame[column.name].nunique(dropna=False))))
        columns = {name: column for name, column in table.columns.items() if name not in gone}
        if gone and not any(column.feature for column in columns.values()):
            raise DataError(
                f"constant_columns would take out every column that is predicted from ({', '.join(sorted(gone))}). "
                "Add columns that differ, or leave the step out."
            )
        return Outcome(replace(table, frame=table.frame[list(columns)], columns=columns), notes=notes)

    def _note(self, name: str, value: object, share: float, distinct: int) -> str:
        """A line on a column that went."""
        said = "missing" if value is None or value != value else repr(value)
        where = "every training row" if share == 1 else f"{share:.1%} of training rows"
        more = "" if distinct == 1 or share < 1 else f"; other splits have {counted(distinct - 1, 'other value')}"
        return f"{name} is {said} in {where} and was taken out{more}"
