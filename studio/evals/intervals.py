"""95% intervals of one model's score, made so that they hold from ten examples on (``benchmarks/coverage.py`` measures it).

Shares of right or wrong: exact, mid-P. Functions of sums (means, BLEU, perplexity, confusion tables): symmetric studentised
bootstrap, and the jackknife's t-interval where there are so many examples that the two agree. What is neither: jackknife, or
percentiles of resamples where leaving out one example at a time takes too long (pictures).

Legend: n examples, u kinds of them, r resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from studio.evals.pieces import Floats, Interval, Pieces
from studio.evals.statistics import (
    ANY,
    LEVEL,
    Demanding,
    Joinable,
    OfSums,
    OwnInterval,
    Scale,
    Statistic,
    Stratified,
    bootstrap_weights,
    owners_of,
    point,
)

Bounds = tuple[float, float]

# Below this an interval that is no exact one would hold too rarely; the benchmark's table begins here.
FEWEST = 10
# How the interval of examples that are all alike is made.
ALIKE = "bound on the share of examples unlike these, which are all alike"
# Beyond this the studentised bootstrap and the jackknife's t-interval agree.
_RESAMPLED_UP_TO = 400
# Examples that are left out one by one, of what resamples can tell about too.
_LEFT_OUT_UP_TO = 1500
# Rows of weights that are held at once.
_ROWS = 256
# Numbers to be computed for one studentised bootstrap at most; a table of fifty classes would take minutes.
_MOST_WORK = 60_000_000
_TAIL = (1 - LEVEL) / 2


def estimate(
    statistic: Statistic,
    *,
    resamples: int,
    seed: int,
    scale: Scale = ANY,
    share: bool = False,
    recentre: bool = False,
    clusters: Sequence[object] | None = None,
) -> tuple[float | None, Interval]:
    """Value and 95% interval of one model.

    Args:
        scale: which values the metric can take. share: the value is a share of examples that are right or wrong.
        recentre: of percentiles, move them by the mean shift of the resamples against the value.
        clusters: a name per example; examples of one name are drawn together.
    """
    usable = statistic.scored
    value, count = point(statistic, usable), int(usable.sum())
    if value is None:
        return None, Interval(None, "no value")
    if isinstance(statistic, OwnInterval):
        found = statistic.interval()
        return value, Interval(scale.clipped(*found.bounds), found.how) if found.bounds else found
    owners = owners_of(usable, clusters)
    pieces = statistic.pieces(usable).clustered(owners) if isinstance(statistic, OfSums) else None
    if share and (pieces is None or not pieces.grouped):
        bounds = share_interval(sum(item or 0.0 for item in statistic.each), count)
        return value, Interval(bounds, "exact interval of a share, mid-P" if bounds else none_from(count))
    if isinstance(statistic, Demanding) and (reason := statistic.too_few(usable)):
        return value, Interval(None, f"no interval: {reason}")
    if pieces is not None:
        found = of_pieces(pieces, value, scale, resamples, seed)
        unseen = statistic.with_unseen(usable, owners) if isinstance(statistic, Stratified) else np.empty((0, 2))
        return value, with_unseen(found, value, unseen, scale)
    if (reason := none_of_joined(owners)) is not None:
        return value, Interval(None, reason)
    if one_by_one(statistic, count):
        return value, by_jackknife(statistic, usable, owners, value, scale)
    values = statistic.at(bootstrap_weights(usable, resamples, seed, clusters))
    bounds = percentiles(values, value, recentre=recentre)
    if bounds is not None and bounds[0] == bounds[1]:
        return value, alike(value, int(owners.max()) + 1, scale)
    return value, Interval(bounds, f"percentile bootstrap, {resamples} resamples, seed {seed}")


def one_by_one(statistic: Statistic, count: int) -> TypeGuard[Joinable]:
    """True where examples are left out and swapped one by one; beyond some thousands that would take minutes."""
    return isinstance(statistic, Joinable) and (statistic.shrinks or count <= _LEFT_OUT_UP_TO)


def none_from(count: int, what: str = "example") -> str:
    """Why so few examples give no interval."""
    return f"no interval from {count} {what}{'' if count == 1 else 's'}; {FEWEST} are needed"


def none_of_joined(owners: NDArray[np.int64]) -> str | None:
    """Why examples that belong to ``owners`` (:func:`studio.evals.statistics.owners_of`) are too few; None where they are not."""
    independent = int(owners.max(initial=-1)) + 1
    if independent >= FEWEST:
        return None
    return none_from(independent, "independent example" if independent < len(owners) else "example")


def of_pieces(pieces: Pieces, value: float, scale: Scale, resamples: int, seed: int) -> Interval:
    """Interval of a function of sums around ``value``."""
    if pieces.count < FEWEST:
        return Interval(None, none_from(pieces.count, "independent example" if pieces.grouped else "example"))
    formed, middle = scale.around(value)
    scaled = pieces.on(formed.formed)
    error = float(scaled.errors(pieces.counts)[0])
    if error == 0:
        return alike(value, pieces.count, scale)
    if not math.isfinite(error):
        return Interval(None, "no interval: without some of the examples there is no value")
    reach, how = _reach(scaled, middle, resamples, seed)
    # Where few examples make the value too high or too low (BLEU: long copies are rare), the truth lies on the other side.
    bias = scaled.bias()
    low, high = middle - reach * error - max(bias, 0.0), middle + reach * error + max(-bias, 0.0)
    low, high = scale.clipped(formed.unformed(low), formed.unformed(high))
    if not (math.isfinite(low) and math.isfinite(high)):
        return Interval(None, "no interval: too few of the examples differ")
    return Interval((low, high), how)


def _reach(pieces: Pieces, value: float, resamples: int, seed: int) -> tuple[float, str]:
    """How many standard errors the interval reaches to each side.

    Source: Hall 1988, https://doi.org/10.1111/j.2517-6161.1988.tb01707.x, symmetric percentile-t interval.
    """
    from scipy.stats import t

    count, (kinds, width) = pieces.count, pieces.rows.shape
    least = float(t.ppf(1 - _TAIL, count - 1))
    if count > _RESAMPLED_UP_TO or kinds * width * resamples > _MOST_WORK:
        return least, "jackknife t-interval"
    drawn = np.random.default_rng(seed).multinomial(count, pieces.counts[0] / count, size=resamples).astype(np.float64)
    with np.errstate(all="ignore"):
        ratios = np.abs((pieces.values(drawn) - value) / pieces.errors(drawn))
    # A resample of one repeated example has no error: it lies at the value (0 / 0) or infinitely many errors away.
    ratios = np.where(np.isnan(ratios), 0.0, ratios)
    # Resamples hold no rarer examples than these, so that what they say of skewed values can be too little, never too much.
    reach = max(least, float(np.quantile(ratios, LEVEL, method="inverted_cdf")))
    return reach, f"symmetric studentised bootstrap, {resamples} resamples, seed {seed}"


def alike(value: float, count: int, scale: Scale) -> Interval:
    """Interval when all examples are alike: of n alike ones, at most a share 1 - 0.05^(1/n) of all others is different.

    So 0 of 20 right is 0 to 14%, and never "0 to 0".
    """
    if not math.isfinite(scale.width):
        return Interval(None, "no interval: all examples have the same value")
    others = share_unlike(count)
    low, high = value - others * (value - scale.lowest), value + others * (scale.highest - value)
    return Interval((low, high), ALIKE)


def with_unseen(found: Interval, value: float, unseen: Floats, scale: Scale) -> Interval:
    """An interval that also reaches as far as classes of examples that are all alike may be unlike what was seen.

    unseen: from :meth:`studio.evals.statistics.Stratified.with_unseen`. Classes are independent, so that distances from the value
    add up as squares.
    Source: Zou and Donner 2008, https://doi.org/10.1002/sim.3095.
    """
    if found.bounds is None or not len(unseen):
        return found
    # Where all examples of all classes are alike, what is unseen is all there is.
    low, high = (value, value) if found.how == ALIKE else found.bounds
    below = math.hypot(value - low, *np.maximum(value - unseen[:, 0], 0.0).tolist())
    above = math.hypot(high - value, *np.maximum(unseen[:, 1] - value, 0.0).tolist())
    return Interval(scale.clipped(value - below, value + above), f"{found.how}, and the exact bound of classes of one outcome")


def share_unlike(count: int) -> float:
    """Largest share of all examples that may be unlike ``count`` ones that are alike: the mid-P bound of a share never seen."""
    return 1 - float((2 * _TAIL) ** (1 / count)) if count else 1.0


def by_jackknife(
    statistic: Statistic, usable: NDArray[np.bool_], owners: NDArray[np.int64], value: float, scale: Scale
) -> Interval:
    """t-interval with the jackknife's standard error, for statistics that are no function of sums."""
    from scipy.stats import t

    formed, middle = scale.around(value)
    independent = int(owners.max()) + 1
    values = without_each(statistic, usable, owners)
    error = jackknife_error(formed.formed(values))
    least = 0.0
    if not math.isfinite(error) and np.isfinite(values).all():
        # One example alone keeps the value from the end of its scale: no less is uncertain than if none did.
        formed, middle, error = Scale(scale.lowest, scale.highest), value, jackknife_error(values)
        least = share_unlike(independent) * scale.width
    if error == 0:
        return alike(value, independent, scale)
    if not math.isfinite(error):
        return Interval(None, "no interval: without some of the examples there is no value")
    reach = max(least, float(t.ppf(1 - _TAIL, independent - 1)) * error)
    return Interval(scale.clipped(formed.unformed(middle - reach), formed.unformed(middle + reach)), "jackknife t-interval")


def without_each(statistic: Statistic, usable: NDArray[np.bool_], owners: NDArray[np.int64]) -> Floats:
    """Values without each of the usable examples in turn, or without each cluster of them.

    owners: of the usable ones, from :func:`studio.evals.statistics.owners_of`.
    """
    found = []
    number = int(owners.max(initial=-1)) + 1
    for start in range(0, number, _ROWS):
        left = np.arange(start, min(number, start + _ROWS))
        weights = np.zeros((len(left), len(usable)))
        weights[:, usable] = owners[None, :] != left[:, None]
        # One row alone would be the library's plain score.
        found.append(statistic.at(np.concatenate([weights, weights]) if len(left) == 1 else weights)[: len(left)])
    return np.concatenate(found)


def jackknife_error(values: Floats) -> float:
    """Standard error from the values without each example; nan where one of them is undefined."""
    count = len(values)
    if not np.isfinite(values).all():
        return math.nan
    return float(np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum()))


def percentiles(values: Floats, estimate: float, *, recentre: bool = False) -> Bounds | None:
    """95% percentile interval of resampled values, None when some of them are undefined.

    Args:
        recentre: move the interval by the mean shift of the resamples against the estimate.
    """
    if not np.isfinite(values).all() or not math.isfinite(estimate):
        return None
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    shift = float(values.mean()) - estimate if recentre else 0.0
    return float(low) - shift, float(high) - shift


@cache
def share_interval(hits: float, count: int) -> Bounds | None:
    """95% exact mid-P interval of a share; None when ``count`` is below 2.

    Source: Lancaster 1961, https://doi.org/10.1080/01621459.1961.10482105: half the probability of what was seen counts as more
    extreme. It holds in 95% on average over all shares, where Clopper and Pearson's holds in 98% of small samples.
    """
    if count < 2:
        return None
    from scipy.optimize import brentq
    from scipy.stats import binom

    seen = round(hits)

    def above(share: float) -> float:
        return float(binom.sf(seen, count, share) + binom.pmf(seen, count, share) / 2) - _TAIL

    def below(share: float) -> float:
        return float(binom.cdf(seen - 1, count, share) + binom.pmf(seen, count, share) / 2) - _TAIL

    low = 0.0 if seen == 0 else float(brentq(above, 0.0, 1.0, xtol=1e-12))
    high = 1.0 if seen == count else float(brentq(below, 0.0, 1.0, xtol=1e-12))
    return low, high
