"""How a table lies on disk: parquet with native columns, and every row that was removed, with its values as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from studio.core.errors import UserError
from studio.core.records import DatasetRecord
from studio.data.kinds import rows_of
from studio.data.parquet import read_removed_table, read_split_table, read_whole_dataset
from studio.schema.columns import Column

ID, SOURCE, SPLIT = "studio_id", "studio_source", "studio_split"
RESERVED = (ID, SOURCE, SPLIT)
"""Names that columns of people cannot have."""
REMOVED_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "step", "reason", "value", "threshold", "matched", "row")]
)
# Whole numbers up to here are exact as float64.
_EXACT = 2.0**53


@dataclass(frozen=True)
class RemovedTableRow:
    """A row that was dropped: by which step, why, the value that was seen, the limit it broke, the row it repeats.

    row: all its values, as JSON.
    """

    id: str
    source: str
    step: str
    reason: str
    value: str | None = None
    threshold: str | None = None
    matched: str | None = None
    row: str = "{}"


def removed_to_table(removed: Sequence[RemovedTableRow]) -> pa.Table:
    """Arrow table of removed rows, in the order they were removed."""
    return pa.table({name: [getattr(gone, name) for gone in removed] for name in REMOVED_SCHEMA.names}, schema=REMOVED_SCHEMA)


def table_to_removed(table: pa.Table) -> list[RemovedTableRow]:
    """Removed rows of an Arrow table."""
    return [RemovedTableRow(**line) for line in table.to_pylist()]


def read_removed_rows(folder: Path) -> list[RemovedTableRow]:
    """Read every row that was dropped while a Dataset was built.

    Raises:
        StudioError: the file is missing or damaged.
    """
    return table_to_removed(read_removed_table(folder))


def read_table_split(folder: Path, split: str) -> pd.DataFrame:
    """One split of a finished table: :data:`ID`, :data:`SOURCE`, then its columns.

    Raises:
        UserError: the folder is no Dataset of a table, or it has no such split.
        StudioError: the file's bytes are not those that were written.
    """
    record = table_record(folder)
    frame: pd.DataFrame = read_split_table(folder, record, split).to_pandas()
    return frame


def table_record(folder: Path) -> DatasetRecord:
    """The record of a finished table.

    Raises:
        UserError: the folder is no Dataset, or one of another kind.
    """
    record = read_whole_dataset(folder)
    if record.kind != "table":
        raise UserError(
            f"the dataset {record.name} holds {rows_of(record)}, not rows of a table. Build one: studio data build table/…"
        )
    return record


def column_facts(record: DatasetRecord) -> list[dict[str, Any]]:
    """What ``dataset.json`` says of each column."""
    return list((record.model_extra or {}).get("columns", []))


def known_columns(record: DatasetRecord) -> dict[str, Column]:
    """Columns of a finished table by name."""
    return {
        facts["name"]: Column.model_validate({key: facts.get(key) for key in ("name", "type", "unit", "about")})
        for facts in column_facts(record)
    }


def as_stored(values: pd.Series, kind: str) -> pa.Array:
    """A column as it lies on disk: whole numbers as int64, others as float64; text; microseconds in UTC."""
    if kind == "time":
        return pa.array(values.to_numpy("datetime64[us]"), pa.timestamp("us", tz="UTC"), from_pandas=True)
    if kind != "number":
        return pa.array(values.to_numpy(object), pa.string(), from_pandas=True)
    numbers = values.to_numpy(np.float64)
    gone = np.isnan(numbers)
    there = numbers[~gone]
    if len(there) and (there == np.floor(there)).all() and (np.abs(there) < _EXACT).all():
        return pa.array(np.where(gone, 0, numbers).astype(np.int64), mask=gone)
    return pa.array(numbers, from_pandas=True)


def as_json(values: dict[str, Any]) -> str:
    """The values of a row as JSON; a missing one is null."""
    return json.dumps({name: plain(value) for name, value in values.items()}, ensure_ascii=False, default=str)


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, float | np.floating):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < _EXACT else number
    if isinstance(value, pd.Timestamp | np.datetime64):
        moment = pd.Timestamp(value)
        return moment.date().isoformat() if moment == moment.normalize() else moment.isoformat()
    return value.item() if isinstance(value, np.generic) else value
