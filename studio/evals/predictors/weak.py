"""Where a predictor fails: parts of the rows on which it does worse than on the others, found without being asked for.

Every column is looked at: its values, numbers in quarters, texts by their length. As many parts are compared, a part is called
weak only where that survives Holm's correction over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from studio.core.records import GroupScores, Score
from studio.data.examples import Examples
from studio.evals.intervals import share_interval
from studio.evals.labelled import Labelled
from studio.evals.pieces import Floats
from studio.evals.predictors.rows import column_values, quarters
from studio.evals.statistics import SIGNIFICANCE, holm
from studio.models.predictors.base import Prediction

FEWEST = 15
"""Rows that a part holds at least, and that lie outside it."""
_MOST_VALUES = 20
_SHOWN = 5


@dataclass(frozen=True)
class Spot:
    """A part of the rows. name: of the part, for people. count: its rows. here, elsewhere: mean badness within and outside.
    p: of the difference; p_holm: after Holm's correction over all parts.
    """

    name: str
    count: int
    here: float
    elsewhere: float
    p: float
    low: float | None = None
    high: float | None = None
    p_holm: float = 1.0

    @property
    def shown(self) -> bool:
        """True where it is worse and chance does not explain it."""
        return self.here > self.elsewhere and self.p_holm < SIGNIFICANCE


@dataclass
class Spots:
    """What was found. looked_at: parts that were compared. worst: the parts in order of their p-value, worse ones only."""

    looked_at: int
    worst: list[Spot]
    groups: list[GroupScores] = field(default_factory=list)

    @property
    def weakest(self) -> Spot | None:
        """The worst part that is shown to be one."""
        return next((spot for spot in self.worst if spot.shown), None)


def weak_spots(rows: Examples, prediction: Prediction, found: Labelled) -> Spots:
    """Parts of the rows on which the tuned model is wrong more often, or further off."""
    if prediction.probabilities is None:
        bad = np.abs(prediction.values - np.array(found.true_numbers))
        unit, title = "units of the target", "Mean absolute error where it is largest"
    else:
        bad = np.array([float(said != true) for said, true in zip(found.said["tuned"], found.truth, strict=True)])
        unit, title = "share that is wrong", "Share of wrong labels where it is largest"
    parts = list(_parts(rows))
    spots = [_spot(name, member, bad, found.clusters) for name, member in parts]
    corrected = holm([spot.p for spot in spots])
    spots = [
        Spot(**{**vars(spot), "p_holm": adjusted if adjusted is not None else 1.0})
        for spot, adjusted in zip(spots, corrected, strict=True)
    ]
    worst = sorted((spot for spot in spots if spot.here > spot.elsewhere), key=lambda spot: (spot.p, -spot.here))
    groups = [_group(title, unit, worst[:_SHOWN], len(spots))] if worst else []
    return Spots(len(spots), worst, groups)


def _parts(rows: Examples) -> Iterator[tuple[str, np.ndarray]]:
    """Name and members (bool, [n]) of every part that is large enough."""
    for name, values in _columns(rows):
        codes, kinds = pd.factorize(np.array(values, dtype=object), sort=True)
        if len(kinds) > _MOST_VALUES:
            continue
        for code, kind in [*enumerate(kinds), (-1, "missing")]:
            member = codes == code
            if min(member.sum(), (~member).sum()) >= FEWEST:
                yield f"{name}: {kind}", member


def _columns(rows: Examples) -> Iterator[tuple[str, list[str | None]]]:
    """Columns of which the parts are made, and further ones that are no features but kept in the rows."""
    for column in rows.columns:
        if column.type == "text":
            counts = np.array([len(str(text).split()) if text is not None else np.nan for text in rows.features[column.name]])
            if np.isfinite(counts).any() and np.nanmin(counts) < np.nanmax(counts):
                yield f"words in {column.name}", quarters(counts)
        elif column.type in {"number", "category"}:
            yield column.name, column_values(rows, column.name, "slices")
    for name in map(str, rows.others):
        if name != rows.target_name and name not in rows.features and name not in {"caption", "label"}:
            values = column_values(rows, name, "slices")
            yield name, values


def _spot(name: str, member: np.ndarray, bad: Floats, clusters: list[str] | None) -> Spot:
    """One part against the rest: exact for wrong labels, by ranks for errors."""
    from scipy.stats import fisher_exact, mannwhitneyu

    here, elsewhere = bad[member], bad[~member]
    low, high = None, None
    if set(np.unique(bad)) <= {0.0, 1.0}:
        table = [[here.sum(), (1 - here).sum()], [elsewhere.sum(), (1 - elsewhere).sum()]]
        p_value = float(fisher_exact(table, alternative="greater").pvalue)
        low, high = share_interval(float(here.sum()), len(here)) or (None, None)
    else:
        p_value = float(mannwhitneyu(here, elsewhere, alternative="greater").pvalue)
    if clusters is not None:
        # Rows of one cluster are not independent, and these tests take them for it: no part is called weak by them alone.
        p_value, low, high = _by_clusters(member, bad, clusters), None, None
    return Spot(name, len(here), float(here.mean()), float(elsewhere.mean()), p_value, low, high)


def _by_clusters(member: np.ndarray, bad: Floats, clusters: list[str]) -> float:
    """One-sided p-value of the means of clusters within and outside a part; a cluster in both counts in both."""
    from scipy.stats import mannwhitneyu

    sides = []
    for chosen in (member, ~member):
        sums: dict[str, list[float]] = {}
        for place in np.flatnonzero(chosen):
            sums.setdefault(clusters[place], []).append(float(bad[place]))
        sides.append([float(np.mean(values)) for values in sums.values()])
    return float(mannwhitneyu(sides[0], sides[1], alternative="greater").pvalue)


def _group(title: str, unit: str, spots: list[Spot], looked_at: int) -> GroupScores:
    """The worst parts as bars."""
    scores = [
        Score(
            metric=spot.name,
            value=spot.here,
            unit=unit,
            better="lower",
            n=spot.count,
            low=spot.low,
            high=spot.high,
            made_with="Fisher's exact test or Mann and Whitney's, one-sided, Holm over all parts",
            note=f"{'worse than elsewhere' if spot.shown else 'may be chance'}: p {spot.p_holm:.2g}, corrected",
        )
        for spot in spots
    ]
    explains = (
        f"The parts of the rows with the least likely excess of errors, of {looked_at} that were looked at without being asked "
        "for. One that is not shown to be worse may be so by chance."
    )
    return GroupScores(title=title, unit=unit, explains=explains, scores={"tuned": scores})
