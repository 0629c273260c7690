"""What a reader of whole tables gives: columns as they were found, and the rows that could not be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class FrameOptions:
    """How files are read; see :class:`studio.schema.table_recipe.TableFileOptions` for what each option means."""

    encoding: str | None = None
    delimiter: str | None = None
    header: tuple[str, ...] | None = None
    sheet: str | None = None
    records: str | None = None
    format: str = "auto"
    year: int | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that is none. number: its place among the rows of the file, from 1. reason: one clause. text: what stands there."""

    number: int
    reason: str
    text: str = ""


@dataclass
class Frame:
    """A table.

    columns: text columns as ``str``, with NaN where nothing stands; numbers, booleans and times as the file has them.
    numbers: the place of each row among the rows of its file, from 1, int64 [n]. bad: rows that are none, which are counted
    there too.
    """

    columns: pd.DataFrame
    numbers: np.ndarray
    bad: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def whole_frame(columns: pd.DataFrame, notes: Sequence[str] = ()) -> Frame:
    """A table without a bad row."""
    return Frame(columns.reset_index(drop=True), np.arange(1, len(columns) + 1, dtype=np.int64), [], list(notes))


def plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of Python objects as text, or as numbers, booleans or times where all of a column are."""
    return pd.DataFrame({str(name): plain_column(frame[name]) for name in frame.columns}, index=frame.index)


def plain_column(values: pd.Series) -> pd.Series:
    """One column; what is neither text nor a number nor a moment is written as JSON."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return plain_column(values.astype(values.cat.categories.dtype))
    if values.dtype != object:
        return values
    there = values.dropna()
    kinds = {type(value) for value in there}
    if kinds <= {int, float, Decimal, np.float64, np.int64} and kinds:
        return pd.to_numeric(values.map(float, na_action="ignore"))
    if kinds and kinds <= {datetime, date, pd.Timestamp}:
        return pd.to_datetime(values, utc=True, errors="coerce")
    return values.map(_text, na_action="ignore").astype("str")


def _text(value: Any) -> str:
    """A cell as a person would have typed it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return json.dumps(value, ensure_ascii=False, default=str)
