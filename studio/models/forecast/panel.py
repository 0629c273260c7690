"""Series on their regular grid, as models take them.

Legend: t stamps of a series, f stamps after its end, k covariates known ahead, p covariates known up to the present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from studio.models.forecast.calendar import Calendar

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One series.

    start: its first stamp. values: [t], nan where there is none. seen: bool [t], False where there is no value or one that was
    filled in. known: [t + f, k]. past: [t, p].
    """

    name: str
    start: pd.Timestamp
    values: Floats
    seen: NDArray[np.bool_]
    known: Floats
    past: Floats

    @staticmethod
    def of(name: str, start: pd.Timestamp, values: Floats) -> Series:
        """A series without covariates, all of whose values were seen."""
        nothing = np.zeros((len(values), 0))
        return Series(name, start, values, np.isfinite(values), nothing, nothing)

    def __len__(self) -> int:
        """Stamps up to its end."""
        return len(self.values)

    def before(self, origin: int, ahead: int = 0) -> Series:
        """What is known at an origin: everything before that place, and known covariates for so many stamps from it on."""
        return replace(
            self,
            values=self.values[:origin],
            seen=self.seen[:origin],
            known=self.known[: origin + ahead],
            past=self.past[:origin],
        )

    @property
    def constant(self) -> bool:
        """True where there are not two different values."""
        values = self.values[np.isfinite(self.values)]
        return len(values) == 0 or bool((values == values[0]).all())


@dataclass(frozen=True)
class Panel:
    """Series of one calendar, in the order of their names. known, past: names of their covariates."""

    calendar: Calendar
    series: list[Series]
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    unit: str | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """How many series."""
        return len(self.series)

    @property
    def names(self) -> list[str]:
        """Names of the series."""
        return [one.name for one in self.series]

    def stamps(self, one: Series, first: int, count: int) -> pd.DatetimeIndex:
        """So many stamps of a series from a place on; they may lie after its end."""
        return self.calendar.stamps(one.start, first + count)[first:]

    def cut(self, ends: Sequence[int], ahead: int = 0) -> Panel:
        """Every series up to its end; see :meth:`Series.before`."""
        series = [one.before(end, ahead) for one, end in zip(self.series, ends, strict=True)]
        return replace(self, series=series)


def continued(old: Series, new: Series, calendar: Calendar) -> Series:
    """A series with newer rows after it; where both have a value the newer row's counts.

    Args:
        new: on the same grid; may begin before, within or after the old one.
    """
    start = min(old.start, new.start)
    shift_old, shift_new = (int(calendar.places(start, pd.DatetimeIndex([one.start]))[0]) for one in (old, new))
    count = max(shift_old + len(old), shift_new + len(new))
    further = max(shift_old + len(old.known), shift_new + len(new.known))

    def merged(first: Floats, second: Floats, length: int) -> Floats:
        joined = np.full((length, *first.shape[1:]), np.nan)
        joined[shift_old : shift_old + len(first)] = first
        place = joined[shift_new : shift_new + len(second)]
        joined[shift_new : shift_new + len(second)] = np.where(np.isfinite(second), second, place)
        return joined

    values = merged(old.values, new.values, count)
    seen = np.zeros(count, dtype=bool)
    seen[shift_old : shift_old + len(old)] = old.seen
    seen[shift_new : shift_new + len(new)] |= new.seen
    return Series(old.name, start, values, seen, merged(old.known, new.known, further), merged(old.past, new.past, count))


def without_gaps(values: Floats) -> Floats:
    """A line over every gap; before the first value and after the last they stay. For models that need whole series."""
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return np.zeros_like(values)
    return np.interp(np.arange(len(values)), there, values[there]).astype(np.float64)


def carried(values: Floats) -> Floats:
    """Covariates [t, k] with the last value in gaps; 0 before the first one. Nothing is taken from after a gap."""
    filled: Floats = pd.DataFrame(values).ffill().fillna(0.0).to_numpy(dtype=np.float64).copy()
    return filled
