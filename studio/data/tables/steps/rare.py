"""Categories that few training rows have: folded into one, or told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.core.telling import counted
from studio.data.split import rows_of_size
from studio.data.tables.steps.base import Outcome, TableStep
from studio.data.tables.table import DataTable

_EXAMPLES = 5


class RareCategories(TableStep):
    """See :class:`studio.schema.table_steps.RareCategoriesStep`."""

    def __init__(self, columns: list[str], below: float, action: str, other: str) -> None:
        self._columns, self._below, self._action, self._other = columns, below, action, other

    def run(self, table: DataTable) -> Outcome:
        """Fold or tell rare categories."""
        train = table.train
        least = rows_of_size(self._below, len(train))
        frame, notes = table.frame.copy(deep=False), []
        touched = np.zeros(len(table), dtype=bool)
        folding = self._action == "fold"
        for column in table.chosen(self._columns, "rare_categories", types=("category",)):
            values = frame[column.name]
            counts = values.iloc[train].value_counts()
            frequent = set(counts.index[counts >= least]) | ({self._other} if folding else set())
            where = (values.notna() & ~values.isin(frequent)).to_numpy()
            if not where.any():
                continue
            names = values[where].drop_duplicates()
            shown = ", ".join(repr(name[:30]) for name in names.head(_EXAMPLES)) + (", …" if len(names) > _EXAMPLES else "")
            done = f"became {self._other!r}" if folding else "stay as they are"
            notes.append(
                f"{column.name}: {len(names):,} rare categories in {counted(int(where.sum()))} {done}, those of fewer than "
                f"{least:,} training rows or of none ({shown})"
            )
            if folding:
                frame[column.name] = values.mask(where, self._other)
                touched |= where
        return Outcome(replace(table, frame=frame), changed=int(touched.sum()), notes=notes)
