"""What all statistics share, and what is decided from p-values and intervals. Intervals: :mod:`studio.evals.intervals`;
comparisons: :mod:`studio.evals.comparisons`.

Legend: n examples, r resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from studio.evals.pieces import Floats, Interval, Pieces

Better = Literal["higher", "lower", "neither"]

LEVEL = 0.95
SIGNIFICANCE = 0.05
NO_DIFFERENCE = "no difference shown"
NOT_COMPUTED = "not computed"


@dataclass(frozen=True)
class Scale:
    """Which values a metric can take, and the form in which its interval is made.

    form: ``log`` for what is above 0 and compared by ratios, ``fisher`` for correlations (the inverse hyperbolic tangent),
    ``logit`` for areas from 0 to 1, whose spread shrinks towards both ends.
    """

    lowest: float = -math.inf
    highest: float = math.inf
    form: Literal["plain", "log", "fisher", "logit"] = "plain"

    @property
    def width(self) -> float:
        """How far apart two values can be."""
        return self.highest - self.lowest

    @property
    def difference(self) -> Scale:
        """Which values a difference of two can take."""
        return Scale(-self.width, self.width)

    def formed(self, values: Floats) -> Floats:
        """Values in the form of the interval."""
        with np.errstate(all="ignore"):
            if self.form == "log":
                found: Floats = np.log(values)
                return found
            if self.form == "logit":
                return np.asarray(np.log(values) - np.log1p(-values), dtype=np.float64)
            return np.asarray(np.arctanh(values) if self.form == "fisher" else values, dtype=np.float64)

    def around(self, value: float) -> tuple[Scale, float]:
        """The scale with a form in which this value is a number (0 has no logarithm), and the value in it."""
        formed = float(self.formed(np.array(value)))
        return (self, formed) if math.isfinite(formed) else (Scale(self.lowest, self.highest), value)

    def unformed(self, value: float) -> float:
        """A bound back from the form of the interval."""
        if self.form == "log":
            return math.exp(value) if value < 700 else math.inf
        if self.form == "logit":
            return (1 + math.tanh(value / 2)) / 2
        return math.tanh(value) if self.form == "fisher" else value

    def clipped(self, low: float, high: float) -> tuple[float, float]:
        """Bounds within the scale."""
        return max(low, self.lowest), min(high, self.highest)


ANY = Scale()
SHARE = Scale(0.0, 1.0)
POINTS = Scale(0.0, 100.0)
# Of products and ratios of counts, such as BLEU: skewed, so that its interval is made on the log scale too.
SKEWED_POINTS = Scale(0.0, 100.0, form="log")
AREA = Scale(0.0, 1.0, form="logit")
SIGNED = Scale(-1.0, 1.0)
CORRELATION = Scale(-1.0, 1.0, form="fisher")
POSITIVE = Scale(0.0, math.inf, form="log")


class Statistic(Protocol):
    """A metric on a fixed list of examples.

    scored: bool [n]; False where the example could not be scored (it lowers coverage and is never drawn).
    each: per-example value for the table of examples, None where there is none.
    """

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which examples count."""
        ...

    @property
    def each(self) -> list[float | None]:
        """Per-example values."""
        ...

    def at(self, weights: Floats) -> Floats:
        """Value for each row of weights: [r, n] -> [r]; nan where the drawn examples define no value."""
        ...


@runtime_checkable
class OfSums(Statistic, Protocol):
    """A statistic that is a function of sums over its examples."""

    def pieces(self, usable: NDArray[np.bool_]) -> Pieces:
        """The examples that are usable, as rows of sums."""
        ...


@runtime_checkable
class Joinable(Statistic, Protocol):
    """A statistic that is no function of sums, but can be computed over the examples of two models together.

    shrinks: drawing an example twice adds nothing new, so that resamples say nothing of it.
    """

    @property
    def shrinks(self) -> bool:
        """See above."""
        ...

    def joined(self, other: Statistic) -> Statistic:
        """The same statistic over the examples of both, this one's first: [n] and [n] -> [2 n]."""
        ...


@runtime_checkable
class OwnInterval(Protocol):
    """A statistic whose interval cannot be had from resamples of it, because it is a largest or smallest of several."""

    def interval(self) -> Interval:
        """Its 95% interval over the examples that are scored."""
        ...


@runtime_checkable
class Demanding(Protocol):
    """A statistic that needs more of its examples than their number."""

    def too_few(self, usable: NDArray[np.bool_]) -> str | None:
        """Why no interval can be had from these examples, None when one can."""
        ...


@runtime_checkable
class Stratified(Protocol):
    """A statistic of several classes of examples. One whose examples are all alike has no spread, and may still hold others."""

    def with_unseen(self, usable: NDArray[np.bool_], owners: NDArray[np.int64], base: Statistic | None = None) -> Floats:
        """Lowest and highest value if one such class held as many other examples as could be unseen in it; [classes, 2].

        owners: of the usable examples, from :func:`owners_of`; examples of one owner are one. base: the same of another model;
        the values are then of this one minus that, and a class is alike where it is for both.
        """
        ...


def owners_of(usable: NDArray[np.bool_], clusters: Sequence[object] | None = None) -> NDArray[np.int64]:
    """Number of what each usable example belongs to, [usable]: its cluster, or itself where there are none."""
    if clusters is None:
        return np.arange(int(usable.sum()), dtype=np.int64)
    number: dict[object, int] = {}
    kept = [name for name, ok in zip(clusters, usable.tolist(), strict=True) if ok]
    return np.array([number.setdefault(name, len(number)) for name in kept], dtype=np.int64)


def bootstrap_weights(usable: NDArray[np.bool_], resamples: int, seed: int, clusters: Sequence[object] | None = None) -> Floats:
    """How often each example is drawn in each resample: [r, n]; rows sum to the number of usable examples, unless whole
    ``clusters`` of unlike size are drawn.

    Drawing counts from the multinomial is the same as drawing that many examples with replacement (Efron 1979).
    """
    weights = np.zeros((resamples, len(usable)))
    owners = owners_of(usable, clusters)
    if len(owners):
        count = int(owners.max()) + 1
        drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
        weights[:, usable] = drawn[:, owners]
    return weights


def point(statistic: Statistic, usable: NDArray[np.bool_]) -> float | None:
    """Value over the usable examples, None when there is none."""
    if not usable.any():
        return None
    value = float(statistic.at(usable.astype(np.float64)[None, :])[0])
    return value if math.isfinite(value) else None


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for all of them being looked at; None stays None.

    Source: Holm 1979, step-down: the i-th smallest of m is multiplied by m - i + 1, made monotone, at most 1.
    """
    order = sorted((value, index) for index, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    running = 0.0
    for rank, (value, index) in enumerate(order):
        running = max(running, min(1.0, value * (len(order) - rank)))
        corrected[index] = running
    return corrected


def mcnemar(tuned: Sequence[float | None], base: Sequence[float | None]) -> tuple[int, int, float]:
    """Exact two-sided McNemar test on right/wrong outcomes of the same examples.

    Returns:
        examples only tuned has as 1, examples only base has as 1, p-value (1 when the two never disagree).
    Source: McNemar 1947; the exact form is a sign test on the discordant pairs.
    """
    pairs = [(first, second) for first, second in zip(tuned, base, strict=True) if first is not None and second is not None]
    only_tuned = sum(first > second for first, second in pairs)
    only_base = sum(first < second for first, second in pairs)
    discordant = only_tuned + only_base
    if not discordant:
        return 0, 0, 1.0
    tail = sum(math.comb(discordant, index) for index in range(min(only_tuned, only_base) + 1))
    return only_tuned, only_base, min(1.0, 2 * tail / 2**discordant)


def verdict(bounds: tuple[float, float] | None, better: Better, p_value: float | None = None) -> str:
    """``better`` or ``worse`` (``higher`` or ``lower`` for a metric without a direction), or that nothing was shown.

    Args:
        bounds: paired interval of tuned minus base.
        p_value: of McNemar's test where it applies; a difference must pass both.
    """
    if bounds is None:
        return NOT_COMPUTED
    low, high = bounds
    if low <= 0 <= high or (p_value is not None and p_value >= SIGNIFICANCE):
        return NO_DIFFERENCE
    if better == "neither":
        return "higher" if low > 0 else "lower"
    return "better" if (low > 0) == (better == "higher") else "worse"
