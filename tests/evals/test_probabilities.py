"""Probabilities of a label: figures against scikit-learn, and the whole road from a file to the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import ConfigError, DataError, UserError
from studio.data.chat.rows import ChatRow
from studio.evals.intervals import estimate
from studio.evals.metrics.label_probabilities import of_all_labels, of_all_labels_statistic
from studio.evals.metrics.probabilities import PROBABILITY_METRICS, probability_metric, probability_statistic
from studio.evals.runner import evaluate_model, evaluate_run
from studio.evals.scoring import difference, score
from studio.evals.statistics import Statistic
from studio.evals.suites import load_suite
from studio.evals.targets import Target
from tests.evals.conftest import write_dataset

if TYPE_CHECKING:
    from tests.evals.conftest import Tiny


def drawn(count: int, seed: int = 0) -> tuple[list[bool], list[float]]:
    generator = np.random.default_rng(seed)
    truth = generator.random(count) < 0.4
    scores = np.clip(0.4 + 0.2 * truth + generator.normal(0, 0.2, count), 0, 1).round(2)
    return truth.tolist(), scores.tolist()


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "brier", "log_loss"])
def test_figures_are_scikit_learns_for_any_draw(name: str) -> None:
    from sklearn import metrics

    theirs = {"roc_auc": metrics.roc_auc_score, "average_precision": metrics.average_precision_score,
              "brier": metrics.brier_score_loss, "log_loss": metrics.log_loss}[name]  # fmt: skip
    truth, scores = drawn(80)
    statistic = probability_statistic(name, truth, scores)
    weights = np.random.default_rng(1).multinomial(80, np.full(80, 1 / 80), size=4).astype(float)
    halves = np.zeros((3, 80))
    for row, half in enumerate(halves):
        half[np.random.default_rng(row).choice(80, 40, replace=False)] = 1
    for rows in (weights, halves, np.ones((1, 80))):
        expected = [theirs(truth, scores, sample_weight=row) for row in rows]
        assert statistic.at(rows) == pytest.approx(expected, abs=1e-9)


def test_the_calibration_error_by_hand() -> None:
    # Bin 0.2 to 0.3: said 0.25 of two, one came; bin 0.9 to 1: said 1.0 of two, one came.
    statistic = probability_statistic("ece", [True, False, True, False], [0.25, 0.25, 1.0, 1.0])
    assert statistic.at(np.ones((1, 4)))[0] == pytest.approx(0.5 * 0.25 + 0.5 * 0.5)


def test_too_few_of_one_label_have_no_interval() -> None:
    truth, scores = [True] * 3 + [False] * 40, drawn(43)[1]
    value, found = estimate(probability_statistic("roc_auc", truth, scores), resamples=100, seed=0)
    assert value is not None and found.how == "no interval: there are 3 examples of one of the two labels, 5 are needed"


@pytest.mark.parametrize("name", PROBABILITY_METRICS)
def test_intervals_hold_the_value_and_beyond_some_thousands_come_from_resamples(name: str) -> None:
    for count in (60, 1600):
        statistic, metric = probability_statistic(name, *drawn(count)), probability_metric(name)
        value, found = estimate(statistic, resamples=100, seed=0, scale=metric.scale)
        assert found.bounds[0] < value < found.bounds[1], found


def test_ten_clusters_are_needed_for_an_interval() -> None:
    truth, scores = drawn(60)
    for name in ("ece", "roc_auc"):
        alike = probability_statistic(name, truth, scores, ["one"] * 60)
        value, found = estimate(alike, resamples=100, seed=0, clusters=["one"] * 60)
        assert value is not None and found.how == "no interval from 1 independent example; 10 are needed"


def table(path: Path, count: int = 60, **columns: list[str]) -> Path:
    truth, scores = drawn(count)
    old = drawn(count, seed=3)[1]
    lines = {
        "label": ["spam" if true else "ham" for true in truth],
        "prediction": ["spam" if score > 0.5 else "ham" for score in scores],
        "old": ["ham"] * count,
        "p": [f"{score}" for score in scores],
        "p_old": [f"{score}" for score in old],
    } | columns
    rows = zip(*lines.values(), strict=True)
    path.write_text("\n".join([",".join(lines), *(",".join(row) for row in rows)]) + "\n")
    return path


def suite(path: Path, *more: str):
    file = f"predictions={{file: {path}, base_prediction: old, score: p, base_score: p_old}}"
    return load_suite("classification", (f"tasks.0.{file}", "resamples=100", "thresholds=[]", *more))


def test_from_a_file_to_the_page(tiny: Tiny, tmp_path: Path) -> None:
    from sklearn.metrics import roc_auc_score

    plan = suite(table(tmp_path / "p.csv", 200), "tasks.0.positive=spam")
    folder, record = evaluate_model(Target("predictions"), plan, workspace=tiny.workspace)
    found = {score.metric.partition(".")[2]: score for score in record.scores["tuned"]}
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(*drawn(200))) and found["roc_auc"].low > 0.5
    assert set(PROBABILITY_METRICS) <= set(found) and record.scores["base"][-1].value is not None
    change = {item.metric.partition(".")[2]: item for item in record.differences}
    assert change["roc_auc"].verdict == "better" and "permutation" in change["roc_auc"].method
    page = (folder / "report.html").read_text()
    assert all(words in page for words in ("ROC curve", "Reliability", "Confusion matrix", "Scores of &#39;spam&#39;"))
    bare = load_suite("classification", (f"tasks.0.predictions={{file: {tmp_path / 'p.csv'}}}", "thresholds=[]"))
    _, plain = evaluate_model(Target("predictions"), bare, workspace=tiny.workspace)
    assert not any("roc_auc" in score.metric for score in plain.scores["tuned"])


def test_mistakes_are_one_sentence(tiny: Tiny, tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", p=["1.7"] * 60)
    with pytest.raises(ConfigError, match=r"probabilities of a label that is not named\. Name it with 'positive'"):
        suite(path)
    with pytest.raises(ConfigError, match=r"belongs to the labels of the baseline, which are not named"):
        suite(path, "tasks.0.predictions.base_prediction=null", "tasks.0.positive=spam")
    with pytest.raises(ConfigError, match=r"predictions\.score is measured by tasks of type classification only"):
        load_suite("regression", (f"tasks.0.predictions={{file: {path}, score: p}}",))
    with pytest.raises(DataError, match=r"row 1: 'p' is '1\.7', expected a probability from 0 to 1"):
        evaluate_model(Target("predictions"), suite(path, "tasks.0.positive=spam"), workspace=tiny.workspace)
    with pytest.raises(DataError, match="the label 'spma' of 'positive' does not occur as truth. Did you mean 'spam'"):
        evaluate_model(Target("predictions"), suite(table(path), "tasks.0.positive=spma"), workspace=tiny.workspace)


@pytest.mark.parametrize("count", [200, 2000])
def test_rows_of_one_cluster_count_once(count: int) -> None:
    truth, scores = drawn(count // 4)
    old = drawn(count // 4, seed=3)[1]
    four = [number for number in range(count // 4) for _ in range(4)]
    metric = probability_metric("roc_auc")
    settings: dict[str, Any] = {"resamples": 200, "seed": 0}

    def made(values: list[float]) -> Statistic:
        return probability_statistic("roc_auc", [truth[place] for place in four], [values[place] for place in four])

    plain = score(metric, probability_statistic("roc_auc", truth, scores), **settings)
    repeated = score(metric, made(scores), clusters=four, **settings)
    assert repeated.clusters == count // 4 and repeated.low == pytest.approx(plain.low, abs=0.01)
    naive = score(metric, made(scores), **settings)
    assert naive.high - naive.low < 0.6 * (repeated.high - repeated.low)
    first = difference(
        metric, probability_statistic("roc_auc", truth, scores), probability_statistic("roc_auc", truth, old), **settings
    )
    again = difference(metric, made(scores), made(old), clusters=four, **settings)
    assert again.low == pytest.approx(first.low, abs=0.02) and again.p == pytest.approx(first.p, abs=0.02)


def test_likelihoods_of_the_labels_are_probabilities_too(tiny: Tiny) -> None:
    from sklearn.metrics import roc_auc_score

    rows = [
        ChatRow(f"r{place}", [{"role": "user", "content": f"Door {place}?"}], "x", None, {"kind": ["door", "wall"][place % 2]})
        for place in range(12)
    ]
    data = write_dataset(tiny.workspace, "doors", {"test": rows})
    options = ("tasks.0.label_column=kind", "tasks.0.by=likelihood", "tasks.0.positive=door", "resamples=100", "thresholds=[]")
    folder, record = evaluate_run(tiny.run, load_suite("classification", options), data=data)
    table = pd.read_parquet(folder / "examples" / "classification.parquet")
    assert table["tuned_score"].between(0, 1).all() and table["tuned_score"].nunique() > 1
    assert ((table["tuned_score"] > 0.5) == (table["tuned_label"] == "door")).all()
    found = {item.metric.partition(".")[2]: item for item in record.scores["tuned"]}
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(table["truth"] == "door", table["tuned_score"]))
    plan = load_suite("classification", (*options[:2], *options[3:4], "thresholds=[{metric: log_loss, at_most: 9}]"))
    folder, record = evaluate_run(tiny.run, plan, data=data)
    of_all = {item.metric.partition(".")[2]: item for item in record.scores["tuned"]}
    assert [of_all[key].value == pytest.approx(found[key].value) for key in ("roc_auc", "brier", "log_loss")] == [True] * 3
    assert of_all["roc_auc"].title == "ROC AUC, macro" and "Probabilities of all labels" in (folder / "report.html").read_text()
    assert (pd.read_parquet(folder / "examples" / "classification.parquet")["tuned_probability"] >= 0.5).all()
    with pytest.raises(UserError, match=r"probabilities are of, and there are none\. Set by to likelihood"):
        evaluate_run(tiny.run, load_suite("classification", (options[0], "tasks.0.positive=door", "thresholds=[]")), data=data)


def of_three(count: int, seed: int = 0) -> tuple[list[str], list[dict[str, float] | None], Any]:
    """Truth, probabilities of three labels by name, and as a table of the first ``count`` examples; one more has none."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, count)
    shares = generator.dirichlet(np.ones(3), count) + 0.4 * np.eye(3)[truth]
    shares /= shares.sum(axis=1, keepdims=True)
    rows: list[dict[str, float] | None] = [dict(zip("abc", row.tolist(), strict=True)) for row in shares]
    return ["abc"[place] for place in truth] + ["a"], [*rows, None], shares


def test_probabilities_of_all_labels_are_scikit_learns() -> None:
    from sklearn import metrics

    truth, rows, shares = of_three(90)
    known, ones = truth[:-1], np.ones((1, 91))
    theirs = {
        "roc_auc": metrics.roc_auc_score(known, shares, multi_class="ovr"),
        "average_precision": metrics.average_precision_score(np.array(known)[:, None] == np.array(list("abc")), shares),
        "brier": metrics.brier_score_loss(known, shares),
        "log_loss": metrics.log_loss(known, shares),
    }
    found = {name: of_all_labels_statistic(name, truth, rows, "abc") for name in PROBABILITY_METRICS}
    assert {name: found[name].at(ones)[0] for name in theirs} == pytest.approx(theirs, abs=1e-9)
    assert all(int(statistic.scored.sum()) == 90 for statistic in found.values())
    right = [name == "abc"[place] for name, place in zip(known, shares.argmax(axis=1), strict=True)]
    top = probability_statistic("ece", right, shares.max(axis=1).tolist())
    assert found["ece"].at(ones)[0] == pytest.approx(top.at(ones[:, :90])[0])
    two = of_all_labels_statistic("brier", ["a", "b"], [{"a": 0.8, "b": 0.2}, {"a": 0.6, "b": 0.4}], "ab")
    assert two.at(np.ones((1, 2)))[0] == pytest.approx(metrics.brier_score_loss([1, 0], [0.8, 0.6]))


def test_a_mean_over_labels_has_the_interval_that_its_rarest_label_allows() -> None:
    truth, rows, _ = of_three(200)
    better, metric = [row and {name: share**2 for name, share in row.items()} for row in rows], of_all_labels("roc_auc", 3)
    statistic = of_all_labels_statistic("roc_auc", truth, rows, "abc")
    found = score(metric, statistic, resamples=100, seed=0)
    assert found.low < found.value < found.high and found.coverage == pytest.approx(200 / 201)
    alike = difference(metric, of_all_labels_statistic("roc_auc", truth, better, "abc"), statistic, resamples=100, seed=0)
    assert alike.verdict == "no difference shown" and alike.value == pytest.approx(0)
    rare = [name if place < 4 or name != "c" else "a" for place, name in enumerate(truth)]
    few = score(metric, of_all_labels_statistic("roc_auc", rare, rows, "abc"), resamples=100, seed=0)
    assert few.low is None and re.fullmatch(r"no interval: a label has \d examples for or against it, 5 are needed", few.interval)


@pytest.mark.parametrize("name", ["roc_auc", "ece"])
def test_intervals_hold_the_truth(name: str) -> None:
    # A perfect order but for one pair, and a calibrated model: both lie at the end of their scale.
    generator, held, repeats = np.random.default_rng(5), 0, 120
    for _ in range(repeats):
        if name == "roc_auc":
            truth = generator.random(50) < 0.4
            scores = 1 / (1 + np.exp(-2.5 * (generator.normal(0, 1, 50) + 3 * truth - 1.5)))
        else:
            scores = generator.random(60)
            truth = generator.random(60) < scores
        _, found = estimate(
            probability_statistic(name, truth.tolist(), scores.tolist()),
            resamples=100,
            seed=0,
            scale=probability_metric(name).scale,
        )
        # Two normal distributions whose means lie 3 apart: 0.98305.
        held += found.bounds[0] <= (0.98305 if name == "roc_auc" else 0.0) <= found.bounds[1]
    assert held / repeats > 0.91
