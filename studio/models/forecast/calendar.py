"""The regular grid that a series lies on: its frequency, the stamps on it, its season."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from studio.core.errors import UserError

# Steps that keep the day of the month, which pandas has no short name for.
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
# Stamps in a season and stamps forecast at once, by frequency. Seasons: Hyndman and Athanasopoulos, Forecasting: Principles and
# Practice, 3rd edition, section 2.1. Horizons: those of the M4 competition, Makridakis et al. 2020, table 1.
_SEASONS = {"h": 24, "D": 7, "B": 5, "W": 52, "M": 12, "Q": 4, "Y": 1}
_HORIZONS = {"h": 48, "D": 14, "B": 14, "W": 13, "M": 18, "Q": 8, "Y": 6}
_OTHER_HORIZON = 12
_DAY_SECONDS = 24 * 3600
# Fewer stamps than this show no week.
_FEW_DAYS = 10


@dataclass(frozen=True)
class Calendar:
    """Frequency (as pandas names it, or ``month``, ``quarter``, ``year``) and stamps in a season, 1 where there is none."""

    frequency: str
    season_length: int

    def stamps(self, start: pd.Timestamp, count: int) -> pd.DatetimeIndex:
        """So many stamps from the first on."""
        return _stamps(self.frequency, start, count)

    def ahead(self, last: pd.Timestamp, count: int) -> pd.DatetimeIndex:
        """So many stamps after the last one."""
        return self.stamps(last, count + 1)[1:]

    def places(self, start: pd.Timestamp, times: pd.DatetimeIndex) -> NDArray[np.int64]:
        """Place of each stamp on the grid that begins at ``start``, counted from 0; -1 for those beside the grid."""
        if not len(times):
            return np.empty(0, dtype=np.int64)
        grid = _grid(self.frequency, start, times.max())
        return np.asarray(grid.get_indexer(times.as_unit(grid.unit)), dtype=np.int64)


# Series of one panel mostly lie on the same stamps, and months are counted one by one.
@lru_cache(maxsize=256)
def _stamps(frequency: str, start: pd.Timestamp, count: int) -> pd.DatetimeIndex:
    """So many stamps of a grid from its first on."""
    return pd.date_range(start, periods=count, freq=offset_of(frequency))


@lru_cache(maxsize=256)
def _grid(frequency: str, start: pd.Timestamp, end: pd.Timestamp) -> pd.DatetimeIndex:
    """Stamps of a grid up to an end."""
    return pd.date_range(start, end, freq=offset_of(frequency))


def offset_of(frequency: str) -> Any:
    """The step of a frequency, as pandas adds it to stamps.

    Raises:
        UserError: no such frequency.
    """
    if frequency in _MONTHS:
        return pd.DateOffset(months=_MONTHS[frequency])
    try:
        return to_offset(frequency)
    except ValueError:
        raise UserError(
            f"{frequency!r} is no frequency. Usual ones: 15min, h, D, B, W-SUN, MS, ME, QS, YS, or month, quarter, year."
        ) from None


def season_of(frequency: str) -> int:
    """Stamps in the usual season of a frequency: a day of hours, a week of days, a year of anything longer; 1 where none fits."""
    name, every = _unit_of(frequency)
    if name == "s":
        return _DAY_SECONDS // every if _DAY_SECONDS % every == 0 and every < _DAY_SECONDS else 1
    season = _SEASONS.get(name, 1)
    return season // every if season % every == 0 else 1


def horizon_of(frequency: str) -> int:
    """Stamps that are usually forecast at once: the M4 competition's."""
    name, every = _unit_of(frequency)
    return _HORIZONS.get("h" if (name, every) == ("s", 3600) else name, _OTHER_HORIZON)


def _unit_of(frequency: str) -> tuple[str, int]:
    """Unit and how many of it: ``MS`` is one ``M``, ``2h`` is 7,200 ``s``; unknown ones are told by their own name."""
    if frequency in _MONTHS:
        return {1: "M", 3: "Q", 12: "Y"}[_MONTHS[frequency]], 1
    step = offset_of(frequency)
    prefix = str(step.rule_code).partition("-")[0]
    if prefix in {"h", "min", "s", "ms", "us", "ns"}:
        return "s", max(1, int(pd.Timedelta(step).total_seconds()))
    for unit, names in {"M": "MS ME BMS BME", "Q": "QS QE BQS BQE", "Y": "YS YE BYS BYE"}.items():
        if prefix in names.split():
            return unit, int(step.n)
    return prefix, int(step.n)


def find_frequency(times: pd.DatetimeIndex) -> tuple[str, float] | None:
    """Frequency of sorted, different stamps, and the share of the gaps between them that are one step; None where there is none.

    Whole grids are pandas' own to name; of those with holes the most frequent gap counts, where it is more than half of all.
    """
    if len(times) < 3:
        return None
    whole = _whole(times)
    if whole is not None:
        return _one_name(whole), 1.0
    months = times.year.to_numpy() * 12 + times.month.to_numpy()
    one_day = len(set(times.day)) == 1
    if (one_day or bool(times.is_month_end.all())) and len(set(times.time)) == 1:
        return _monthly(times, np.diff(months), one_day)
    gaps = pd.Series(np.diff(times.to_numpy()))
    gap, count = gaps.value_counts().index[0], int(gaps.value_counts().iloc[0])
    if count <= len(gaps) / 2:
        return None
    return _name_of(pd.Timedelta(gap), times), count / len(gaps)


def _whole(times: pd.DatetimeIndex) -> str | None:
    """The name that pandas has of a grid without holes; it gives an offset or its name, by version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = pd.infer_freq(times)
        except ValueError:
            return None
    return None if found is None else str(getattr(found, "freqstr", found))


def _monthly(times: pd.DatetimeIndex, gaps: NDArray[np.int64], one_day: bool) -> tuple[str, float] | None:
    """Months, quarters or years on one day of the month, or on its end."""
    counts = np.bincount(gaps)
    step = int(counts.argmax())
    if counts[step] <= len(gaps) / 2 or step not in _MONTHS.values():
        return None
    share = float(counts[step] / len(gaps))
    day = int(times[0].day) if one_day else 0
    if day > 1:
        return next(name for name, months in _MONTHS.items() if months == step), share
    letter = "S" if one_day else "E"
    anchor = f"-{times[0].strftime('%b').upper()}" if step > 1 else ""
    return _one_name({1: "M", 3: "Q", 12: "Y"}[step] + letter + anchor), share


def _one_name(name: str) -> str:
    """Of quarters that are the same ones (``QS-OCT``, ``QS-JAN``) the usual name."""
    unit, _, month = name.partition("-")
    if unit not in {"QS", "QE"}:
        return name
    place = (pd.Timestamp(f"2001-{month}-01").month - 1) % 3
    return f"{unit}-{('JAN', 'FEB', 'MAR')[place] if unit == 'QS' else ('OCT', 'NOV', 'DEC')[place]}"


def _name_of(gap: pd.Timedelta, times: pd.DatetimeIndex) -> str:
    """Pandas' name of a fixed gap: weeks by their day, days without weekends, else days, hours, minutes."""
    if gap == pd.Timedelta(days=7):
        return f"W-{times[0].strftime('%a').upper()}"
    if gap == pd.Timedelta(days=1) and len(times) >= _FEW_DAYS and bool((times.dayofweek < 5).all()):
        return "B"
    days = gap.days if gap % pd.Timedelta(days=1) == pd.Timedelta(0) else 0
    return ("D" if days == 1 else f"{days}D") if days else str(to_offset(gap).freqstr)
