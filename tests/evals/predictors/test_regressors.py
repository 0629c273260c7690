"""Suites on regressors: values as scikit-learn's, the mean beside, intervals and their coverage, residuals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.workspace import Workspace
from studio.data.examples import Wanted, read_examples
from studio.evals.metrics.median import MedianStatistic
from studio.evals.tasks.residuals import residual_panels
from studio.models.predictors.opening import open_predictor
from tests.evals.predictors.test_classifiers import measured, scores


@pytest.fixture(scope="module")
def diabetes(predictors_made: Path) -> tuple[Any, str, pd.DataFrame]:
    """The record, page and examples of one evaluation."""
    folder, record = measured(Workspace.open(predictors_made), "diabetes", "regression", "tasks.0.slices=[sex]")
    return record, (folder / "report.html").read_text(), pd.read_parquet(folder / "examples" / "regression.parquet")


def test_values_are_scikit_learns_on_the_same_predictions(diabetes: Any, predictors_made: Path) -> None:
    from scipy.stats import spearmanr
    from sklearn import metrics

    record, _, examples = diabetes
    workspace = Workspace.open(predictors_made)
    rows = read_examples(workspace.find_dataset("diabetes"), "test", Wanted("target", "number"))
    said = open_predictor(workspace.find_run("diabetes") / "model").predict(rows.features)
    theirs = {
        "mae": metrics.mean_absolute_error(rows.target, said.values),
        "median_ae": metrics.median_absolute_error(rows.target, said.values),
        "rmse": metrics.root_mean_squared_error(rows.target, said.values),
        "mse": metrics.mean_squared_error(rows.target, said.values),
        "r2": metrics.r2_score(rows.target, said.values),
        "spearman": spearmanr(rows.target, said.values).statistic,
        "interval_coverage": np.mean((said.low <= rows.target) & (rows.target <= said.high)),
        "interval_width": np.mean(said.high - said.low),
    }
    found = scores(record)
    for name, value in theirs.items():
        assert found[name].value == pytest.approx(value, abs=1e-9), name
    assert found["interval_coverage"].ideal == 0.9 and found["interval_coverage"].low < 0.9
    assert examples["tuned_number"].to_numpy() == pytest.approx(said.values) and examples[
        "tuned_low"
    ].to_numpy() == pytest.approx(said.low)


def test_the_mean_stands_beside_and_the_gate_wants_more_than_that(diabetes: Any, predictors_made: Path) -> None:
    record, page, examples = diabetes
    workspace = Workspace.open(predictors_made)
    train = read_examples(workspace.find_dataset("diabetes"), "train", Wanted("target", "number")).target
    assert examples["base_number"].to_numpy() == pytest.approx(train.mean())
    assert scores(record, "base")["mae"].value == pytest.approx(np.abs(examples["truth"] - train.mean()).mean())
    assert record.gate["met"] == 2 and not record.gate["missed"]
    assert any("always saying the median" in note.lower() for note in record.tasks[0].notes)
    lead = record.tasks[0].lead
    assert lead[0].startswith("It predicts target from 10 columns. On 88 rows that it had not seen it is off by ")
    assert any("made to hold 90% of the true values" in sentence for sentence in lead)
    assert "Residuals (tuned)" in page and "Furthest off" in page and "bmi: " in page and "kg/m2" in page


def test_slices_have_their_own_errors(diabetes: Any) -> None:
    record, _, examples = diabetes
    group = next(group for group in record.groups if group.title == "Mean absolute error by sex")
    for score in group.scores["tuned"]:
        own = examples[examples["prompt"].str.contains(f"sex: {score.metric}")]
        assert score.value == pytest.approx((own["truth"] - own["tuned_number"]).abs().mean()) and score.n == len(own)


def test_numbers_are_not_measured_as_labels(predictors: Workspace) -> None:
    for suite in ("classification", "fairness"):
        _, record = measured(predictors, "diabetes", suite, *(["tasks.0.group=sex"] if suite == "fairness" else []))
        assert "gives numbers of target and no labels. Measure it with the suite regression" in record.tasks[0].reason


def test_the_median_of_errors_is_numpys_for_any_resample_and_its_interval_holds() -> None:
    generator = np.random.default_rng(0)
    errors = generator.exponential(size=41)
    scored = np.ones(41, dtype=bool)
    scored[3] = False
    statistic = MedianStatistic(errors, scored)
    weights = generator.multinomial(40, np.full(41, 1 / 41), size=6).astype(float)
    expected = [np.median(np.repeat(errors[scored], row[scored].astype(int))) for row in weights]
    assert statistic.at(weights) == pytest.approx(expected)
    assert MedianStatistic(errors[:5], scored[:5]).interval().bounds is None
    held = 0
    for _ in range(400):
        bounds = MedianStatistic(generator.exponential(size=25), np.ones(25, dtype=bool)).interval().bounds
        held += bounds[0] <= np.log(2) <= bounds[1]
    assert held / 400 > 0.93


def test_what_residuals_show_is_said() -> None:
    generator = np.random.default_rng(0)
    said = generator.uniform(1, 10, 300)
    (panel,) = residual_panels((said + said * generator.normal(size=300) + 2).tolist(), said.tolist())
    assert "Errors grow with the prediction" in panel.html and "too low on average" in panel.html
    (panel,) = residual_panels((said + generator.normal(size=300)).tolist(), said.tolist())
    assert "Errors grow" not in panel.html
    assert residual_panels([1.0] * 5, [1.0] * 5) == []
