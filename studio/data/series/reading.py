"""From the tables of files to observations: one per row and column of values, or a removed row with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import DataError
from studio.data.frames import FrameOptions, read_frame
from studio.data.series.columns import Found, find_columns, numbers_of
from studio.data.series.rows import Point, RemovedPoint
from studio.data.series.stamps import read_stamps
from studio.data.sources import READ_STEP

NO_VALUE = "no value"


@dataclass
class Read:
    """What a source holds. counts: observations announced, those that were removed among them."""

    points: list[Point] = field(default_factory=list)
    removed: list[RemovedPoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: Found | None = None
    empty: list[Point] = field(default_factory=list)
    """Stamps with covariates and without a value, for who forecasts them."""


def read_file_points(
    path: Path,
    source: str,
    label: str,
    said: Any,
    *,
    form: str = "auto",
    time_format: str | None = None,
    options: FrameOptions | None = None,
    alone: str,
    prefix: str,
) -> Read:
    """Observations of one file.

    Args:
        label: how the file is named to people. said: which columns hold what. form: ``auto``, ``long`` or ``wide``.
        alone: name of the series where the file holds only one. prefix: of the ids of its rows.
    Raises:
        DataError: the file cannot be read, a column is missing, or stamps are written in two ways.
    """
    frame = read_frame(path, options or FrameOptions())
    found = find_columns(frame.columns, said, form, label)
    read = Read(notes=[f"{label}: {note}" for note in frame.notes], columns=found)
    if found.unused:
        read.notes.append(f"{label}: columns that are not used: {', '.join(found.unused)}")
    for bad in frame.bad:
        gone = RemovedPoint(f"{prefix}/{bad.number}", source, None, None, READ_STEP, f"the row {bad.reason}", bad.text[:80])
        read.removed.append(gone)
    rows = frame.numbers.tolist()
    stamps = read_stamps(frame.columns[found.time], rows, found.time, label, time_format)
    read.notes += [f"{label}: {note}" for note in stamps.notes]
    covariates = _covariates(frame.columns, found, label)
    names = _names(frame.columns, found, alone)
    for value in found.values:
        wide = value if len(found.values) > 1 else ""
        own = [value] * len(rows) if wide else names
        _take(read, frame.columns[value], stamps.times, stamps.reasons, covariates, own, rows, prefix, source, wide)
    return read


def _take(
    read: Read,
    values: pd.Series,
    times: pd.DatetimeIndex,
    reasons: dict[int, str],
    covariates: np.ndarray,
    names: Sequence[str],
    rows: Sequence[int],
    prefix: str,
    source: str,
    column: str,
) -> None:
    """The observations of one column of values."""
    numbers, wrong = numbers_of(values)
    moments = times.to_pydatetime()
    told = covariates.tolist()
    there = np.isfinite(covariates).any(axis=1) if covariates.shape[1] else np.zeros(len(rows), dtype=bool)
    texts = values.tolist()
    for place, number in enumerate(rows):
        identity = f"{prefix}/{number}/{column}" if column else f"{prefix}/{number}"
        reason = reasons.get(place) or _fault(numbers[place], bool(wrong[place]), names[place])
        if reason is None:
            point = Point(identity, names[place], moments[place], float(numbers[place]), tuple(told[place]), source)
            read.points.append(point)
            continue
        time = None if place in reasons else str(times[place])
        seen = str(texts[place])[:80]
        read.removed.append(RemovedPoint(identity, source, names[place] or None, time, READ_STEP, reason, seen))
        if reason == NO_VALUE and there[place]:
            read.empty.append(Point(identity, names[place], moments[place], np.nan, tuple(told[place]), source))


def _fault(value: float, wrong: bool, name: str) -> str | None:
    """Why a cell is no observation; None where it is one."""
    if not name:
        return "no name of a series"
    if wrong:
        return "the value is no number"
    if np.isnan(value):
        return NO_VALUE
    return None if np.isfinite(value) else "the value is infinite"


def _names(frame: pd.DataFrame, found: Found, alone: str) -> list[str]:
    """The series of each row of a long table."""
    if found.series is None:
        return [alone] * len(frame)
    column = frame[found.series]
    texts = column.astype("object").where(column.notna(), "")
    return [str(text).strip().removesuffix(".0") if text != "" else "" for text in texts]


def _covariates(frame: pd.DataFrame, found: Found, label: str) -> np.ndarray:
    """Known and past covariates as float64 [n, k + p].

    Raises:
        DataError: one of them is not numbers.
    """
    columns = []
    for name in (*found.known, *found.past):
        numbers, wrong = numbers_of(frame[name])
        if wrong.any():
            place = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{label}: the covariate {name!r} holds {frame[name].iloc[place]!r} (row {place + 1:,}), and models take "
                "numbers. Write it as numbers, for example a column of 0 and 1 for each kind, or name it under columns.ignore."
            )
        columns.append(np.where(np.isfinite(numbers), numbers, np.nan))
    return np.stack(columns, axis=1) if columns else np.zeros((len(frame), 0))
