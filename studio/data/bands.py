"""Which sketches may be alike: those that agree in one band of bins are proposed (locality-sensitive hashing).

Legend: n sketches, k bins of each, g places in groups of sketches that share a band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.data.sketch import BASE, BINS, Places, mixed

# Pairs that are looked at together; bounds memory when very many rows resemble each other.
_AT_ONCE = 1_000_000
_COMPARED = 50_000


def bands_for(threshold: float) -> tuple[int, int]:
    """Bands and bins per band (128 in all at most) that miss a pair at the threshold less than once in 500.

    A pair of similarity t shares a band with probability 1 - (1 - t^r)^b (Leskovec et al., Mining of Massive Datasets, 3.4.2).
    """
    for width in (8, 6, 5, 4, 3, 2):
        bands = BINS // width
        if (1 - threshold**width) ** bands < 0.002:
            return bands, width
    return BINS, 1


@dataclass
class _Groups:
    """Sketches by the bands they share.

    pool: sketches, those of one group side by side in ascending order [g]. asking: sketches that have earlier ones in a group,
    ascending, once for each group; low, high: where in the pool these begin and end.
    """

    pool: Places
    asking: Places
    low: Places
    high: Places

    def leave_out(self, gone: NDArray[np.bool_]) -> None:
        """Take sketches out of the groups; those that ask stay."""
        stays = ~gone[self.pool]
        before = np.concatenate(([0], np.cumsum(stays)))
        self.pool, self.low, self.high = self.pool[stays], before[self.low], before[self.high]


# Gives low and high of each place of a pool, from the pool and where the group of each place begins.
_Reach = Callable[[Places, Places], tuple[Places, Places]]


def _all_earlier(pool: Places, firsts: Places) -> tuple[Places, Places]:
    """All places of the group before each."""
    return firsts, np.arange(len(pool))


def _one_earlier(pool: Places, firsts: Places) -> tuple[Places, Places]:
    """The one place of the group before each."""
    places = np.arange(len(pool))
    return np.maximum(places - 1, firsts), places


def _group(marks: NDArray[np.uint16], threshold: float, reach: _Reach, labels: Places | None = None) -> _Groups:
    """Groups of all bands; with ``labels`` those of one label lie side by side in each group, and reach only to other labels."""
    bands, width = bands_for(threshold)
    pools, asking, lows, highs = [], [], [], []
    filled = 0
    for band in range(bands):
        keys = np.zeros(len(marks), dtype=np.uint64)
        for column in range(band * width, (band + 1) * width):
            keys = keys * np.uint64(BASE) + marks[:, column]
        members = _shared(mixed(keys))
        order = np.argsort(keys[members], kind="stable") if labels is None else np.lexsort((labels[members], keys[members]))
        pool = members[order]
        firsts = _begins(keys[pool])
        low, high = reach(pool, firsts)
        if labels is not None:
            high = np.maximum(firsts, _begins(labels[pool]))
        asks = high > low
        pools.append(pool)
        asking.append(pool[asks])
        lows.append(low[asks] + filled)
        highs.append(high[asks] + filled)
        filled += len(pool)
    order = np.argsort(np.concatenate(asking), kind="stable")
    asking_of, low, high = (np.concatenate(parts)[order] for parts in (asking, lows, highs))
    return _Groups(np.concatenate(pools), asking_of, low, high)


def _begins(values: NDArray[Any]) -> Places:
    """For each place, where the run of equal values that it lies in begins."""
    new = np.concatenate((np.ones(min(1, len(values)), dtype=bool), values[1:] != values[:-1]))
    return np.maximum.accumulate(np.where(new, np.arange(len(values)), 0))


def _shared(keys: NDArray[np.uint64]) -> Places:
    """Places of keys that stand more than once, ascending. Sorting values is ten times faster than sorting places."""
    ordered = np.sort(keys)
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(repeated):
        return np.zeros(0, dtype=np.intp)
    found = np.minimum(np.searchsorted(repeated, keys), len(repeated) - 1)
    return np.flatnonzero(repeated[found] == keys)


def earlier_alike(
    marks: NDArray[np.uint16], threshold: float, gone: Callable[[], NDArray[np.bool_]]
) -> Iterator[tuple[int, list[int]]]:
    """For each sketch that has any, in order, the earlier ones that share a band and seem alike, in order.

    Args:
        marks: of :class:`studio.data.sketch.Sketches` [n, k].
        gone: asked now and then, gives the sketches that need not be proposed any more [n].
    """
    groups = _group(marks, threshold, _all_earlier)
    start, known = 0, 0
    while start < len(groups.asking):
        left_out = gone()
        if (count := int(left_out.sum())) > known:
            groups.leave_out(left_out)
            known = count
        stop = _stop(groups, start)
        yield from _answers(groups, start, stop, marks, threshold)
        start = stop


def alike_in_other_clusters(
    marks: NDArray[np.uint16], threshold: float, labels: Callable[[], Places]
) -> Iterator[tuple[int, list[int]]]:
    """For each sketch others that share a band and seem alike, as far as they have another label when they are asked for.

    First only neighbours are proposed: where very many are alike, joining these leaves hardly any other pair to look at.

    Args:
        labels: asked once the pairs of neighbours were read, gives the cluster of each sketch [n].
    """
    yield from _all_answers(_group(marks, threshold, _one_earlier), marks, threshold)
    # The pairs of neighbours have been read now, and joined.
    yield from _all_answers(_group(marks, threshold, _all_earlier, labels()), marks, threshold)


def _all_answers(groups: _Groups, marks: NDArray[np.uint16], threshold: float) -> Iterator[tuple[int, list[int]]]:
    """Proposals of all sketches, block by block."""
    start = 0
    while start < len(groups.asking):
        stop = _stop(groups, start)
        yield from _answers(groups, start, stop, marks, threshold)
        start = stop


def _stop(groups: _Groups, start: int) -> int:
    """Where the next block of answers ends: at a sketch that was answered whole."""
    sizes = np.cumsum(groups.high[start : start + _AT_ONCE] - groups.low[start : start + _AT_ONCE])
    stop = start + max(1, int(np.searchsorted(sizes, _AT_ONCE, side="right")))
    return int(np.searchsorted(groups.asking, groups.asking[stop - 1], side="right"))


def _answers(
    groups: _Groups, start: int, stop: int, marks: NDArray[np.uint16], threshold: float
) -> Iterator[tuple[int, list[int]]]:
    """Proposals of some sketches."""
    # The estimate of 125 hashes has a standard deviation of at most 0.045; three of them below the threshold lose nothing.
    floor = max(0.05, threshold - 0.135)
    sizes = groups.high[start:stop] - groups.low[start:stop]
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1]) + np.repeat(groups.low[start:stop] - (ends - sizes), sizes)
    pairs = np.unique(np.repeat(groups.asking[start:stop], sizes) * len(marks) + groups.pool[places])
    later, earlier = np.divmod(pairs, len(marks))
    alike = np.concatenate(
        [
            np.count_nonzero(marks[later[at : at + _COMPARED]] == marks[earlier[at : at + _COMPARED]], axis=1) >= floor * BINS
            for at in range(0, max(1, len(pairs)), _COMPARED)
        ]
    )
    later, earlier = later[alike], earlier[alike]
    asking, firsts = np.unique(later, return_index=True)
    lasts = np.append(firsts[1:], len(later))[: len(firsts)]
    for number, first, last in zip(asking.tolist(), firsts.tolist(), lasts.tolist(), strict=True):
        yield number, earlier[first:last].tolist()
