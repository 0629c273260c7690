"""What is chosen on validation rows: the probability from which on a label is given, and the interval around a number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from studio.train.predictors.conformal import half_width
from studio.train.predictors.thresholds import best_threshold
from tests.train.predictors.made import examples, fitted, preset, sklearn_table


def test_the_best_threshold_is_the_one_that_trying_all_finds() -> None:
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(0)
    for _ in range(20):
        truth = generator.random(60) < 0.3
        scores = np.round(np.clip(0.3 * truth + generator.normal(0.35, 0.2, 60), 0, 1), 2)
        threshold, value = best_threshold(scores, truth)
        tried = [f1_score(truth, scores >= one) for one in np.unique(scores)]
        assert value == pytest.approx(max(tried)) == pytest.approx(f1_score(truth, scores >= threshold))


def test_of_equal_thresholds_the_one_nearest_to_a_half_is_taken() -> None:
    assert best_threshold(np.array([0.1, 0.2, 0.3, 0.45, 0.9]), np.array([True, False, False, False, True])) == (0.9, 2 / 3)
    assert best_threshold(np.array([0.1, 0.2, 0.6, 0.9]), np.array([False, False, True, True])) == (0.6, 1.0)


def seldom(count: int) -> tuple[pd.DataFrame, np.ndarray]:
    """One in eight is ``bad``."""
    generator = np.random.default_rng(count)
    frame = pd.DataFrame({"x": generator.normal(size=count)})
    return frame, np.where(frame["x"] + generator.normal(0, 1, count) > 1.6, "bad", "good")


def test_a_tuned_threshold_finds_more_of_the_rare_label_and_leaves_probabilities_alone() -> None:
    from sklearn.metrics import f1_score

    train, validation, test = (examples(*seldom(count)) for count in (1000, 600, 2000))
    plain, _ = fitted(train, preset("logistic"), validation)
    tuned, _ = fitted(train, preset("logistic", threshold="tuned"), validation)
    assert plain.info.positive == tuned.info.positive == "bad" and plain.info.threshold is None
    said = [one.predict(test.features) for one in (plain, tuned)]
    assert np.array_equal(said[0].probabilities, said[1].probabilities)
    assert ((said[1].probabilities[:, 0] >= tuned.info.threshold) == (said[1].values == "bad")).all()
    scores = [f1_score(test.target, one.values, pos_label="bad") for one in said]
    assert scores[1] > scores[0] + 0.05


def test_the_half_width_is_the_corrected_quantile() -> None:
    errors = np.arange(1.0, 20.0)
    assert half_width(errors, 0.9) == 18.0 and half_width(errors, 0.95) == 19.0
    assert half_width(errors, 0.96) is None, "20 x 0.96 is more than 19 rows"
    assert half_width(errors[::-1], 0.5) == 10.0


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_intervals_cover_as_much_as_they_say(level: float) -> None:
    """Mean over trainings: split conformal promises at least the level, and at most 1 / (validation rows + 1) more."""
    covered = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        x = generator.uniform(-2, 2, 700)
        rows = examples(pd.DataFrame({"x": x}), x**2 + generator.standard_t(4, 700))
        train, validation, test = rows.part(range(60)), rows.part(range(60, 159)), rows.part(range(159, 700))
        said = fitted(train, preset("ridge", kind="regressor", interval=level), validation)[0].predict(test.features)
        covered.append(np.mean((said.low <= test.target) & (test.target <= said.high)))
    assert np.mean(covered) == pytest.approx(level + 0.005, abs=0.02)


def test_intervals_hold_where_the_same_rows_choose_when_training_ends() -> None:
    """Diabetes, boosting that stops early on 44 rows: over 12 draws the 90% intervals hold within the noise of the draws."""
    rows, settings, covered = sklearn_table("diabetes"), preset("boosting", kind="regressor", interval=0.9), []
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(len(rows))
        train, validation, test = (rows.part(order[start:end]) for start, end in ((0, 300), (300, 344), (344, None)))
        said = fitted(train, settings, validation)[0].predict(test.features)
        covered.append(np.mean((said.low <= test.target) & (test.target <= said.high)))
    assert np.mean(covered) == pytest.approx(0.9, abs=3 * np.std(covered, ddof=1) / np.sqrt(len(covered)))


def test_too_few_validation_rows_give_no_interval_and_that_is_said() -> None:
    from studio.train.predictors.conformal import set_interval

    generator = np.random.default_rng(0)
    rows = examples(pd.DataFrame({"x": generator.normal(size=30)}), generator.normal(size=30))
    predictor, _ = fitted(rows, preset("ridge", kind="regressor"))
    told = set_interval(predictor, rows.part(range(8)), preset("ridge", kind="regressor", interval=0.9))
    assert told["interval"] == "none: 8 validation rows are too few for one at 90%" and predictor.info.interval == {}
    said = predictor.predict(rows.features)
    assert said.low is None and said.high is None
