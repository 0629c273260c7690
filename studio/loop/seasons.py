"""Whether the newest days differ from the same weekdays before: a permutation test of whole days.

Time is cut into slots of 24 hours that end now, so that a slot holds the same hours whenever one looks, and every seventh slot is
the same weekday. Where nothing has changed, a slot could as well have come in another week: the new slots are exchanged with
those of their own weekday, many times, and p is the share of exchanges that differ as much (Phipson and Smyth 2010: the real
order counts as one of them). So neither the weekend nor the night is taken for drift, and a day on which one person wrote a
thousand requests counts as one day, not as a thousand independent ones.

Legend: d slots, the newest first; c columns (classes, bins, sums); r exchanges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from studio.feedback.drift import SMOOTHING

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Floats], Floats]
"""Sums of the new and of the reference slots, both [r, c], to how far they differ, [r]."""
Verdict = Literal["changed", "a season", "no change shown", "too few to tell"]

DAY, WEEK = 86_400.0, 7
EXCHANGES = 9_999
# With fewer ways to exchange the slots no p-value could be small enough for an alarm over all signals.
FEWEST_WAYS = 1_000


@dataclass(frozen=True)
class Compared:
    """New days beside the same weekdays before. value: how far they differ; plainly: the same beside all days before.

    p: chance of such a difference where nothing changed. None, all three, where there are too few days.
    """

    value: float | None
    plainly: float | None
    p: float | None


def slots_of(times: Floats, now: float, count: int) -> NDArray[np.int64]:
    """The slot of each time, 0 the newest; -1 for what lies after now or before the oldest."""
    found = np.floor((now - times) / DAY).astype(np.int64)
    # What happened at this very moment belongs to the newest slot; a clock that is a little ahead is forgiven elsewhere.
    return np.where((times <= now) & (found < count), found, -1)


def summed(slots: NDArray[np.int64], columns: Floats, count: int) -> Floats:
    """Columns [n, c] of rows added up in their slots: [count, c]."""
    sums = np.zeros((count, columns.shape[1]))
    kept = slots >= 0
    np.add.at(sums, slots[kept], columns[kept])
    return sums


def compare_days(sums: Floats, present: NDArray[np.bool_], days: int, statistic: Statistic, *, seed: int = 0) -> Compared:
    """Compare the newest slots with the same weekdays before them.

    Args:
        sums: [d, c]. present: [d], slots in which there was a service at all. days: so many slots are new.
    """
    weekday = np.arange(len(sums)) % WEEK
    new = (np.arange(len(sums)) < days) & present
    beside = present & np.isin(weekday, weekday[new])
    old = beside & ~new
    if not new.any() or not old.any() or _ways(weekday, new, beside) < FEWEST_WAYS:
        return Compared(None, None, None)
    drawn = _exchanges(weekday, new, beside, seed).astype(np.float64)
    total = sums[beside].sum(axis=0)
    ours = drawn @ sums
    with np.errstate(all="ignore"):
        found = statistic(ours, total - ours)
        plainly = statistic(ours[:1], sums[present & ~new].sum(axis=0, keepdims=True))
    value = float(found[0])
    if not math.isfinite(value):
        return Compared(None, None, None)
    as_far = np.count_nonzero(np.nan_to_num(found[1:]) >= value * (1 - 1e-12))
    return Compared(value, float(plainly[0]), (1 + as_far) / (1 + EXCHANGES))


def _ways(weekday: NDArray[np.int64], new: NDArray[np.bool_], beside: NDArray[np.bool_]) -> float:
    """In how many ways the new slots could have been chosen."""
    ways = 1.0
    for day in range(WEEK):
        among = int((beside & (weekday == day)).sum())
        ways *= math.comb(among, int((new & (weekday == day)).sum()))
    return ways


def _exchanges(weekday: NDArray[np.int64], new: NDArray[np.bool_], beside: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Which slots are taken for new: bool [1 + r, d], the first row as it was."""
    generator = np.random.default_rng(seed)
    drawn = np.zeros((1 + EXCHANGES, len(new)), dtype=bool)
    drawn[0] = new
    for day in range(WEEK):
        places = np.flatnonzero(beside & (weekday == day))
        taken = int(new[places].sum())
        if taken:
            order = generator.random((EXCHANGES, len(places))).argsort(axis=1)[:, :taken]
            drawn[np.arange(1, 1 + EXCHANGES)[:, None], places[order]] = True
    return drawn


def psi(new: Floats, old: Floats) -> Floats:
    """Population stability index of counts [r, c]; see :func:`studio.feedback.drift.psi`."""
    one, two = new + SMOOTHING, old + SMOOTHING
    shares = one / one.sum(axis=1, keepdims=True), two / two.sum(axis=1, keepdims=True)
    return np.asarray(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum(axis=1))


def ks(new: Floats, old: Floats) -> Floats:
    """Kolmogorov-Smirnov distance of counts in ordered bins [r, c]."""
    one, two = (side.cumsum(axis=1) / side.sum(axis=1, keepdims=True) for side in (new, old))
    return np.asarray(np.abs(one - two).max(axis=1))


def volume(new: Floats, old: Floats) -> Floats:
    """Distance of the logarithms of rows per slot; columns: rows, 1 for each slot."""
    return np.asarray(np.abs(np.log((new[:, 0] + SMOOTHING) / new[:, 1]) - np.log((old[:, 0] + SMOOTHING) / old[:, 1])))


def apart(new: Floats, old: Floats) -> Floats:
    """How far two clouds of vectors lie apart: squared distance of their means over the spread of all around their mean.

    Columns: the vector's sum, the sum of its squares, the number of vectors. 0 where the means are the same; a share of the
    spread.
    """
    means = [side[:, :-2] / side[:, -1:] for side in (new, old)]
    both = new + old
    spread = both[:, -2] / both[:, -1] - ((both[:, :-2] / both[:, -1:]) ** 2).sum(axis=1)
    return np.asarray(((means[0] - means[1]) ** 2).sum(axis=1) / np.maximum(spread, 1e-12))
