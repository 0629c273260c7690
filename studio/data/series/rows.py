"""Observations as they lie in a Dataset, on their way through a build, and as the series that models take.

Legend: t stamps of a series, k covariates known ahead, p covariates known up to the present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from studio.core.errors import DataError, UserError
from studio.core.records import DatasetRecord
from studio.data.cache import Codec
from studio.data.kinds import rows_of
from studio.data.parquet import read_removed_table, read_split_table, read_whole_dataset
from studio.models.forecast.calendar import Calendar
from studio.models.forecast.panel import Panel, Series

KIND = "series"


@dataclass(frozen=True, slots=True)
class Point:
    """One observation. time: without a zone, UTC where one was named. covariates: known, then past ones; nan where missing."""

    id: str
    series: str
    time: datetime
    value: float
    covariates: tuple[float, ...]
    source: str


@dataclass(frozen=True, slots=True)
class RemovedPoint:
    """A row that is no observation, or whose series cannot be used, with the reason."""

    id: str
    source: str
    series: str | None
    time: str | None
    step: str
    reason: str
    value: str | None = None
    threshold: str | None = None
    matched: str | None = None


REMOVED_SCHEMA = pa.schema([(name, pa.string()) for name in RemovedPoint.__slots__])
ROW_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("series", pa.string()),
        ("time", pa.timestamp("us")),
        ("value", pa.float64()),
        ("filled", pa.bool_()),
        ("source", pa.string()),
    ]
)
"""Columns of a split, before one column of numbers for each covariate."""
_POINT_SCHEMA = pa.schema([*(field for field in ROW_SCHEMA if field.name != "filled"), ("covariates", pa.list_(pa.float64()))])


def points_to_table(points: Sequence[Point]) -> pa.Table:
    """Observations on their way."""
    columns = {name: [getattr(point, name) for point in points] for name in _POINT_SCHEMA.names}
    return pa.table(columns, schema=_POINT_SCHEMA)


def table_to_points(table: pa.Table) -> list[Point]:
    """The reverse of :func:`points_to_table`."""
    columns = {name: table.column(name).to_pylist() for name in Point.__slots__}
    columns["covariates"] = [tuple(values) for values in columns["covariates"]]
    return [Point(*values) for values in zip(*columns.values(), strict=True)]


def removed_to_table(removed: Sequence[RemovedPoint]) -> pa.Table:
    """Removed rows as they lie in ``removed.parquet``."""
    return pa.Table.from_pylist([asdict(gone) for gone in removed], schema=REMOVED_SCHEMA)


def table_to_removed(table: pa.Table) -> list[RemovedPoint]:
    """The reverse of :func:`removed_to_table`."""
    return [RemovedPoint(**line) for line in table.to_pylist()]


CODEC: Codec[Point, RemovedPoint] = Codec(points_to_table, table_to_points, removed_to_table, table_to_removed)


def read_removed_points(folder: Path) -> list[RemovedPoint]:
    """Every row that was dropped while a Dataset was built."""
    return table_to_removed(read_removed_table(folder))


def facts_of(record: DatasetRecord) -> dict[str, Any]:
    """What ``dataset.json`` says of the series.

    Raises:
        UserError: the Dataset holds something else.
    """
    if record.kind != KIND:
        raise UserError(
            f"the dataset {record.name} holds {rows_of(record)}, not time series. Build one: studio data build series/employment"
        )
    facts: dict[str, Any] = (record.model_extra or {})["series"]
    return facts


def split_lengths(folder: Path) -> dict[str, int]:
    """Stamps of each series in validation and test: those of its last windows."""
    facts = facts_of(read_whole_dataset(folder))
    return {split: facts["horizon"] * facts[name] for split, name in (("validation", "validation"), ("test", "windows"))}


def read_panel(folder: Path, splits: Sequence[str]) -> Panel:
    """Some splits of a Dataset, joined in time, as series on their grid; a stamp without a row is nan.

    Args:
        splits: in the order of time, without a hole between them.
    Raises:
        UserError: no such split, or the Dataset holds something else.
        StudioError: a file's bytes are not those that were written.
    """
    record = read_whole_dataset(folder)
    facts = facts_of(record)
    tables = [read_split_table(folder, record, split).to_pandas() for split in splits]
    frame = pd.concat(tables, ignore_index=True)
    known, past = tuple(facts["known"]), tuple(facts["past"])
    calendar = Calendar(facts["frequency"], facts["season_length"])
    ends = {name: pd.Timestamp(last) for name, last in facts["ends"][splits[-1]].items()}
    series = [_series(name, rows, ends[name], calendar, known, past) for name, rows in frame.groupby("series", sort=True)]
    return Panel(calendar, series, known, past, facts["unit"])


def _series(
    name: str, rows: pd.DataFrame, end: pd.Timestamp, calendar: Calendar, known: tuple[str, ...], past: tuple[str, ...]
) -> Series:
    """One series up to the last stamp of its split, also where no value stands at that stamp."""
    start = pd.Timestamp(rows["time"].min())
    places = calendar.places(start, pd.DatetimeIndex(rows["time"]))
    if (places < 0).any():
        raise DataError(f"the series {name} does not lie on the grid {calendar.frequency}. Build the dataset again.")
    count = int(calendar.places(start, pd.DatetimeIndex([end]))[0]) + 1
    values, seen = np.full(count, np.nan), np.zeros(count, dtype=bool)
    values[places] = rows["value"].to_numpy()
    seen[places] = ~rows["filled"].to_numpy()

    def table(names: tuple[str, ...]) -> np.ndarray:
        found = np.full((count, len(names)), np.nan)
        found[places] = rows[list(names)].to_numpy(dtype=np.float64)
        return found

    return Series(name, start, values, seen, table(known), table(past))
