"""Which column of a table is the time, which tells series apart, which are values and covariates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import DataError, nearest
from studio.data.series.stamps import looks_like_stamps

TIMES = ("time", "date", "ds", "timestamp", "datetime", "month", "quarter", "week", "day", "hour", "year", "period")
SERIES = ("unique_id", "series", "series_id", "item_id")
VALUES = ("value", "y", "target")
MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "?", "."})
"""Texts (in any case) that say that there is no value."""


_LOOKED_AT = 1000


@dataclass(frozen=True)
class Found:
    """Columns by what they hold. series: None where each column of ``values`` is a series, or the file holds one only."""

    time: str
    series: str | None
    values: tuple[str, ...]
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    unused: tuple[str, ...] = field(default=(), compare=False)

    def as_json(self) -> dict[str, Any]:
        """As ``dataset.json`` and a Run keep it."""
        return {
            "time": self.time,
            "series": self.series,
            "values": list(self.values),
            "known": list(self.known),
            "past": list(self.past),
        }


def find_columns(frame: pd.DataFrame, said: Any, form: str, where: str) -> Found:
    """What each column holds, as said, by the usual names, or by what stands in it.

    Args:
        said: a :class:`studio.schema.series_recipe.SeriesColumns`.
        form: ``auto``, ``long`` or ``wide``.
    Raises:
        DataError: a column that is named is not there, or it is not clear which is meant.
    """
    given = said.value if isinstance(said.value, list) else [said.value] if said.value else []
    for name in [said.time, said.series, *given, *said.known, *said.past, *said.ignore]:
        if name is not None and name not in frame.columns:
            raise DataError(
                f"{where}: there is no column {name!r}.{nearest(name, frame.columns)} Columns: {', '.join(frame.columns)}."
            )
    free = [name for name in frame.columns if name not in {*given, *said.known, *said.past, *said.ignore, said.series}]
    time = said.time or _usual(free, TIMES) or next((name for name in free if looks_like_stamps(frame[name])), None)
    if time is None:
        raise DataError(f"{where}: no column holds stamps ({', '.join(frame.columns)}). Name it: columns.time")
    free = [name for name in free if name != time]
    series = said.series or (_usual(free, SERIES) if form != "wide" else None)
    free = [name for name in free if name != series]
    numbers = [name for name in free if _mostly_numbers(frame[name])]
    usual = _usual(free, VALUES) if form != "wide" else None
    values = given or ([usual] if usual else numbers)
    if not values:
        raise DataError(f"{where}: no column holds numbers ({', '.join(frame.columns)}). Name the values: columns.value")
    if len(values) > 1 and (series is not None or form == "long"):
        apart = f"the series stand in {series!r}" if series else "form is long"
        raise DataError(f"{where}: {apart}, and {', '.join(values)} may all be the value. Name one: columns.value")
    unused = tuple(name for name in free if name not in values)
    return Found(time, series, tuple(values), tuple(said.known), tuple(said.past), unused)


def numbers_of(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """A column as float64 [n], nan where it holds no number; and bool [n] where it holds something that is none."""
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan), np.zeros(len(values), dtype=bool)
    texts = values.fillna("").astype("str").str.strip()
    read = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    missing = texts.str.casefold().isin(MISSING).to_numpy()
    return np.where(missing, np.nan, read), np.isnan(read) & ~missing


def _usual(columns: list[str], names: tuple[str, ...]) -> str | None:
    """The first column of a usual name, in any case."""
    by_name = {name.casefold(): name for name in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def _mostly_numbers(values: pd.Series) -> bool:
    """True where more of a column's first values are numbers than are not."""
    read, wrong = numbers_of(values.head(_LOOKED_AT))
    return bool(np.isfinite(read).sum() > wrong.sum())
