"""How many groups there are, and whether there are any: every criterion's curve, and what each of them says.

Legend: n rows, d dimensions of the space, k groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from studio.models.clusters.base import Choice, Curve, Structure
from studio.models.clusters.criteria import calinski_harabasz, davies_bouldin, dispersion, silhouette, uniform_like
from studio.models.clusters.fitting import Found, find_each
from studio.models.clusters.opening import placed
from studio.models.clusters.space import Space, has_direction
from studio.schema.clusters import Choosing, ClusterEstimator, Counted
from studio.train.clusters.telling import NAMES, told_choice, told_structure

_TITLES = {
    "silhouette": "Silhouette",
    "calinski_harabasz": "Calinski-Harabasz",
    "davies_bouldin": "Davies-Bouldin",
    "gap": "Gap statistic",
    "stability": "Stability",
    "bic": "BIC",
}
# Rows without structure, shuffled rows and bootstrap samples are many: each is begun from fewer starts than the rows themselves.
STARTS = 3


@dataclass(frozen=True)
class Looked:
    """The rows that are looked at to choose.

    features: columns of the rows. matrix: the same in the space, float64 [n, d]; under cosine all of them have a direction.
    stopped: says whether a signal came.
    """

    features: pd.DataFrame
    matrix: np.ndarray
    space: Space
    estimator: ClusterEstimator
    settings: Choosing
    seed: int
    stopped: Callable[[], bool] = lambda: False

    def found(self, matrix: np.ndarray, counts: Sequence[int | None], starts: int | None = None) -> list[Found]:
        """Groups in a matrix for several numbers of them."""
        return list(find_each(matrix, self.estimator, counts, self.seed, restarts=starts))

    @property
    def draws(self) -> np.random.SeedSequence:
        """Seeds for what is drawn."""
        return np.random.SeedSequence(self.seed)


def drawn_rows(count: int, most: int, seed: int) -> np.ndarray:
    """Places of the rows that are looked at, in their order: all, or as many as may be."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def part_of(features: pd.DataFrame, places: np.ndarray) -> pd.DataFrame:
    """Some of the rows, with an index of their own."""
    return features.iloc[places].reset_index(drop=True)


def choose(looked: Looked) -> Choice:
    """The number of groups, with everything that speaks for and against it."""
    estimator = looked.estimator
    if not isinstance(estimator, Counted):
        return _of_found(looked)
    if estimator.k != "auto":
        return _of_given(looked, estimator.k)
    counts = list(range(estimator.k_min, estimator.k_max + 1))
    found = looked.found(looked.matrix, counts)
    curves = [*internal_curves(looked.matrix, counts, found), gap_curve(looked, counts, found), stability_curve(looked, counts)]
    if any(one.bic is not None for one in found):
        curves.append(bic_curve(looked, counts, found))
    by = next(curve for curve in curves if curve.criterion == estimator.choose_by)
    chosen = best_of(by, counts) or best_of(curves[0], counts) or counts[0]
    # The silhouette was looked at for every number of groups; so it is of the shuffled rows.
    tried = counts if estimator.choose_by == "silhouette" else [chosen]
    structure = structure_of(looked, found[counts.index(chosen)].labels, tried, curves)
    told = told_structure(structure, chosen) + told_choice(chosen, estimator.choose_by, curves)
    return Choice(
        k=chosen, by=f"auto: {estimator.choose_by}", rows=len(looked.matrix), curves=curves, structure=structure, told=told
    )


def best_of(curve: Curve, counts: Sequence[int]) -> int | None:
    """What a criterion says where one of ``counts`` has to be taken; None where it has no value for any."""
    if curve.best in counts:
        return curve.best
    among = [(value, k) for k, value in zip(curve.counts, curve.values, strict=True) if k in counts and value is not None]
    pick = min if curve.better == "lower" else max
    return pick(among, key=lambda pair: pair[0])[1] if among else None


def _of_given(looked: Looked, k: int) -> Choice:
    """A number that a person gave."""
    [found] = looked.found(looked.matrix, [k])
    structure = structure_of(looked, found.labels, [k], [])
    return Choice(k=k, by="given", rows=len(looked.matrix), structure=structure, told=told_structure(structure, k))


def _of_found(looked: Looked) -> Choice:
    """A number that the method finds by itself."""
    [found] = looked.found(looked.matrix, [None])
    structure = structure_of(looked, found.labels, [None], [])
    k = found.groups.k
    return Choice(k=k, by="found", rows=len(looked.matrix), structure=structure, told=told_structure(structure, k))


def internal_curves(matrix: np.ndarray, counts: list[int], found: Sequence[Found]) -> list[Curve]:
    """Silhouette, Caliński-Harabasz and Davies-Bouldin."""
    curves = []
    for name, measure, better in (
        ("silhouette", silhouette, "higher"),
        ("calinski_harabasz", calinski_harabasz, "higher"),
        ("davies_bouldin", davies_bouldin, "lower"),
    ):
        values = [measure(matrix, one.labels) for one in found]
        curves.append(_curve(name, better, counts, values))
    return curves


def gap_curve(looked: Looked, counts: list[int], found: Sequence[Found]) -> Curve:
    """How much tighter groups are than in rows without structure, from one group on; the standard error of the references.

    Source: Tibshirani, Walther and Hastie 2001, https://doi.org/10.1111/1467-9868.00293.
    """
    every = [1, *counts] if counts[0] == 2 else [1, *range(2, counts[0]), *counts]
    missing = looked.found(looked.matrix, every[: len(every) - len(counts)])
    seen = [_log_dispersion(looked.matrix, one) for one in (*missing, *found)]
    references = []
    for seed in looked.draws.spawn(looked.settings.references):
        rows = uniform_like(looked.matrix, looked.space.distance, int(seed.generate_state(1)[0]))
        references.append([_log_dispersion(rows, one) for one in looked.found(rows, every, STARTS)])
        if looked.stopped():
            break
    made = np.array(references)
    values = made.mean(axis=0) - np.array(seen)
    errors = made.std(axis=0) * np.sqrt(1 + 1 / len(made))
    best = gap_says(every, values, errors)
    return Curve(
        criterion="gap",
        title=_TITLES["gap"],
        better="higher",
        counts=every,
        values=[float(value) for value in values],
        errors=[float(error) for error in errors],
        best=best,
    )


def gap_says(counts: Sequence[int], values: np.ndarray, errors: np.ndarray) -> int:
    """The smallest k whose gap is not below that of the next by more than the standard error of that (Tibshirani et al. 2001).

    It begins with the first k that is above a single group by two standard errors, where there is one: in many dimensions two or
    three groups may be no better than one where thirty are, and the rule as it was written would stop at one.
    """
    above = np.flatnonzero(values - 2 * errors > values[0])
    for place in range(int(above[0]) if len(above) else 0, len(counts) - 1):
        if not len(above) or values[place] >= values[place + 1] - errors[place + 1]:
            return counts[place]
    return counts[-1]


def _log_dispersion(matrix: np.ndarray, found: Found) -> float:
    """Logarithm of W_k; of groups that are points each, that of the smallest number."""
    return float(np.log(max(dispersion(matrix, found.labels), np.finfo(np.float64).tiny)))


def stability_curve(looked: Looked, counts: list[int]) -> Curve:
    """Mean adjusted Rand index of all pairs of groupings that were found in bootstrap samples, compared on all rows.

    Source: Fang and Wang 2012, https://doi.org/10.1016/j.csda.2011.09.003, with the adjusted index instead of the distance.
    """
    from sklearn.metrics import adjusted_rand_score

    matrix = looked.matrix
    placements: list[list[np.ndarray]] = [[] for _ in counts]
    for seed in looked.draws.spawn(looked.settings.references + looked.settings.refits)[looked.settings.references :]:
        drawn = matrix[np.random.default_rng(seed).integers(0, len(matrix), len(matrix))]
        usable = [k for k in counts if k <= len(np.unique(drawn, axis=0))]
        for place, one in enumerate(looked.found(drawn, usable, STARTS)):
            placements[place].append(placed(one.groups, matrix, looked.space.distance).groups)
        if looked.stopped():
            break
    values = [
        float(np.mean([adjusted_rand_score(first, second) for first, second in combinations(made, 2)])) if len(made) > 1 else None
        for made in placements
    ]
    return _curve("stability", "higher", counts, values)


def bic_curve(looked: Looked, counts: list[int], found: Sequence[Found]) -> Curve:
    """Bayesian information criterion, from one group on; source: Schwarz 1978, https://doi.org/10.1214/aos/1176344136."""
    fewer = list(range(1, counts[0]))
    values = [one.bic for one in (*looked.found(looked.matrix, fewer), *found)]
    return _curve("bic", "lower", [*fewer, *counts], values)


def _curve(name: str, better: str, counts: list[int], values: Sequence[float | None]) -> Curve:
    """A curve whose best number is that of its highest or lowest value."""
    known = [(value, count) for value, count in zip(values, counts, strict=True) if value is not None]
    pick = min if better == "lower" else max
    best = pick(known, key=lambda pair: pair[0])[1] if known else None
    return Curve.model_validate(
        {"criterion": name, "title": _TITLES[name], "better": better, "counts": counts, "values": list(values), "best": best}
    )


def structure_of(looked: Looked, labels: np.ndarray, tried: Sequence[int | None], curves: Sequence[Curve]) -> Structure:
    """Whether the groups are more than what single columns, or rows without any structure, give in the same way.

    Args:
        labels: the groups of the rows. tried: numbers of groups whose best silhouette is that of the rows.
    """
    seen = silhouette(looked.matrix, labels)
    compared = looked.matrix.shape[1] > 1 or len(looked.space.columns) > 1
    others: list[float | None] = []
    for seed in range(looked.settings.shuffles if compared else 0):
        before = looked.space.shuffled(looked.features, looked.seed + 1 + seed)
        rows = looked.space.anew(before).after(before)
        known = rows[has_direction(rows)] if looked.space.distance == "cosine" else rows
        values = [silhouette(known, one.labels) for one in looked.found(known, tried, STARTS)]
        others.append(max((value for value in values if value is not None), default=None))
        if looked.stopped():
            break
    reasons = _reasons(seen, others, [curve.criterion for curve in curves if curve.best == 1])
    return Structure(found=not reasons, reasons=reasons, silhouette=seen, shuffled=others, compared=compared)


def _reasons(seen: float | None, others: Sequence[float | None], one: Sequence[str]) -> list[str]:
    """Why no structure is shown; empty where it is. one: criteria that say that there is one group."""
    if seen is None:
        return ["no two groups were found"]
    reasons = [f"{NAMES[criterion]} says that the rows are one group" for criterion in one]
    known = [value for value in others if value is not None]
    if known and max(known) >= seen:
        reasons.append(
            f"rows whose columns were shuffled fall into groups as tight (silhouette {min(known):.3f} to {max(known):.3f}, of "
            f"the rows {seen:.3f}): if there are groups, they lie in single columns, not in how columns go together"
        )
    return reasons
