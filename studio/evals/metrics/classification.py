"""Accuracy, precision, recall, F1 and Matthews correlation of labels, with intervals.

Legend: n examples, k classes, r resamples. An answer that is no label at all counts as a wrong label of its own, number k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.core.telling import counted
from studio.evals.intervals import share_unlike
from studio.evals.metrics.base import Metric
from studio.evals.pieces import Floats, Pieces
from studio.evals.statistics import SHARE, SIGNED, Statistic

UNPARSED = "(unparsed)"
# Resamples whose confusion tables are held at once.
_ROWS = 256
_FEWEST_OF_A_CLASS = 5


@dataclass(frozen=True)
class ConfusionStatistic:
    """A figure of the confusion table.

    truth, predicted: class numbers [n]; predicted may be k. classes: k. figure: confusion [r, k, k + 1] -> [r].
    reference: the same figure by scikit-learn for one weighting; the plain score is scikit-learn's, resamples are ours, and the
    tests hold them together. over_classes: the figure is a mean over classes, of which each counts.
    """

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    classes: int
    figure: Callable[[Floats], Floats]
    reference: Callable[[Any, Any, Any, int], float]
    each: list[float | None]
    over_classes: bool = False

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Every example counts: an unparsed answer is wrong, not missing."""
        return np.ones(len(self.truth), dtype=bool)

    def at(self, weights: Floats) -> Floats:
        """See :meth:`studio.evals.metrics.base.Statistic.at`."""
        if len(weights) == 1:
            return np.array([self.reference(self.truth, self.predicted, weights[0], self.classes)])
        parts = [self.figure(self.confusion(weights[start : start + _ROWS])) for start in range(0, len(weights), _ROWS)]
        values: Floats = np.concatenate(parts)
        return values

    def confusion(self, weights: Floats) -> Floats:
        """Confusion tables of each weighting: [r, n] -> [r, k, k + 1]."""
        size = self.classes * (self.classes + 1)
        tables: Floats = np.stack([np.bincount(self._cells, weights=row, minlength=size).astype(np.float64) for row in weights])
        return self._tables(tables)

    def pieces(self, usable: NDArray[np.bool_]) -> Pieces:
        """See :class:`studio.evals.statistics.OfSums`: one kind of example per cell of the table that occurs."""
        cells, kinds = np.unique(self._cells[usable], return_inverse=True)
        rows = np.zeros((len(cells), self.classes * (self.classes + 1)))
        rows[np.arange(len(cells)), cells] = 1.0
        return Pieces(rows, kinds.astype(np.int64), lambda sums: self.figure(self._tables(sums)))

    def too_few(self, usable: NDArray[np.bool_]) -> str | None:
        """A mean over classes is as uncertain as the rarest class; a correlation needs examples of more than one."""
        counts = np.sort(np.bincount(self.truth[usable], minlength=self.classes))
        fewest = int(counts[0]) if self.over_classes else int(counts[:-1].sum())
        if fewest >= _FEWEST_OF_A_CLASS or not (self.over_classes or self.figure is matthews):
            return None
        what = "a label has" if self.over_classes else "the labels beside the commonest have"
        return f"{what} {counted(fewest, 'example')}, {_FEWEST_OF_A_CLASS} are needed"

    def with_unseen(self, usable: NDArray[np.bool_], owners: NDArray[np.int64], base: Statistic | None = None) -> Floats:
        """See :class:`studio.evals.statistics.Stratified`: the others lie in the one cell that moves the figure most."""
        found: list[tuple[float, float]] = []
        size = self.classes * (self.classes + 1)
        cells = self._cells if base is None else self._cells * size + _confusion(base)._cells
        for place in range(self.classes) if self.over_classes else ():
            of_it = self.truth[usable] == place
            if len(np.unique(cells[usable][of_it])) != 1:
                continue
            others = share_unlike(len(np.unique(owners[of_it])))
            value, moved = self._moved(usable, place, others)
            if base is None:
                found.append((float(moved.min()), float(moved.max())))
                continue
            under, shifted = _confusion(base)._moved(usable, place, others)
            found.append(
                (
                    float(min(moved.min() - under, value - shifted.max())),
                    float(max(moved.max() - under, value - shifted.min())),
                )
            )
        return np.array(found).reshape(-1, 2)

    def _moved(self, usable: NDArray[np.bool_], place: int, others: float) -> tuple[float, Floats]:
        """The figure, and what it is when a share of a class's examples lie in each of its cells instead, [k + 1]."""
        table = self.confusion(usable.astype(np.float64)[None])
        moved = np.repeat(table, self.classes + 1, axis=0)
        moved[:, place] += others * (table[0, place].sum() * np.eye(self.classes + 1) - table[0, place])
        return float(self.figure(table)[0]), self.figure(moved)

    @property
    def _cells(self) -> NDArray[np.int64]:
        """Cell of the table of each example, [n]."""
        return self.truth * (self.classes + 1) + self.predicted

    def _tables(self, cells: Floats) -> Floats:
        """[r, k * (k + 1)] -> [r, k, k + 1]."""
        return cells.reshape(len(cells), self.classes, self.classes + 1)


def _confusion(statistic: Statistic) -> ConfusionStatistic:
    """The statistic of the other model, over the same classes."""
    assert isinstance(statistic, ConfusionStatistic)
    return statistic


def _divided(top: Floats, bottom: Floats) -> Floats:
    """Quotient, nan where the divisor is 0."""
    quotients: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)
    return quotients


def accuracy(tables: Floats) -> Floats:
    """Share on the diagonal."""
    return _divided(np.trace(tables[:, :, :-1], axis1=1, axis2=2), tables.sum(axis=(1, 2)))


def per_class(tables: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Precision, recall, F1 and support of each class, [r, k]; 0 where nothing was predicted, as scikit-learn's
    zero_division=0.
    """
    hits = np.diagonal(tables[:, :, :-1], axis1=1, axis2=2)
    predicted, support = tables[:, :, :-1].sum(axis=1), tables.sum(axis=2)
    precision = np.nan_to_num(_divided(hits, predicted))
    recall = np.nan_to_num(_divided(hits, support))
    f1 = np.nan_to_num(_divided(2 * hits, predicted + support))
    return precision, recall, f1, support


def _macro(which: int, tables: Floats) -> Floats:
    """Mean of precision, recall or F1 over all classes, also those that a resample misses (they count 0)."""
    mean: Floats = per_class(tables)[which].mean(axis=1)
    return mean


def balanced_accuracy(tables: Floats) -> Floats:
    """Mean recall over the classes that occur."""
    _, recall, _, support = per_class(tables)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.nanmean(np.where(support > 0, recall, np.nan), axis=1)
    return mean


def f1_weighted(tables: Floats) -> Floats:
    """F1 averaged by how often each class is true."""
    _, _, f1, support = per_class(tables)
    return _divided((f1 * support).sum(axis=1), support.sum(axis=1))


def matthews(tables: Floats) -> Floats:
    """Matthews correlation for any number of classes; 0 where it is undefined, as scikit-learn.

    Source: Gorodkin 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006.
    """
    correct, total = np.trace(tables[:, :, :-1], axis1=1, axis2=2), tables.sum(axis=(1, 2))
    true, predicted = tables.sum(axis=2), tables.sum(axis=1)
    true = np.concatenate([true, np.zeros((len(true), 1))], axis=1)
    above = correct * total - (true * predicted).sum(axis=1)
    below = np.sqrt((total**2 - (predicted**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1)))
    values: Floats = np.nan_to_num(_divided(above, below))
    return values


def unparsed(tables: Floats) -> Floats:
    """Share of answers that are no label."""
    return _divided(tables[:, :, -1].sum(axis=1), tables.sum(axis=(1, 2)))


def _sklearn(name: str, truth: Any, predicted: Any, weights: Any, classes: int, **settings: Any) -> float:
    """One of scikit-learn's functions, over the true classes."""
    import warnings

    from sklearn import metrics

    if name in {"precision_score", "recall_score", "f1_score"}:
        settings |= {"labels": list(range(classes)), "zero_division": 0}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true|A single label was found")
        return float(getattr(metrics, name)(truth, predicted, sample_weight=weights, **settings))


def _unparsed_share(truth: Any, predicted: Any, weights: Any, classes: int) -> float:  # noqa: ARG001 - one signature for all
    """Share of answers that are no label; no library has it."""
    return float((weights * (predicted == classes)).sum() / weights.sum())


_FIGURES: dict[str, tuple[str, str, Callable[[Floats], Floats], Callable[[Any, Any, Any, int], float], str]] = {
    "accuracy": ("Accuracy", "share of answers", accuracy, partial(_sklearn, "accuracy_score"), (
        "Share of labels that are "
        "right."
    )),
    "balanced_accuracy": (
        "Balanced accuracy", "mean recall, 0 to 1", balanced_accuracy, partial(_sklearn, "balanced_accuracy_score"),
        "Mean over the classes of the share of their examples that were found: a frequent class cannot carry it.",
    ),
    "precision_macro": (
        "Precision, macro", "share", partial(_macro, 0), partial(_sklearn, "precision_score", average="macro"),
        "Of what is labelled as a class, how much is right; the mean over classes.",
    ),
    "recall_macro": (
        "Recall, macro", "share", partial(_macro, 1), partial(_sklearn, "recall_score", average="macro"),
        "Of the examples of a class, how many are found; the mean over classes.",
    ),
    "f1_macro": (
        "F1, macro", "F1, 0 to 1", partial(_macro, 2), partial(_sklearn, "f1_score", average="macro"),
        "Harmonic mean of precision and recall of each class; the mean over classes.",
    ),
    "f1_weighted": (
        "F1, weighted", "F1, 0 to 1", f1_weighted, partial(_sklearn, "f1_score", average="weighted"),
        "F1 of each class, weighted by how often it is true.",
    ),
    "mcc": (
        "Matthews correlation", "correlation, -1 to 1", matthews, partial(_sklearn, "matthews_corrcoef"),
        "Correlation of predicted and true labels; 0 is no better than chance.",
    ),
    "unparsed": (
        "Unparsed", "share of answers", unparsed, _unparsed_share,
        "Share of answers in which not exactly one of the labels was found. They count as wrong in the other figures.",
    ),
}  # fmt: skip


def classification_metric(name: str) -> Metric:
    """One figure as a metric (its ``measure`` is not used: labels come from a task, not from text evidence)."""
    title, unit, _, _, explains = _FIGURES[name]
    library = "counted by the studio" if name == "unparsed" else f"scikit-learn {version('scikit-learn')}"
    return Metric(
        key=name,
        title=title,
        unit=unit,
        better="lower" if name == "unparsed" else "higher",
        needs="answers",
        explains=explains,
        measure=_no_evidence,
        made_with=lambda: library,
        scale=SIGNED if name == "mcc" else SHARE,
        right_or_wrong=name in {"accuracy", "unparsed"},
    )


def classification_statistic(
    name: str, truth: Sequence[str], predicted: Sequence[str | None], labels: Sequence[str]
) -> ConfusionStatistic:
    """The statistic of one figure.

    Args:
        truth: one of ``labels`` each. predicted: a label, or None (or a text that is no label) where none could be read.
    """
    number = {label: place for place, label in enumerate(labels)}
    true = np.array([number[label] for label in truth], dtype=np.int64)
    given = np.array(
        [number.get(label, len(labels)) if label is not None else len(labels) for label in predicted], dtype=np.int64
    )
    each: list[float | None] = [None] * len(true)
    if name == "accuracy":
        each = [float(a == b) for a, b in zip(true.tolist(), given.tolist(), strict=True)]
    elif name == "unparsed":
        each = [float(b == len(labels)) for b in given.tolist()]
    _, _, figure, reference, _ = _FIGURES[name]
    by_class = name in {"balanced_accuracy", "precision_macro", "recall_macro", "f1_macro"}
    return ConfusionStatistic(true, given, len(labels), figure, reference, each, by_class)


def _no_evidence(_: object) -> ConfusionStatistic:
    """Labels are measured by :func:`classification_statistic`."""
    raise NotImplementedError("classification figures are measured from labels")
