"""Probabilities of all labels at once: each label against the rest, the distance from what came, the trust in the likeliest.

Legend: n examples, k labels, r draws. shares are the probabilities of all labels, [n, k].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.metrics.probabilities import BINS, ORDERS, ScoreStatistic, calibration, probability_metric, surprise
from studio.evals.pieces import Floats
from studio.evals.statistics import Scale, Statistic

_EXPLAINS = {
    "roc_auc": (
        "Probability that an example of a label has a higher probability of it than an example of another; the mean over the "
        "labels that are true somewhere. 0.5 is chance."
    ),
    "average_precision": (
        "Precision averaged over the recalls at which it is reached, each label against the rest; the mean over the labels that "
        "are true somewhere. Chance is one divided by their number."
    ),
    "brier": (
        "Squared distance of the probabilities of all labels from what came, added up, the mean over examples; half of it where "
        "there are two labels."
    ),
    "log_loss": "Mean negative logarithm of the probability given to the true label; a probability of 0 counts as 2e-16.",
    "ece": (
        f"Expected calibration error of the most likely label: in {BINS} bins of equal width, how far its mean probability lies "
        "from the share of examples in which it is right, weighted by their examples (Guo et al. 2017). It is above 0 by chance "
        "alone, the more the fewer examples there are."
    ),
}


def of_all_labels(name: str, count: int) -> Metric:
    """One figure of the probabilities of ``count`` labels as a metric."""
    found = probability_metric(name)
    if name == "brier" and count > 2:
        found = replace(found, unit="0 to 2", scale=Scale(0.0, 2.0))
    title = f"{found.title}, macro" if name in ORDERS else found.title
    return replace(found, title=title, explains=_EXPLAINS[name])


def of_all_labels_statistic(
    name: str,
    truth: Sequence[str],
    rows: Sequence[Mapping[str, float] | None],
    labels: Sequence[str],
    clusters: Sequence[object] | None = None,
) -> Statistic:
    """The statistic of one figure; examples without probabilities are not scored.

    Args:
        truth: one of ``labels`` each. rows: the probability of each label. clusters: as of
            :func:`studio.evals.metrics.probabilities.probability_statistic`.
    """
    known = np.array([row is not None for row in rows], dtype=bool)
    shares = np.array([[row[label] if row else 0.0 for label in labels] for row in rows], dtype=np.float64)
    came = np.array([[value == label for label in labels] for value in truth], dtype=np.float64)
    if name in ORDERS:
        figure, needs = ORDERS[name]
        occurring = np.flatnonzero(came.any(axis=0))
        return MacroStatistic([ScoreStatistic(came[:, k], shares[:, k], known, figure, needs) for k in occurring.tolist()])
    if name == "ece":
        right = came[np.arange(len(came)), shares.argmax(axis=1)]
        return calibration(right, shares.max(axis=1), known, clusters)
    if name == "brier":
        each = ((shares - came) ** 2).sum(axis=1) / (2 if len(labels) == 2 else 1)
    else:
        each = surprise((shares * came).sum(axis=1))
    return mean_statistic([float(value) if ok else None for value, ok in zip(each, known, strict=True)])


@dataclass(frozen=True)
class MacroStatistic:
    """The mean of a figure of orders over labels, each against the rest, over the same examples."""

    parts: Sequence[ScoreStatistic]
    shrinks: bool = False

    @property
    def scored(self) -> NDArray[np.bool_]:
        """See :class:`studio.evals.statistics.Statistic`."""
        return self.parts[0].scored

    @property
    def each(self) -> list[float | None]:
        """The figure belongs to the whole set; an example alone has none."""
        return self.parts[0].each

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`; nan where a label has no example, or all."""
        return np.asarray(np.mean([part.at(weights) for part in self.parts], axis=0))

    def joined(self, other: Statistic) -> MacroStatistic:
        """See :class:`studio.evals.statistics.Joinable`."""
        assert isinstance(other, MacroStatistic)
        return MacroStatistic([first.joined(second) for first, second in zip(self.parts, other.parts, strict=True)])

    def too_few(self, usable: NDArray[np.bool_]) -> str | None:
        """The mean is as uncertain as the rarest label."""
        counts = [int(part.truth[usable].sum()) for part in self.parts]
        fewest, needs = min(min(count, int(usable.sum()) - count) for count in counts), self.parts[0].needs
        return None if fewest >= needs else f"a label has {fewest} examples for or against it, {needs} are needed"
