"""Explanations: exact where a model is a sum, Shapley's values against their enumeration, faithful, and said to be otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import UserError
from studio.data.examples import Examples
from studio.evals.predictors.explanations import check, explain, explain_row, explainer_for
from studio.evals.predictors.explanations.dependence import partial_dependence
from studio.evals.predictors.explanations.importance import permutation_importance
from studio.evals.predictors.explanations.shapley import exact_shapley, sampled_shapley
from studio.evals.predictors.explanations.twins import shuffled_twins
from studio.evals.predictors.explanations.values import Values
from studio.models.predictors.base import Predictor
from studio.models.predictors.features import plain_features
from studio.schema.columns import Column
from tests.train.predictors.made import examples, fitted, preset, sklearn_table


def halves(rows: Examples) -> tuple[Examples, Examples]:
    order = np.random.default_rng(0).permutation(len(rows))
    return rows.part(order[: len(rows) // 2]), rows.part(order[len(rows) // 2 :])


@pytest.fixture(scope="module")
def tumours() -> tuple[Predictor, Examples, Examples]:
    train, test = halves(sklearn_table("breast_cancer"))
    return fitted(train, preset("logistic"))[0], train, test


def mixed_rows(count: int = 240) -> Examples:
    """Numbers with gaps and two categories; what counts is x, and kind only where place is "in"."""
    generator = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "x": generator.normal(size=count),
            "y": np.where(generator.random(count) < 0.2, np.nan, generator.normal(size=count)),
            "kind": generator.choice(["a", "b", "c"], count),
            "place": generator.choice(["in", "out"], count),
        }
    )
    score = frame["x"] + 2.0 * ((frame["kind"] == "a") & (frame["place"] == "in")) - 0.4
    return examples(frame, np.where(score + 0.3 * generator.normal(size=count) > 0, "yes", "no"))


def test_of_a_linear_model_contributions_are_coefficients_times_the_distance_from_the_mean(tumours: Any) -> None:
    predictor, train, test = tumours
    row = test.features.iloc[[0]]
    [found] = explain(predictor, row, train.features, labels=["malignant"])
    preparation, estimator = predictor.pipeline[0], predictor.pipeline[-1]
    matrix, own = (preparation.transform(plain_features(rows, predictor.info.columns)) for rows in (train.features, row))
    theirs = estimator.coef_[0] * (own - matrix.mean(axis=0))[0]
    by_place = [part.contribution for part in sorted(found.parts, key=lambda part: part.place)]
    assert by_place == pytest.approx(theirs, abs=1e-9) and found.unit == "log-odds"
    assert found.base + sum(by_place) == pytest.approx(found.value) and abs(found.rest) < 1e-9
    assert found.value == pytest.approx(estimator.decision_function(own)[0])
    assert [abs(part.contribution) for part in found.parts] == sorted(map(abs, by_place), reverse=True)


def test_gaps_and_categories_of_a_linear_model_add_up_too() -> None:
    train, test = halves(mixed_rows())
    predictor, _ = fitted(train, preset("logistic"))
    for found in explain(predictor, test.features.iloc[:8], train.features):
        assert abs(found.rest) < 1e-9 and found.kind == "linear"
        shares = predictor.scores(test.features.iloc[:8])
        assert found.of in {"yes", "no"} and shares.shape == (8, 2)
    missing = next(place for place in range(len(test)) if np.isnan(test.features["y"].iloc[place]))
    found = explain_row(predictor, test.features.iloc[[missing]], train.features)
    assert next(part for part in found.parts if part.feature == "y").value == "missing"


def test_of_three_labels_the_sum_is_the_logarithm_over_the_others() -> None:
    train, test = halves(sklearn_table("iris"))
    predictor, _ = fitted(train, preset("logistic"))
    row = test.features.iloc[[0]]
    for label in predictor.info.labels:
        [found] = explain(predictor, row, train.features, labels=[label])
        logs = dict(zip(predictor.info.labels, np.log(predictor.scores(row)[0]), strict=True))
        others = np.mean([value for name, value in logs.items() if name != label])
        assert found.value == pytest.approx(logs[label] - others) and abs(found.rest) < 1e-9


def test_numbers_are_explained_in_their_own_unit() -> None:
    train, test = halves(sklearn_table("diabetes"))
    for estimator, kind in (("ridge", "linear"), ("forest", "shapley")):
        settings = {"type": estimator} | ({"trees": 20} if estimator == "forest" else {})
        predictor, _ = fitted(train, preset(settings, kind="regressor"))
        found = explain_row(predictor, test.features.iloc[[0]], train.features.iloc[:60])
        assert found.kind == kind and found.of == "target" and found.unit == "units of the target"
        assert found.value == pytest.approx(predictor.scores(test.features.iloc[[0]])[0])
        if kind == "linear":
            assert abs(found.rest) < 1e-8
        else:
            assert max(part.error for part in found.parts) > 0


def game_of(predictor: Predictor, row: pd.DataFrame, background: pd.DataFrame, label: str):
    explainer = explainer_for(predictor, background)
    return explainer._game(row, label)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def mixed() -> tuple[Predictor, Examples, Examples]:
    train, test = halves(mixed_rows())
    return fitted(train, preset({"type": "forest", "trees": 40}))[0], train, test


def test_sampled_shapley_values_are_the_exact_ones_within_their_error(mixed: Any) -> None:
    predictor, train, test = mixed
    background = train.features.iloc[:25]
    inside = 0
    for place in range(6):
        game = game_of(predictor, test.features.iloc[[place]], background, "yes")
        exact, base = exact_shapley(game, 4, 25)
        value = predictor.scores(test.features.iloc[[place]])[0, predictor.info.labels.index("yes")]
        assert base + exact.sum() == pytest.approx(value)  # efficiency
        found, errors, mean = sampled_shapley(game, 4, 25, 200, seed=place)
        assert mean == pytest.approx(base, abs=0.02)
        inside += int((np.abs(found - exact) <= 2.5 * errors + 1e-12).sum())
    assert inside >= 22  # of 24


def test_shapley_values_share_what_two_columns_do_together() -> None:
    def both(known: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return (known[:, 0] & known[:, 1]).astype(float) + 0.5 * known[:, 2]

    exact, base = exact_shapley(both, 4, 1)
    assert exact.tolist() == [0.5, 0.5, 0.5, 0.0] and base == 0
    found, errors, _ = sampled_shapley(both, 4, 1, 50, seed=0)
    # An order and the same order backwards share it equally, so that nothing is left to chance.
    assert found == pytest.approx(exact) and errors == pytest.approx(np.zeros(4), abs=1e-12)


def test_a_forest_of_few_columns_is_explained_exactly_and_adds_up(mixed: Any) -> None:
    predictor, train, test = mixed
    found = explain_row(predictor, test.features.iloc[[1]], train.features.iloc[:30])
    assert found.kind == "shapley" and "exact over 30 rows" in found.how and abs(found.rest) < 1e-9
    assert found.unit == "probability" and {part.feature for part in found.parts} == {"x", "y", "kind", "place"}
    assert found.faithful.startswith("Check: without the column that speaks most for it, the probability falls by")
    assert "not what causes what" in found.says


def test_deleting_what_is_named_hurts_more_and_nonsense_is_found_out(tumours: Any) -> None:
    predictor, train, test = tumours
    explainer = explainer_for(predictor, train.features)
    rows = test.features.iloc[:24]
    labels = [str(value) for value in predictor.predict(rows).values]
    found = [explainer.explain(rows.iloc[[place]], label) for place, label in enumerate(labels)]
    seen = check(explainer, rows, found, labels, seed=0)
    assert seen.shown and seen.low > 0 and seen.rows == 24 and seen.deleted == 6
    assert seen.told.startswith("Deleting the 6 columns that an explanation puts first changes the log-odds by")
    generator = np.random.default_rng(0)
    nonsense = []
    for item in found:
        shuffled = generator.permutation([abs(part.contribution) for part in item.parts])
        parts = tuple(
            type(part)(part.feature, part.value, float(value), None, part.place)
            for part, value in zip(item.parts, shuffled, strict=True)
        )
        nonsense.append(type(item)(**{**vars(item), "parts": parts}))
    seen = check(explainer, rows, nonsense, labels, seed=0)
    assert not seen.shown and "do not rely on them" in seen.told
    clustered = check(explainer, rows, found, labels, seed=0, clusters=["a", "b"] * 12)
    assert clustered.low is None and "too few rows" in clustered.told


def test_importance_finds_the_columns_that_matter_and_a_shuffled_twin_finds_none() -> None:
    train, test = halves(mixed_rows(600))
    predictor, _ = fitted(train, preset({"type": "forest", "trees": 60, "min_leaf": 3}))
    found = {item.feature: item for item in permutation_importance(predictor, test.features, test.target, seed=0, budget=20_000)}
    assert found["x"].low > found["kind"].value > 0 and found["x"].value == max(item.value for item in found.values())
    assert found["y"].low < 0.02 and found["x"].rows == 300
    twins = shuffled_twins(predictor, train, seed=0)
    assert len(twins) == 5 and twins[0].pipeline is not predictor.pipeline
    blind = [permutation_importance(twin, test.features, test.target, seed=0, budget=20_000)[0] for twin in twins]
    assert blind[0].feature == "x" and abs(np.mean([item.value for item in blind])) < found["x"].value / 4
    few = permutation_importance(predictor, test.features, test.target, seed=0, budget=600)
    assert few[0].rows == 30
    grouped = permutation_importance(predictor, test.features, test.target, seed=0, budget=20_000, clusters=["one"] * 300)
    assert grouped[0].low is None


def test_twins_of_boosting_take_as_many_rounds() -> None:
    train, test = halves(sklearn_table("diabetes"))
    predictor, _ = fitted(train, preset("boosting", kind="regressor"), test)
    twins = shuffled_twins(predictor, train, seed=0)
    assert {twin.pipeline[-1].n_iter_ for twin in twins} == {predictor.pipeline[-1].n_iter_}


def test_importance_is_scikit_learns(tumours: Any) -> None:
    from sklearn.inspection import permutation_importance as theirs

    predictor, _, test = tumours
    plain = plain_features(test.features, predictor.info.columns)
    reference = theirs(predictor.pipeline, plain, test.target, scoring="neg_log_loss", n_repeats=5, random_state=0)
    ours = permutation_importance(predictor, test.features, test.target, seed=0, budget=10**9)
    spread = reference.importances_std + 0.01
    assert (np.abs(np.array([item.value for item in ours]) - reference.importances_mean) < 3 * spread).all()


def test_dependence_is_scikit_learns(tumours: Any) -> None:
    from sklearn.inspection import partial_dependence as theirs

    predictor, train, _ = tumours
    values = Values(predictor, additive=False, unit="probability")
    name = "mean radius"
    column = next(item for item in predictor.info.columns if item.name == name)
    found = partial_dependence(values, train.features, column, "malignant")
    plain = plain_features(train.features, predictor.info.columns)
    reference = theirs(predictor.pipeline, plain, [name], custom_values={name: np.array(found.numbers)}, method="brute")
    side = 1 if predictor.pipeline.classes_[1] == "malignant" else -1
    averages = reference["average"][0] if side == 1 else 1 - reference["average"][0]
    assert found.means == pytest.approx(averages, abs=1e-9)
    assert all(low <= mean <= high for low, mean, high in zip(found.lows, found.means, found.highs, strict=True))


def test_dependence_of_categories_and_of_what_has_none(mixed: Any) -> None:
    predictor, train, _ = mixed
    values = Values.of(predictor)
    by_name = {column.name: column for column in predictor.info.columns}
    found = partial_dependence(values, train.features, by_name["kind"], "yes")
    assert found.numbers is None and set(found.kinds) == {"a", "b", "c"}
    means = dict(zip(found.kinds, found.means, strict=True))
    assert means["a"] > means["b"] + 0.1
    same = train.features.assign(kind="a")
    assert partial_dependence(values, same, by_name["kind"], "yes") is None
    assert partial_dependence(values, train.features, Column(name="kind", type="text"), "yes") is None


def test_nothing_to_hold_a_row_against_is_one_sentence(mixed: Any) -> None:
    predictor, train, test = mixed
    with pytest.raises(UserError, match="no rows to hold a row against"):
        explain_row(predictor, test.features.iloc[[0]], train.features.iloc[:0])
