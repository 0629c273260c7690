"""Estimators of scikit-learn: golden figures, and the same as the library used by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.data.examples import Examples
from studio.models.predictors.features import plain_features
from studio.schema.columns import Column
from tests.train.predictors.made import examples, fitted, preset, sklearn_table


def accuracy_by_folds(rows: Examples, estimator: Any) -> float:
    """Mean accuracy of ten stratified folds."""
    from sklearn.model_selection import StratifiedKFold

    found = []
    for train, test in StratifiedKFold(10, shuffle=True, random_state=0).split(rows.features, rows.target):
        predictor, _ = fitted(rows.part(train), preset(estimator))
        found.append(np.mean(predictor.predict(rows.part(test).features).values == rows.target[test]))
    return float(np.mean(found))


@pytest.mark.parametrize(("name", "accuracy"), [("iris", 0.953), ("wine", 0.983), ("breast_cancer", 0.977)])
def test_scaled_logistic_regression_gives_the_golden_accuracy(name: str, accuracy: float) -> None:
    assert accuracy_by_folds(sklearn_table(name), "logistic") == pytest.approx(accuracy, abs=0.0006)


def test_ridge_gives_the_golden_figures_of_diabetes() -> None:
    from sklearn.metrics import r2_score, root_mean_squared_error
    from sklearn.model_selection import KFold

    rows, shares, errors = sklearn_table("diabetes"), [], []
    for train, test in KFold(10, shuffle=True, random_state=0).split(rows.features):
        said = fitted(rows.part(train), preset("ridge", kind="regressor"))[0].predict(rows.part(test).features).values
        shares.append(r2_score(rows.target[test], said))
        errors.append(root_mean_squared_error(rows.target[test], said))
    assert np.mean(shares) == pytest.approx(0.484, abs=0.0006) and np.mean(errors) == pytest.approx(54.5, abs=0.06)


@pytest.mark.parametrize(
    "estimator", ["svm", {"type": "svm", "kernel": "rbf"}, "naive-bayes", {"type": "forest", "trees": 40}, "boosting"], ids=str
)
def test_every_estimator_learns_wine(estimator: Any) -> None:
    rows = sklearn_table("wine")
    train, held = rows.part(range(0, 178, 2)), rows.part(range(1, 178, 2))
    predictor, _ = fitted(train, preset(estimator), held)
    said = predictor.predict(held.features)
    assert np.mean(said.values == held.target) > 0.93
    assert said.probabilities.shape == (89, 3) and np.allclose(said.probabilities.sum(axis=1), 1)
    assert (np.array(said.labels)[said.probabilities.argmax(axis=1)] == said.values).all()


def test_a_pipeline_by_hand_says_the_same() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = sklearn_table("breast_cancer")
    hand = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)).fit(rows.features, rows.target)
    ours, _ = fitted(rows, preset({"type": "logistic", "C": 0.1}))
    assert np.allclose(ours.predict(rows.features).probabilities, hand.predict_proba(rows.features), atol=1e-12)


def test_penalties_do_what_they_say() -> None:
    rows = sklearn_table("breast_cancer")

    def weights(**settings: Any) -> np.ndarray:
        return fitted(rows, preset({"type": "logistic", **settings}))[0].pipeline[-1].coef_[0]  # type: ignore[attr-defined]

    assert (weights(penalty="l1", C=0.05) == 0).sum() > 15 and (weights(C=0.05) != 0).all()
    assert np.abs(weights(penalty="none", max_iter=200)).sum() > 10 * np.abs(weights()).sum()


def test_a_solver_that_was_cut_short_is_told() -> None:
    _, told = fitted(sklearn_table("wine"), preset({"type": "logistic", "max_iter": 3}))
    assert any("the solver took all its steps" in text for text in told)


def shapes(count: int) -> tuple[Examples, Examples]:
    """Numbers and categories in a curve with noise, of labels."""
    generator = np.random.default_rng(3)
    frame = pd.DataFrame({"x": generator.uniform(-3, 3, count), "y": generator.uniform(-3, 3, count)})
    frame["colour"] = generator.choice(["red", "green", "blue"], count)
    frame.loc[::17, "x"] = np.nan
    angle = np.sin(frame["x"].fillna(0)) + (frame["colour"] == "red") + generator.normal(0, 0.8, count) > frame["y"]
    rows = examples(frame, np.where(angle, "in", "out"))
    return rows.part(range(count // 2)), rows.part(range(count // 2, count))


def test_boosting_stops_by_our_validation_rows_and_keeps_the_best_round() -> None:
    """Cut back to the best round it is what as many rounds without early stopping give."""
    from sklearn.metrics import log_loss

    train, held = shapes(1200)
    stopped, told = fitted(train, preset({"type": "boosting", "rounds": 300, "learning_rate": 0.1, "patience": 15}), held)
    best = stopped.pipeline[-1].n_iter_  # type: ignore[attr-defined]
    assert 5 < best < 100 and told == [f"early stopping: the best of {best + 15} rounds was round {best}"]
    same, _ = fitted(train, preset({"type": "boosting", "rounds": best, "learning_rate": 0.1, "patience": None}), held)
    assert np.array_equal(stopped.predict(held.features).probabilities, same.predict(held.features).probabilities)
    losses = []
    for rounds in (best - 4, best, best + 4):
        other, _ = fitted(train, preset({"type": "boosting", "rounds": rounds, "learning_rate": 0.1, "patience": None}), held)
        losses.append(log_loss(held.target, other.predict(held.features).probabilities))
    assert losses[1] == min(losses)


def test_boosting_whose_first_tree_is_wrong_keeps_none() -> None:
    numbers = np.random.default_rng(0).normal(size=400)
    turned = np.where(np.arange(400) < 200, numbers > 0, numbers < 0)
    rows = examples(pd.DataFrame({"x": numbers}), np.where(turned, "a", "b"))
    predictor, told = fitted(rows.part(range(200)), preset("boosting"), rows.part(range(200, 400)))
    assert told == ["early stopping: the best of 20 rounds was round 0"]
    share = float(np.mean(rows.target[:200] == "a"))
    assert np.allclose(predictor.predict(rows.features).probabilities[:, 0], share)


def test_boosting_knows_categories_and_missing_numbers_by_themselves() -> None:
    train, held = shapes(1200)
    predictor, _ = fitted(train, preset("boosting"), held)
    estimator = predictor.pipeline[-1]  # type: ignore[attr-defined]
    assert estimator.is_categorical_.tolist() == [True, False, False]
    plain = plain_features(held.features.head(1).assign(x=np.nan), predictor.info.columns)
    assert np.isnan(predictor.pipeline[:-1].transform(plain)[0, 1])  # type: ignore[attr-defined]
    unknown = held.features.head(2).assign(colour=["never seen", "never seen too"], x=1.0, y=0.0)
    first, second = predictor.predict(unknown).probabilities
    assert first.tolist() == second.tolist()


def test_without_validation_rows_all_rounds_are_run_and_that_is_said() -> None:
    _, told = fitted(sklearn_table("iris"), preset({"type": "boosting", "rounds": 5}))
    assert told == ["no validation rows to stop early by: all 5 rounds were run"]


def test_validation_rows_with_labels_that_no_training_row_has_are_left_out_and_told() -> None:
    iris = sklearn_table("iris")
    train = iris.part(np.flatnonzero(iris.target != "virginica"))
    _, told = fitted(train, preset({"type": "boosting", "rounds": 5}), iris)
    assert told[0] == "50 of 150 validation rows have labels that no training row has"


def test_naive_bayes_counts_words_and_measures_numbers() -> None:
    from sklearn.naive_bayes import GaussianNB, MultinomialNB

    said = examples(pd.DataFrame({"said": ["good food", "bad noise"] * 9}), ["yes", "no"] * 9, [Column(name="said", type="text")])
    words, _ = fitted(said, preset("naive-bayes"))
    assert isinstance(words.pipeline[-1], MultinomialNB)  # type: ignore[attr-defined]
    assert words.predict(pd.DataFrame({"said": ["goods", "noisy"]})).values.tolist() == ["yes", "no"]
    numbers, _ = fitted(sklearn_table("iris"), preset("naive-bayes"))
    assert isinstance(numbers.pipeline[-1], GaussianNB)  # type: ignore[attr-defined]


def grown(count: int = 600) -> Examples:
    """Prices whose errors grow with their size."""
    generator = np.random.default_rng(0)
    size = generator.uniform(0, 5, count)
    price = np.exp(size + generator.normal(0, 0.3, count))
    return examples(pd.DataFrame({"size": size}), price)


@pytest.mark.parametrize("estimator", ["ridge", {"type": "forest", "trees": 30}, "boosting"], ids=str)
def test_a_logarithm_is_learned_and_answers_are_turned_back(estimator: Any) -> None:
    rows = grown()
    train, validation, test = rows.part(range(300)), rows.part(range(300, 450)), rows.part(range(450, 600))
    logs, _ = fitted(train, preset(estimator, kind="regressor", log_target=True), validation)
    said = logs.predict(test.features)
    assert (said.values > 0).all() and np.median(np.abs(np.log(said.values / test.target))) < 0.3
    # The interval is around the number itself, not around its logarithm.
    assert np.allclose(said.high - said.values, logs.info.interval["half_width"])
    inside = np.mean((said.low <= test.target) & (test.target <= said.high))
    assert 0.82 < inside < 0.97
    if estimator == "ridge":
        plain, _ = fitted(train, preset(estimator, kind="regressor"), validation)
        error = [np.abs(np.log(np.maximum(one.predict(test.features).values, 1) / test.target)).mean() for one in (logs, plain)]
        assert error[0] < error[1] / 2


def test_a_logarithm_that_is_far_too_large_stays_a_number() -> None:
    predictor, _ = fitted(grown(), preset("ridge", kind="regressor", log_target=True))
    said = predictor.predict(pd.DataFrame({"size": [1e6]})).values
    assert np.isfinite(said).all() and said[0] > 1e300


@pytest.mark.parametrize(
    "settings",
    [
        preset("logistic", imbalance="oversample"),
        preset({"type": "logistic", "penalty": "l1", "max_iter": 50}),
        preset({"type": "svm", "kernel": "rbf"}, imbalance="smote"),
        preset({"type": "forest", "trees": 20}, imbalance="undersample"),
        preset({"type": "boosting", "rounds": 20}, imbalance="smote"),
    ],
    ids=lambda one: f"{one.estimator.type}-{one.imbalance}",
)
def test_a_seed_gives_bit_equal_answers(settings: Any) -> None:
    train, held = shapes(400)
    first, second, other = (
        fitted(train, settings.model_copy(update={"seed": seed}), held)[0].predict(held.features) for seed in (7, 7, 8)
    )
    assert np.array_equal(first.probabilities, second.probabilities)
    assert settings.estimator.type == "logistic" or not np.array_equal(first.probabilities, other.probabilities)
