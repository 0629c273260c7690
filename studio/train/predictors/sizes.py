"""Memory that fitting an estimator of scikit-learn takes, from the rows' sizes and a sample of their texts.

Each factor was measured beside the real thing (``tests/train/predictors/test_planning.py`` holds some of them together).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studio.data.examples import Examples
from studio.models.predictors.features import PICTURE_SIDE, time_names
from studio.schema.estimators import Boosting, Forest, Logistic, Preparation, Svm
from studio.schema.predictors import AnyPredictorPreset
from studio.train.predictors.preparation import WANTS, Wants, missing_of, vectorizers

_SAMPLE = 200
_NUMBER, _ENTRY = 8, 12
"""Bytes of a number of a dense matrix, and of an entry of a sparse one with its place."""
_OBJECT = 64
"""Bytes of a short text as Python keeps it."""
_NODE = 64
"""Bytes of a node of a tree, without its values."""
_CACHE = 200 << 20
"""Kernel cache of libsvm, which holds a number of 4 bytes for each pair of rows."""
_DISTANCES = 1 << 30
"""Distances between rows that scikit-learn holds at once."""
_TERM = 120
"""Bytes of a term in a dictionary of terms."""
_GROWTH = 0.6
"""A text k times as long has k to this power times as many different terms (Heaps, Information Retrieval, 1978)."""


@dataclass(frozen=True)
class Matrix:
    """Prepared rows. features: columns. entries: that are not 0. dense: zeros are kept. size: bytes."""

    rows: int
    features: int
    entries: int
    dense: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return self.rows * self.features * _NUMBER if self.dense else self.entries * _ENTRY


def memory_of_training(preset: AnyPredictorPreset, rows: Examples) -> dict[str, int]:
    """Bytes of ``rows`` as they were read, and at the peak of their ``preparation`` and of ``fitting``, which come one after the
    other.
    """
    settings, wants = preset.preparation, WANTS[preset.estimator.type]
    matrix, texts = prepared_size(settings, wants, rows)
    plain, labels, more = _plain_size(rows), 1, 1.0
    if preset.kind == "classifier" and rows.target is not None:
        _, counts = np.unique(rows.target.astype(str), return_counts=True)
        labels = len(counts)
        more = counts.max() * labels / counts.sum() if preset.imbalance in {"oversample", "smote"} else 1.0
    copies = 4 if wants.scaled and matrix.dense else 3 if not matrix.dense else 1
    preparing = plain + copies * matrix.size + texts
    if missing_of(settings, wants) == "nearest" and any(column.type == "number" for column in rows.columns):
        preparing += min(_DISTANCES, len(rows) ** 2 * _NUMBER)
    fitting = (
        plain + matrix.size + round(more * _fitting(preset, matrix, labels)) + (round(more * matrix.size) if more > 1 else 0)
    )
    read = int(rows.features.memory_usage(deep=True).sum())
    return {"rows": read, "preparation": preparing, "fitting": fitting}


def peak(parts: dict[str, int]) -> int:
    """Bytes at the peak: what is prepared from is let go before the estimator is fitted."""
    return parts.get("program", 0) + parts["rows"] + max(parts["preparation"], parts["fitting"])


def prepared_size(settings: Preparation, wants: Wants, rows: Examples) -> tuple[Matrix, int]:
    """The matrix that rows become, and bytes of what is made of their texts on the way."""
    numbers = categories = features = entries = on_the_way = 0
    for column in rows.columns:
        values = rows.features[column.name]
        if column.type == "category":
            known = int((values.value_counts() >= settings.rare).sum()) + 1
            categories += 1
            features += 1 if wants.codes else known
        elif column.type == "text":
            learned, terms, per_row = text_size(settings, values.tolist(), condensed=wants.dense)
            found = round(per_row * len(rows))
            on_the_way += terms * _TERM + (
                3 * (found * _ENTRY + learned * settings.texts.components * _NUMBER) if wants.dense else 0
            )
            features += settings.texts.components if wants.dense else learned
            entries += settings.texts.components * len(rows) if wants.dense else found
        else:
            plain = {"time": len(time_names("")), "picture": PICTURE_SIDE**2 * 3}.get(column.type, 1)
            told = settings.indicator and missing_of(settings, wants) != "keep" and bool(values.isna().any())
            numbers += plain * (2 if told else 1)
    features += numbers
    entries += (numbers + categories) * len(rows)
    dense = wants.dense or entries >= 0.3 * max(1, features) * len(rows)
    return Matrix(len(rows), features, entries, dense), on_the_way


def text_size(settings: Preparation, texts: Sequence[str | None], *, condensed: bool) -> tuple[int, int, float]:
    """Features that a column of texts gives, different terms it has, and terms in a row, from a sample of evenly spaced rows."""
    sample = [texts[place] or "" for place in np.unique(np.linspace(0, len(texts) - 1, _SAMPLE).astype(int))]
    features = terms = 0
    per_row = 0.0
    for vectorizer in vectorizers(settings.texts, condensed=condensed).values():
        terms_of = vectorizer.build_analyzer()
        found = [set(terms_of(text)) for text in sample]
        distinct = len(set().union(*found)) * (len(texts) / len(sample)) ** _GROWTH
        terms += round(distinct)
        # Most terms are rare; of those in two rows or more there are about half as many in texts of people.
        features += round(min(distinct / 2 if settings.texts.min_rows > 1 else distinct, vectorizer.max_features or distinct))
        per_row += sum(map(len, found)) / len(found)
    return features, terms, per_row


def _plain_size(rows: Examples) -> int:
    """Bytes of the plain columns."""
    size = 0
    for column in rows.columns:
        if column.type == "picture":
            size += PICTURE_SIDE**2 * 3 * 4 * 2
        else:
            size += {"number": _NUMBER, "time": _NUMBER * len(time_names(""))}.get(column.type, _OBJECT)
    texts = [rows.features[column.name] for column in rows.columns if column.type == "text"]
    return size * len(rows) + sum(int(values.str.len().sum()) for values in texts)


def _fitting(preset: AnyPredictorPreset, matrix: Matrix, labels: int) -> int:
    """Bytes of what an estimator builds and copies while it is fitted."""
    outputs = labels if labels > 2 else 1
    match preset.estimator:
        case Boosting():
            # Numbers as bytes, a copy that is binned column by column, sums and gradients of each label.
            leaves = min(preset.estimator.leaves, max(2, matrix.rows // preset.estimator.min_leaf))
            trees = preset.estimator.rounds * outputs * leaves * 2 * _NODE
            return matrix.rows * matrix.features + matrix.size // 2 + matrix.rows * outputs * 24 + trees
        case Forest():
            # A draw with replacement holds 63% of the rows; trees of numbers end in one row each, those of labels sooner.
            nodes = round((0.63 if preset.kind == "classifier" else 1.26) * matrix.rows / preset.estimator.min_leaf)
            if preset.estimator.depth is not None:
                nodes = min(nodes, 2 ** min(preset.estimator.depth + 1, 40))
            return matrix.size // 2 + preset.estimator.trees * nodes * (_NODE + 8 * labels)
        case Svm(kernel="linear"):
            return 5 * matrix.size if matrix.dense else 5 * matrix.size // 2
        case Svm():
            return 2 * matrix.rows * matrix.features * _NUMBER + min(_CACHE, 4 * matrix.rows**2)
        case Logistic():
            # lbfgs keeps ten pairs of steps and gradients.
            return matrix.size + 24 * outputs * matrix.features * _NUMBER + matrix.rows * outputs * 3 * _NUMBER
    return matrix.size
