"""Hours that stand out: far more (or, of requests, far fewer) than the same hours of the same weekdays before.

The hours that a count is compared with are those of the weeks before, one hour to either side included. Their mean makes the
expectation; how much more they vary than chance would have them (the dispersion of a negative binomial, by moments, over all
hours before) widens it, and so does that a mean of few hours is itself uncertain. Holm's correction holds over all hours and
counts looked at. So the rush of every Monday morning raises nothing, and a flood at night does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import nbinom
from statsmodels.stats.multitest import multipletests

from studio.feedback.drift import ALL_ALARMS

HOUR, HOURS_OF_WEEK = 3600.0, 168
# What an hour must have, and how many times what was expected, before it is worth telling.
_FEWEST, _TIMES = 10, 3.0
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Burst:
    """An hour that stands out. start: seconds since 1970. expected: mean of the same hours before. p: after Holm's correction."""

    what: str
    start: float
    seen: int
    expected: float
    p: float


def find_bursts(
    times: Mapping[str, Sequence[float]],
    *,
    now: float,
    hours: int = 24,
    weeks: int = 4,
    begun: float | None = None,
    quiet: str = "",
) -> list[Burst]:
    """Hours among the newest that stand out, the newest first.

    Args:
        times: for each count its name and when each row came. now: end of the newest hour. begun: when the service began; hours
            before it are compared with nothing. quiet: the count of which too few are told as well.
    """
    tested: list[Burst] = []
    for what, moments in times.items():
        counts = _counted(moments, now, hours + weeks * HOURS_OF_WEEK + 1)
        tested += _tested(what, counts, now, hours, weeks, begun, both=what == quiet)
    if not tested:
        return []
    adjusted = multipletests([one.p for one in tested], method="holm")[1]
    told = [
        Burst(one.what, one.start, one.seen, one.expected, float(p))
        for one, p in zip(tested, adjusted, strict=True)
        if p < ALL_ALARMS
    ]
    return sorted(told, key=lambda one: -one.start)


def _counted(moments: Sequence[float], now: float, slots: int) -> Counts:
    """Rows in each hour back from now."""
    places = np.floor((now - np.array(moments, dtype=np.float64)) / HOUR)
    places = places[(places >= 0) & (places < slots)].astype(np.int64)
    return np.bincount(places, minlength=slots)


def _tested(what: str, counts: Counts, now: float, hours: int, weeks: int, begun: float | None, *, both: bool) -> list[Burst]:
    """Every hour that could be compared, with its p-value."""
    known = len(counts) if begun is None else int(max(0, (now - begun) // HOUR))
    spread = _dispersion(counts[hours:known])
    found: list[Burst] = []
    for slot in range(hours):
        same = [slot + week * HOURS_OF_WEEK for week in range(1, weeks + 1)]
        same = [place for place in same if hours < place < min(known, len(counts)) - 1]
        if not same:
            continue
        # A rush begins and ends within an hour or two: where the neighbours are busier, they are what is held against it.
        around = [place + side for place in same for side in (-1, 0, 1)]
        seen, means = int(counts[slot]), [(counts[places].sum() + 0.5) / len(places) for places in (same, around)]
        expected = float(max(means))
        size = 1 / (spread + 1 / (expected * len(same)))
        p = float(nbinom.sf(seen - 1, size, size / (size + expected)))
        if seen < _FEWEST or seen < _TIMES * expected:
            # A count too small to matter is a test all the same: leaving it out would make the others look rarer than they are.
            p = 1.0
            least = float(min(means))
            if both and least >= _FEWEST and seen * _TIMES < least:
                p, expected = float(nbinom.cdf(seen, size, size / (size + least))), least
        found.append(Burst(what, now - (slot + 1) * HOUR, seen, expected, p))
    return found


def _dispersion(counts: Counts) -> float:
    """How much more than by chance an hour varies around the same hour of other weeks: variance = mean + dispersion * mean^2."""
    weeks = len(counts) // HOURS_OF_WEEK
    if weeks < 2:
        return 0.0
    table = counts[: weeks * HOURS_OF_WEEK].reshape(weeks, HOURS_OF_WEEK).astype(np.float64)
    mean = table.mean(axis=0)
    beyond = (table.var(axis=0, ddof=1) - mean).sum()
    squares = (mean**2).sum()
    return float(max(0.0, beyond / squares)) if squares else 0.0


def odd_hours(moments: Sequence[float], *, now: float, most_weeks: int = 12) -> list[float]:
    """Starts of hours with far more rows than the same hours of the other weeks, before and after; looking back, nothing is new.

    Args:
        now: end of the newest hour. most_weeks: so far back is looked.
    """
    times = np.array(sorted(moments), dtype=np.float64)
    times = times[(times < now) & (times >= now - most_weeks * HOURS_OF_WEEK * HOUR)]
    if not len(times):
        return []
    counts = _counted(list(times), now, int((now - times[0]) // HOUR) + 1)
    weeks = -(-len(counts) // HOURS_OF_WEEK)
    if weeks < 2:
        return []
    flat = np.full(weeks * HOURS_OF_WEEK, np.nan)
    flat[: len(counts)] = counts
    table = flat.reshape(weeks, HOURS_OF_WEEK)
    # A flood must not make itself look usual: the spread is that of hours without the few largest.
    calm = np.minimum(counts, np.quantile(counts, 0.995))
    spread = _dispersion(np.asarray(calm, dtype=np.int64))
    tested: list[tuple[float, float]] = []
    for place, seen in enumerate(counts):
        week, hour = divmod(place, HOURS_OF_WEEK)
        others = np.delete(table, week, axis=0)
        around = others[:, [(hour - 1) % HOURS_OF_WEEK, hour, (hour + 1) % HOURS_OF_WEEK]]
        expected = max(_mean(others[:, hour]), _mean(around))
        size = 1 / (spread + 1 / (expected * max(1, weeks - 1)))
        large = seen >= _FEWEST and seen >= _TIMES * expected
        tested.append((float(nbinom.sf(seen - 1, size, size / (size + expected))) if large else 1.0, now - (place + 1) * HOUR))
    adjusted = multipletests([p for p, _ in tested], method="holm")[1]
    return sorted(start for (_, start), p in zip(tested, adjusted, strict=True) if p < ALL_ALARMS)


def _mean(counts: NDArray[np.float64]) -> float:
    """Mean of the hours that are known, with half a row for those that were never seen."""
    known = int(np.isfinite(counts).sum())
    return float((np.nansum(counts) + 0.5) / max(1, known))
