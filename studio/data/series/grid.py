"""Putting observations on a regular grid: one value per stamp, one frequency for all, series long enough to be held out from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from studio.core.errors import DataError
from studio.data.series.rows import Point, RemovedPoint
from studio.models.forecast.calendar import Calendar, find_frequency, horizon_of, offset_of, season_of
from studio.schema.series_recipe import SeriesRecipe

# From this share of doubled stamps on, several series lie in one column unnamed.
_MANY_DOUBLED = 0.2
# A series is on a grid where more than half of its stamps are.
_ON_GRID = 0.5
# First stamps that are tried as the beginning of the grid.
_TRIED = 5
# No series is forecast from fewer stamps.
_FEWEST = 8
_NAMED = 3


@dataclass(frozen=True)
class Held:
    """How much is held out. horizon: stamps of one window. test, validation: stamps of each series. least: stamps before them."""

    horizon: int
    test: int
    validation: int
    least: int

    @property
    def needed(self) -> int:
        """Stamps that a series needs."""
        return self.test + self.validation + self.least


def one_per_stamp(points: Sequence[Point], doubled: str) -> tuple[list[Point], list[RemovedPoint], list[str]]:
    """Points in order of series and time, of several with one stamp the first; the removed ones; notes.

    Args:
        doubled: ``remove`` or ``refuse``.
    Raises:
        DataError: stamps are doubled and that is refused, or so many that series are mixed up.
    """
    first: dict[tuple[str, object], Point] = {}
    removed = []
    for point in points:
        kept = first.setdefault((point.series, point.time), point)
        if kept is not point:
            reason = "a copy of a row" if kept.value == point.value else "a second value for one stamp"
            told = f"{point.value:g}, kept {kept.value:g}"
            removed.append(
                RemovedPoint(point.id, point.source, point.series, str(point.time), "doubled", reason, told, None, kept.id)
            )
    if removed:
        _refuse_doubled(points, removed, doubled)
    ordered = sorted(first.values(), key=lambda point: (point.series, point.time))
    times: dict[str, object] = {}
    unsorted = 0
    for point in points:
        last = times.get(point.series)
        unsorted += last is not None and point.time < last  # type: ignore[operator]
        times[point.series] = point.time
    notes = [f"{unsorted:,} rows stood before an earlier one; all were put in order of time"] if unsorted else []
    return ordered, removed, notes


def _refuse_doubled(points: Sequence[Point], removed: list[RemovedPoint], doubled: str) -> None:
    """Stop where the first value of each stamp must not simply win."""
    shown = ", ".join(f"{gone.series} {gone.time} ({gone.id}: {gone.value})" for gone in removed[:_NAMED])
    more = f" and {len(removed) - _NAMED:,} more" if len(removed) > _NAMED else ""
    if len(removed) > _MANY_DOUBLED * len(points):
        raise DataError(
            f"{len(removed):,} of {len(points):,} rows have the stamp of an earlier row of their series: {shown}{more}. Several "
            "series stand below each other: name the column that tells them apart (columns.series), or a finer time."
        )
    if doubled == "refuse":
        raise DataError(
            f"{len(removed):,} rows have the stamp of an earlier row of their series: {shown}{more}. Mend them, or take "
            "doubled: remove, which keeps the first."
        )


def by_series(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points of each series in order of names, each in order of time."""
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        groups[point.series].append(point)
    return {name: sorted(groups[name], key=lambda point: point.time) for name in sorted(groups)}


def times_of(points: Sequence[Point]) -> pd.DatetimeIndex:
    """Stamps of points."""
    return pd.DatetimeIndex([point.time for point in points]).as_unit("us")


def calendar_of(points: Sequence[Point], recipe: SeriesRecipe) -> tuple[Calendar, str]:
    """The calendar that most series have, or that the recipe says; and how it was found, in words.

    Raises:
        DataError: no series shows a frequency. UserError: the recipe's is none.
    """
    if recipe.frequency is not None:
        offset_of(recipe.frequency)
        return Calendar(recipe.frequency, recipe.season_length or season_of(recipe.frequency)), "as the recipe says"
    # Series of one panel mostly have the same stamps.
    known: dict[bytes, tuple[str, float] | None] = {}
    found: dict[str, tuple[str, float] | None] = {}
    for name, rows in by_series(points).items():
        times = times_of(rows)
        key = times.to_numpy().tobytes()
        if key not in known:
            known[key] = find_frequency(times)
        found[name] = known[key]
    votes = Counter(one[0] for one in found.values() if one is not None)
    if not votes:
        name, rows = max(by_series(points).items(), key=lambda item: len(item[1]))
        raise DataError(
            f"no frequency was found: of {name}, the longest series with {len(rows):,} stamps, no gap is more frequent than all "
            f"others together ({_gaps_told(times_of(rows))}). Say it: frequency: D"
        )
    frequency, count = votes.most_common(1)[0]
    shares = [one[1] for one in found.values() if one is not None and one[0] == frequency]
    several = f"of {count:,} of {len(found):,} series, " if len(found) > 1 else ""
    told = f"{several}found from {min(shares):.0%} of the gaps" + (" or more" if several and min(shares) < 1 else "")
    return Calendar(frequency, recipe.season_length or season_of(frequency)), told


def _gaps_told(times: pd.DatetimeIndex) -> str:
    """The most frequent gaps in words."""
    gaps = pd.Series(times[1:] - times[:-1]).value_counts()
    return ", ".join(f"{gap} {count:,} times" for gap, count in gaps.head(_NAMED).items()) or "a single stamp"


def on_grid(rows: Sequence[Point], calendar: Calendar) -> tuple[pd.Timestamp, NDArray[np.int64]] | None:
    """First stamp of a series' grid and the place of each of its rows on it, -1 beside it; None where most lie beside it."""
    times = times_of(rows)
    best: tuple[pd.Timestamp, NDArray[np.int64]] | None = None
    step = offset_of(calendar.frequency)
    for start in times[:_TRIED]:
        if not step.is_on_offset(start):
            continue
        places = calendar.places(start, times)
        if best is None or (places >= 0).sum() > (best[1] >= 0).sum():
            best = start, places
        if (places >= 0).all():
            break
    return best if best is not None and (best[1] >= 0).mean() > _ON_GRID else None


def put_on_grid(points: Sequence[Point], calendar: Calendar) -> tuple[list[Point], list[RemovedPoint]]:
    """Points on the grid of the calendar, and the others with the reason."""
    kept: list[Point] = []
    removed: list[RemovedPoint] = []
    for rows in by_series(points).values():
        found = on_grid(rows, calendar)
        if found is None:
            told = find_frequency(times_of(rows))
            reason = "the series has another frequency" if told else "the series has no frequency"
            removed += [_gone(point, "grid", reason, told[0] if told else None, calendar.frequency) for point in rows]
            continue
        for point, place in zip(rows, found[1].tolist(), strict=True):
            if place >= 0:
                kept.append(point)
            else:
                removed.append(_gone(point, "grid", "the stamp lies beside the grid", None, calendar.frequency))
    return kept, removed


def held_out(recipe: SeriesRecipe, calendar: Calendar) -> Held:
    """What the recipe holds out, with everything filled in."""
    horizon = recipe.split.horizon or horizon_of(calendar.frequency)
    season = 2 * calendar.season_length if calendar.season_length > 1 else 0
    least = recipe.least or max(season, horizon, _FEWEST)
    return Held(horizon, horizon * recipe.split.windows, horizon * recipe.split.validation, least)


def long_enough(points: Sequence[Point], calendar: Calendar, held: Held) -> tuple[list[Point], list[RemovedPoint]]:
    """Points of series that reach over what is held out, and those of shorter ones with the reason."""
    kept: list[Point] = []
    removed: list[RemovedPoint] = []
    for rows in by_series(points).values():
        places = calendar.places(pd.Timestamp(rows[0].time), times_of(rows))
        count = int(places[-1]) + 1
        before = int((places < count - held.test - held.validation).sum())
        if count < held.needed:
            told, wanted = (
                f"{count} stamps",
                f"{held.needed} stamps: {held.test} test, {held.validation} validation, {held.least} before",
            )
            removed += [_gone(point, "length", "the series is too short", told, wanted) for point in rows]
        elif before < _FEWEST:
            told, wanted = f"{before} values before its held-out ones", f"{_FEWEST} values"
            removed += [_gone(point, "length", "the series is nearly empty", told, wanted) for point in rows]
        else:
            kept += rows
    return kept, removed


def _gone(point: Point, step: str, reason: str, value: str | None, threshold: str | None) -> RemovedPoint:
    """A removed observation."""
    shown = value if value is not None else f"{point.value:g}"
    return RemovedPoint(point.id, point.source, point.series, str(point.time), step, reason, shown, threshold)
