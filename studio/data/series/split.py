"""Dividing series in time: of each the last windows are test, those before them validation, the rest is train."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from studio.core.errors import DataError
from studio.data.series.grid import Held, by_series, times_of
from studio.data.series.rows import Point
from studio.data.split import Division
from studio.models.forecast.calendar import Calendar

# Last stamps of a split by series: split name to series to stamp.
Ends = dict[str, dict[str, str]]


def divide_in_time(points: Sequence[Point], calendar: Calendar, held: Held) -> tuple[Division[Point], Ends]:
    """Divide every series at the same places before its end.

    Raises:
        DataError: nothing is left for a split.
    """
    splits: dict[str, list[Point]] = {"train": [], "validation": [], "test": []}
    ends: Ends = {name: {} for name in splits}
    series = by_series(points)
    for name, rows in series.items():
        start = pd.Timestamp(rows[0].time)
        places = calendar.places(start, times_of(rows))
        count = int(places[-1]) + 1
        stamps = calendar.stamps(start, count)
        borders = {"train": count - held.test - held.validation, "validation": count - held.test, "test": count}
        for split, border in borders.items():
            if split != "validation" or held.validation:
                ends[split][name] = stamps[border - 1].isoformat()
        for point, place in zip(rows, places.tolist(), strict=True):
            splits[next(split for split, border in borders.items() if place < border)].append(point)
    empty = next((name for name, part in splits.items() if not part and (name != "validation" or held.validation)), None)
    if empty is not None:
        raise DataError(f"no value is left for {empty}: all stamps of that part of the series are without one. Add rows.")
    notes = _notes(ends["test"])
    largest = max(map(len, series.values()))
    division = Division({name: part for name, part in splits.items() if part}, len(series), len(points), largest, notes)
    return division, {name: found for name, found in ends.items() if found}


def _notes(last: dict[str, str]) -> list[str]:
    """What to know of series that do not end together."""
    different = sorted(set(last.values()))
    if len(different) < 2:
        return []
    return [
        f"series end at {len(different):,} different stamps, from {different[0]} to {different[-1]}: what happened to one while "
        "another is tested may have been learnt from"
    ]
