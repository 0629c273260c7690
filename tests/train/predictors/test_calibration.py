"""Probabilities of support vector machines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studio.schema.columns import Column
from studio.train.predictors.calibration import count_folds, inner_folds
from studio.train.predictors.resampling import Rows
from tests.train.predictors.made import examples, fitted, preset, sklearn_table


def test_the_library_used_by_hand_says_the_same() -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    rows = sklearn_table("breast_cancer")
    scaled = StandardScaler().fit_transform(rows.features)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    hand = CalibratedClassifierCV(LinearSVC(max_iter=10_000, random_state=0), cv=folds, ensemble=False).fit(scaled, rows.target)
    ours, told = fitted(rows, preset("svm"))
    assert told == [] and np.allclose(ours.predict(rows.features).probabilities, hand.predict_proba(scaled), atol=1e-3)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_a_label_with_a_single_row_is_learned_and_told(kernel: str) -> None:
    iris = sklearn_table("iris")
    rows = iris.part([*range(50), *range(50, 97), 120])
    assert (rows.target == "virginica").sum() == 1
    predictor, told = fitted(rows, preset({"type": "svm", "kernel": kernel}))
    assert told == [
        "labels with a single training row (virginica) stand in every inner fold; their probabilities were not learned on rows "
        "that are held out"
    ]
    said = predictor.predict(iris.features)
    assert said.labels == ("setosa", "versicolor", "virginica") and np.isfinite(said.probabilities).all()
    assert np.mean(said.values[:100] == iris.target[:100]) > 0.95


def test_there_are_no_more_folds_than_rows_of_the_rarest_label() -> None:
    iris = sklearn_table("iris")
    predictor, told = fitted(iris.part([*range(40), *range(50, 90), 120, 121, 122]), preset("svm"))
    assert told == ["probabilities were learned on 3 inner folds instead of 5: the rarest labels have no more rows"]
    assert np.isfinite(predictor.predict(iris.features).probabilities).all()


def test_copies_of_a_row_stay_in_one_fold() -> None:
    """Otherwise the machine would be asked about rows that it has learned."""
    origins = np.array([*range(12), 8, 9, 10, 11, 8, 9, 10, 11])
    target = np.array(["a"] * 8 + ["b"] * 12, dtype=object)
    rows = Rows(np.zeros((20, 1)), target, origins=origins)
    assert count_folds(rows) == (4, [])
    for train, test in inner_folds(rows, 4, 0):
        assert not set(origins[train]) & set(origins[test]) and set(target[train]) == {"a", "b"}


def test_a_single_row_that_was_copied_does_not_stop_it() -> None:
    iris = sklearn_table("iris")
    rows = iris.part([*range(50), *range(50, 97), 120])
    predictor, told = fitted(rows, preset("svm", imbalance="oversample"))
    assert "single training row (virginica)" in told[1] and np.isfinite(predictor.predict(iris.features).probabilities).all()


def test_made_up_rows_are_told_to_make_probabilities_too_sure() -> None:
    iris = sklearn_table("iris")
    _, told = fitted(iris.part([*range(50), *range(50, 80)]), preset("svm", imbalance="smote"))
    assert any("share neighbours of made-up rows, and so are too sure" in text for text in told)


def test_probabilities_of_texts_hold_what_they_promise() -> None:
    """Expected calibration error on held-out rows; that of the machine's own side of the boundary is far larger."""
    generator = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(200)])
    lean = generator.choice([-1, 1], 200)
    draws = generator.integers(0, 200, (3000, 8))
    score = lean[draws].sum(axis=1)
    target = np.where(generator.random(3000) < 1 / (1 + np.exp(-score / 2)), "yes", "no")
    rows = examples(pd.DataFrame({"said": [" ".join(words[one]) for one in draws]}), target, [Column(name="said", type="text")])
    predictor, _ = fitted(rows.part(range(1500)), preset("svm", preparation={"texts": {"characters": False}}))
    held = rows.part(range(1500, 3000))
    chance = predictor.predict(held.features).probabilities[:, 1]
    truth = held.target == "yes"
    bins = np.minimum((chance * 10).astype(int), 9)
    gaps = [np.mean(bins == one) * abs(truth[bins == one].mean() - chance[bins == one].mean()) for one in np.unique(bins)]
    assert sum(gaps) < 0.05 < 0.2 < np.mean((chance > 0.5) != truth)
