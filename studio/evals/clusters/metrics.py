"""The figures of groups: what each is called, which way is better, and how it is computed from placed rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from studio.evals.clusters.agreement import MutualInformation, rand_statistic
from studio.evals.clusters.separation import CalinskiHarabasz, DaviesBouldin
from studio.evals.clusters.tightness import MeanSilhouette
from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric, mean_statistic
from studio.evals.statistics import SHARE, SIGNED, Scale, Statistic
from studio.models.clusters.groups import NONE

_WITHOUT_END = Scale(0.0, float("inf"))


def _placed(evidence: Sequence[Evidence]) -> Statistic:
    """Figures of groups are computed from placed rows, not from answers."""
    raise NotImplementedError("figures of groups are computed from placed rows")


def _metric(key: str, title: str, unit: str, better: str, scale: Scale, explains: str, *, shrinks: bool = False) -> Metric:
    return Metric(
        key=key,
        title=title,
        unit=unit,
        better=better,  # type: ignore[arg-type]
        needs="answers",
        explains=explains,
        measure=_placed,
        made_with=lambda: "scikit-learn",
        scale=scale,
        repeats_shrink=shrinks,
    )


METRICS = {
    metric.key: metric
    for metric in (
        _metric(
            "silhouette",
            "Silhouette",
            "-1 to 1",
            "higher",
            SIGNED,
            "How much nearer a row is to the rows of its own group than to those of the next one, as a share of the larger "
            "distance; mean over rows in groups (Rousseeuw 1987).",
        ),
        _metric(
            "calinski_harabasz",
            "Calinski-Harabasz",
            "ratio",
            "higher",
            _WITHOUT_END,
            "Variance between groups over that within, each by its degrees of freedom (1974). It grows with the number of rows: "
            "only values of the same rows compare.",
            shrinks=True,
        ),
        _metric(
            "davies_bouldin",
            "Davies-Bouldin",
            "ratio",
            "lower",
            _WITHOUT_END,
            "For each group the worst sum of two widths over the distance of the two; mean over groups (1979).",
            shrinks=True,
        ),
        _metric(
            "stability",
            "Stability",
            "ARI",
            "higher",
            SIGNED,
            "Groups were found anew in bootstrap samples of the training rows, and these rows placed in them: mean adjusted Rand "
            "index with the groups of the run. 1: the same groups each time; 0: as alike as by chance.",
            shrinks=True,
        ),
        _metric(
            "in_no_group",
            "In no group",
            "share of rows",
            "neither",
            SHARE,
            "Rows that belong to no group: too far from all, or without a direction.",
        ),
        _metric(
            "ari",
            "ARI with labels",
            "ARI",
            "higher",
            SIGNED,
            "Adjusted Rand index of groups and labels, over pairs of rows: 1 where they are the same, 0 on average for chance "
            "(Hubert and Arabie 1985). Rows in no group count as a group of their own.",
            shrinks=True,
        ),
        _metric(
            "ami",
            "AMI with labels",
            "AMI",
            "higher",
            SIGNED,
            "Adjusted mutual information of groups and labels: 1 where they are the same, 0 on average for chance (Vinh et al. "
            "2010); kinder to small groups than ARI. Rows in no group count as a group of their own.",
            shrinks=True,
        ),
    )
}


@dataclass(frozen=True)
class PlacedRows:
    """Held-out rows with their groups.

    matrix: float64 [n, d], in the space they are measured in. labels: int64 [n]. anew: groups of the same rows by groups found in
    bootstrap samples, [n] each. truth: labels to compare with, str or None, object [n]; None where none are named.
    """

    matrix: np.ndarray
    labels: np.ndarray
    anew: Sequence[np.ndarray]
    truth: np.ndarray | None = None


def statistics_of(rows: PlacedRows) -> dict[str, Statistic | str]:
    """Metric to its statistic, or why there is none."""
    inside = np.unique(rows.labels[rows.labels != NONE])
    count = int((rows.labels != NONE).sum())
    found: dict[str, Statistic | str] = {}
    if len(inside) < 2 or count <= len(inside):
        few = "none of these rows lies in a group" if not len(inside) else "all of these rows lie in one group"
        few = "each of these rows is a group of its own" if len(inside) > 1 else few
        found |= dict.fromkeys(("silhouette", "calinski_harabasz", "davies_bouldin"), few)
    else:
        found["silhouette"] = MeanSilhouette(rows.matrix, rows.labels)
        found["calinski_harabasz"] = CalinskiHarabasz(rows.matrix, rows.labels)
        found["davies_bouldin"] = DaviesBouldin(rows.matrix, rows.labels)
    everyone = np.ones(len(rows.labels), dtype=bool)
    found["stability"] = rand_statistic(rows.labels, rows.anew, everyone) if rows.anew and len(inside) else "no groups were found"
    found["in_no_group"] = mean_statistic((rows.labels == NONE).astype(np.float64).tolist())
    if rows.truth is not None:
        labelled = np.array([value is not None for value in rows.truth])
        names = np.array(["" if value is None else value for value in rows.truth])
        if labelled.any():
            found["ari"] = rand_statistic(rows.labels, [names], labelled)
            found["ami"] = MutualInformation(rows.labels, names, labelled)
        else:
            found |= dict.fromkeys(("ari", "ami"), "none of these rows has a label")
    return found


def told_with(names: Sequence[str], words: str) -> dict[str, Metric]:
    """The metrics of these names, saying how they were made."""
    return {name: replace(METRICS[name], made_with=lambda: words) for name in names}
