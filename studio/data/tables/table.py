"""A table on its way through the steps: typed columns, what each is for, and later the split of each row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from studio.core.errors import DataError, nearest
from studio.data.tables.rows import ID, RESERVED, SOURCE, SPLIT, RemovedTableRow, as_json, as_stored
from studio.data.verdicts import Drop

Role = Literal["feature", "target", "id", "group", "time", "protected", "ignored"]
_STATE = b"studio"


@dataclass(frozen=True)
class TableColumn:
    """A column. feature: whether it is predicted from. made_by: the step that added it, empty for those of the source."""

    name: str
    type: Literal["number", "category", "text", "time"]
    unit: str | None = None
    about: str | None = None
    role: Role = "feature"
    feature: bool = True
    made_by: str = ""


@dataclass
class DataTable:
    """Rows and columns.

    frame: the columns [n, c]: float64 (NaN: missing), ``str`` (NaN) or datetime64[us] (NaT). ids, sources: object [n].
    split: object [n], None before rows are divided. facts: what steps found, by step, plain JSON values for the report and
    ``dataset.json``.
    """

    frame: pd.DataFrame
    ids: np.ndarray
    sources: np.ndarray
    columns: dict[str, TableColumn]
    split: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Rows."""
        return len(self.ids)

    def part(self, places: Sequence[int] | np.ndarray) -> DataTable:
        """Some rows, in the given order."""
        chosen = np.asarray(places, dtype=np.int64)
        return replace(
            self,
            frame=self.frame.iloc[chosen].reset_index(drop=True),
            ids=self.ids[chosen],
            sources=self.sources[chosen],
            split=None if self.split is None else self.split[chosen],
        )

    @property
    def train(self) -> np.ndarray:
        """Places of the training rows; of all rows before they are divided."""
        return np.arange(len(self)) if self.split is None else np.flatnonzero(self.split == "train")

    def of_role(self, role: Role) -> TableColumn | None:
        """The column with a role that one column has at most."""
        return next((column for column in self.columns.values() if column.role == role), None)

    def chosen(self, names: Sequence[str], step: str, *, types: Sequence[str] = ()) -> list[TableColumn]:
        """Columns that a step is for: those named, or else all that are predicted from.

        Args:
            types: which types the step understands; empty means all.
        Raises:
            DataError: there is no such column, or it is of another type.
        """
        for name in names:
            self.check_name(name, f"the step {step}")
            if types and self.columns[name].type not in types:
                raise DataError(
                    f"the step {step} is for columns of type {' or '.join(types)}, and {name!r} is of type "
                    f"{self.columns[name].type}. Leave it out, or say its type under 'columns'."
                )
        found = [self.columns[name] for name in names] or [column for column in self.columns.values() if column.feature]
        return [column for column in found if not types or column.type in types]

    def check_free(self, name: str, step: str) -> None:
        """Refuse the name of a column that a step would add, where the source has one already."""
        if name in self.columns and self.columns[name].made_by != step:
            raise DataError(
                f"the step {step} adds a column {name!r}, and the table has one already. Give it another name: rename: "
                f"{{{name}: NAME}}."
            )

    def check_name(self, name: str, place: str) -> None:
        """Refuse a name that no column has."""
        if name not in self.columns:
            known = ", ".join(self.columns)
            raise DataError(
                f"{place} names the column {name!r}, which is not there.{nearest(name, self.columns)} Columns: {known}."
            )

    def gone(self, places: Sequence[int], step: str, drops: Sequence[Drop]) -> list[RemovedTableRow]:
        """Rows that a step removes, each with its verdict."""
        lines = self.frame.iloc[list(places)].to_dict("records")
        return [
            RemovedTableRow(
                id=self.ids[place],
                source=self.sources[place],
                step=step,
                reason=drop.reason,
                value=drop.value,
                threshold=drop.threshold,
                matched=drop.matched,
                row=as_json({str(name): value for name, value in line.items()}),
            )
            for place, drop, line in zip(places, drops, lines, strict=True)
        ]


def to_arrow(table: DataTable) -> pa.Table:
    """A table as it is kept between builds, its columns' meanings among the metadata."""
    arrays = {ID: pa.array(table.ids, pa.string()), SOURCE: pa.array(table.sources, pa.string())}
    if table.split is not None:
        arrays[SPLIT] = pa.array(table.split, pa.string())
    arrays |= {name: as_stored(table.frame[name], column.type) for name, column in table.columns.items()}
    state = {"columns": [asdict(column) for column in table.columns.values()], "facts": table.facts}
    return pa.table(arrays).replace_schema_metadata({_STATE: json.dumps(state, ensure_ascii=False)})


def from_arrow(table: pa.Table) -> DataTable:
    """The reverse of :func:`to_arrow`.

    Raises:
        KeyError: it is no such table.
    """
    state = json.loads((table.schema.metadata or {})[_STATE])
    columns = {facts["name"]: TableColumn(**facts) for facts in state["columns"]}
    frame = pd.DataFrame({name: as_read(table.column(name), column.type) for name, column in columns.items()})
    split = table.column(SPLIT).to_numpy(zero_copy_only=False) if SPLIT in table.column_names else None
    ids, sources = (table.column(name).to_numpy(zero_copy_only=False) for name in (ID, SOURCE))
    return DataTable(frame, ids, sources, columns, split, state["facts"])


def as_read(values: pa.ChunkedArray, kind: str) -> pd.Series:
    """A column as :class:`DataTable` has it."""
    if kind == "time":
        moments: pd.Series = values.to_pandas().dt.tz_localize(None)
        return moments.astype("datetime64[us]")
    found: pd.Series = values.to_pandas().astype("float64" if kind == "number" else "str")
    return found


def check_reserved(names: Sequence[str]) -> None:
    """Refuse columns whose names the studio needs itself."""
    taken = next((name for name in names if name in RESERVED), None)
    if taken is not None:
        raise DataError(
            f"a column is called {taken!r}, which the studio needs itself. Give it another: rename: {{{taken}: NAME}}."
        )
