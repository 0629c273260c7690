"""Classification, regression and fairness: figures against the libraries, bad input, small and empty groups."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from studio.core.errors import DataError, UserError
from studio.core.files import write_json
from studio.evals.labelled import ASKING, Asking, Labelled, read_label, read_number
from studio.evals.metrics.classification import _FIGURES, classification_statistic
from studio.evals.metrics.fairness import RateStatistic, by_chance, numbered
from studio.evals.metrics.regression import regression_statistic
from studio.evals.runner import evaluate_model, evaluate_run
from studio.evals.suites import load_suite
from studio.evals.targets import Target
from studio.evals.task import TaskContext
from tests.evals.conftest import ChatRow, write_dataset

if TYPE_CHECKING:
    from tests.evals.conftest import Tiny

# The example of fairlearn's MetricFrame documentation.
TRUE = [1, 1, 1, 1, 1, 0, 0, 1, 1, 0]
SAID = [0, 1, 1, 1, 1, 0, 0, 0, 1, 1]
SEX = ["Female"] * 5 + ["Male"] * 5


def table(path: Path, **columns: Any) -> Path:
    frame = pd.DataFrame(columns)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def measured(tiny: Tiny, kind: str, *overrides: str):
    suite = load_suite(kind, ("resamples=200", "thresholds=[]", *overrides))
    return evaluate_model(Target("predictions"), suite, workspace=tiny.workspace)


def scores(record: Any, label: str = "tuned") -> dict[str, Any]:
    return {score.metric.partition(".")[2]: score for score in record.scores[label]}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_fairness_gives_what_fairlearns_documentation_says(tiny: Tiny, tmp_path: Path, ending: str) -> None:
    path = table(tmp_path / f"p.{ending}", label=TRUE, prediction=SAID, sex=SEX)
    _, record = measured(tiny, "fairness", f"tasks.0.predictions={{file: {path}}}", "tasks.0.group=sex", "tasks.0.positive=1")
    found = scores(record)
    assert found["demographic_parity_difference"].value == pytest.approx(0.4)
    assert found["demographic_parity_ratio"].value == pytest.approx(0.5)
    assert found["quality_gap"].value == pytest.approx(0.2) and found["quality_worst_group"].value == pytest.approx(0.6)
    # fairlearn: TPR 0.8 and 0.5; Female has no negative example, for which fairlearn takes a false positive rate of 0.
    assert found["equal_opportunity_difference"].value == pytest.approx(0.3)
    assert found["equalized_odds_difference"].value == pytest.approx(0.3)
    assert any("No true negative example in Female" in note for note in record.tasks[0].notes)
    assert all(score.low is not None for score in found.values() if score.metric != "fairness.demographic_parity_ratio")
    rates = next(group for group in record.groups if group.title.startswith("Rate of the good"))
    by_group = {score.metric: score for score in rates.scores["tuned"]}
    assert by_group["Female"].value == 0.8 and by_group["Male"].value == 0.4 and "small group" in by_group["Male"].note
    assert any("2 of 2 groups have fewer than 30" in note for note in record.tasks[0].notes)
    assert "shuffled groups give" in found["demographic_parity_difference"].note


def test_our_counting_of_resamples_agrees_with_fairlearn() -> None:
    from fairlearn import metrics

    generator = np.random.default_rng(0)
    truth, said, groups = (generator.integers(0, high, 200) for high in (2, 2, 3))
    weights = generator.multinomial(200, np.full(200, 1 / 200), size=5).astype(float)
    for name in (
        "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference", "equal_opportunity_difference",
    ):  # fmt: skip
        statistic = RateStatistic(name, truth, said, groups, 3)
        expected = [getattr(metrics, name)(truth, said, sensitive_features=groups, sample_weight=row) for row in weights]
        assert statistic.at(weights) == pytest.approx(expected)
        assert statistic.at(np.ones((1, 200)))[0] == pytest.approx(statistic.at(np.ones((2, 200)))[0])


def test_a_gap_by_chance_is_not_zero_and_a_real_one_stands_out() -> None:
    groups, _ = numbered(["a"] * 60 + ["b"] * 60 + ["c"] * 10)
    truth = np.ones(130, dtype=np.int64)
    fair = RateStatistic("demographic_parity_difference", truth, np.tile([0, 1], 65), groups, 3)
    unfair = RateStatistic("demographic_parity_difference", truth, (groups == 0).astype(np.int64), groups, 3)
    mean, reached = by_chance(fair, rounds=100, seed=0)
    assert mean > 0.05 and reached > 0.2
    assert by_chance(unfair, rounds=100, seed=0)[1] < 0.02


def test_classification_agrees_with_scikit_learn_for_any_resample() -> None:
    generator = np.random.default_rng(1)
    labels = ["a", "b", "c"]
    truth = [labels[value] for value in generator.integers(0, 3, 90)]
    said = [None if value == 3 else labels[value] for value in generator.integers(0, 4, 90)]
    weights = generator.multinomial(90, np.full(90, 1 / 90), size=4).astype(float)
    for name in _FIGURES:
        statistic = classification_statistic(name, truth, said, labels)
        theirs = [statistic.at(row[None, :])[0] for row in weights]
        assert statistic.at(weights) == pytest.approx(theirs, abs=1e-12), name


def test_regression_agrees_with_scikit_learn_for_any_resample() -> None:
    generator = np.random.default_rng(2)
    truth = generator.normal(size=60)
    said = [
        None if place % 7 == 0 else value + noise
        for place, (value, noise) in enumerate(zip(truth, generator.normal(size=60), strict=True))
    ]
    weights = generator.multinomial(60, np.full(60, 1 / 60), size=4).astype(float)
    for name in ("mae", "mse", "rmse", "r2"):
        statistic = regression_statistic(name, truth, said)
        theirs = [statistic.at(row[None, :])[0] for row in weights]
        assert statistic.at(weights) == pytest.approx(theirs), name


def test_labels_and_numbers_are_read_off_answers() -> None:
    labels = ["guilty", "not guilty", "unknown"]
    read = {
        "guilty": "guilty", " Guilty. ": "guilty", "I say: not guilty!": "not guilty", "**unknown**": "unknown",
        "guilty or unknown": None, "": None, "guiltyish": None,
    }  # fmt: skip
    assert {text: read_label(text, labels) for text in read} == read
    assert read_label(None, labels) is None
    numbers = {
        "12": 12.0,
        "about -3.5 m": -3.5,
        "1,200 kr": 1200.0,
        "2 or 3": None,
        "none": None,
        "1e3": 1000.0,
        "m2": None,
        "4. 4": 4.0,
    }
    assert {text: read_number(text) for text in numbers} == numbers


def test_classification_of_a_file_with_a_baseline_and_unparsed_answers(tiny: Tiny, tmp_path: Path) -> None:
    path = table(
        tmp_path / "p.csv", id=[f"r{i}" for i in range(60)], label=["yes", "no"] * 30, prediction=["yes", "no"] * 29 + ["hm", ""],
        old=["yes"] * 60,
    )  # fmt: skip
    folder, record = measured(tiny, "classification", f"tasks.0.predictions={{file: {path}, base_prediction: old, id: id}}")
    tuned, base = scores(record), scores(record, "base")
    assert tuned["accuracy"].value == pytest.approx(58 / 60) and base["accuracy"].value == 0.5
    assert tuned["unparsed"].value == pytest.approx(2 / 60) and tuned["accuracy"].coverage == pytest.approx(58 / 60)
    assert any("in 2 of 60 answers not exactly one label" in note for note in record.tasks[0].notes)
    verdicts = {item.metric: item.verdict for item in record.differences}
    assert verdicts["classification.accuracy"] == "better"
    examples = pd.read_parquet(folder / "examples" / "classification.parquet")
    assert list(examples["id"])[:2] == ["r0", "r1"] and examples["tuned_right"].sum() == 58
    assert folder.is_relative_to(tiny.workspace.root / "reports")
    page = (folder / "report.html").read_text()
    assert "Recall by class" in page and "Confusions of the tuned model" in page


def test_the_model_labels_rows_of_a_dataset(tiny: Tiny) -> None:
    rows = [
        ChatRow(
            f"r{place}",
            [{"role": "user", "content": f"Door {place}?"}],
            "x",
            None,
            {"kind": ["door", "wall"][place % 2], "size": place},
        )
        for place in range(8)
    ]
    data = write_dataset(tiny.workspace, "kinds", {"test": rows})
    options = ("tasks.0.label_column=kind", "tasks.0.prompt='{question} One of {labels}'", "resamples=100", "thresholds=[]")
    suite = load_suite("classification", (*options, "tasks.0.by=likelihood"))
    folder, record = evaluate_run(tiny.run, suite, data=data)
    assert scores(record)["unparsed"].value == 0 and scores(record)["accuracy"].n == 8
    assert set(pd.read_parquet(folder / "examples" / "classification.parquet")["tuned_label"]) <= {"door", "wall"}
    _, record = evaluate_run(tiny.run, load_suite("classification", options), data=data)
    assert scores(record)["unparsed"].value > 0.5
    _, record = evaluate_run(
        tiny.run, load_suite("regression", ("tasks.0.label_column=size", "resamples=100", "thresholds=[]")), data=data
    )
    assert scores(record)["mae"].reason or scores(record)["mae"].n <= 8
    _, record = evaluate_run(tiny.run, load_suite("regression", ("tasks.0.label_column=kind", "thresholds=[]")), data=data)
    assert "is not a number" in record.tasks[0].reason
    _, record = evaluate_run(
        tiny.run, load_suite("fairness", ("tasks.0.group=kind", "tasks.0.label_column=size", "thresholds=[]")), data=data
    )
    assert record.tasks[0].reason is None and scores(record)["quality_gap"].n == 8


def of_kind(folder: Path, kind: str) -> Path:
    record = json.loads((folder / "dataset.json").read_text())
    write_json(folder / "dataset.json", record | {"kind": kind})
    return folder


def test_rows_of_a_kind_that_nothing_is_asked_about_are_one_sentence(tiny: Tiny) -> None:
    data = of_kind(write_dataset(tiny.workspace, "pictures", {"test": []}), "image")
    for kind, override in (("classification", "limit=3"), ("regression", "limit=3"), ("fairness", "tasks.0.group=sex")):
        _, record = evaluate_run(tiny.run, load_suite(kind, ("thresholds=[]", override)), data=data)
        assert record.tasks[0].reason == (
            "the dataset pictures holds image rows, and models are asked about chat rows only. Give another with --data DATASET, "
            "or give predictions.file."
        ), kind
    _, record = evaluate_run(tiny.run, load_suite("fairness", ("thresholds=[]",)), data=data)
    assert record.tasks[0].reason.startswith("no group column is named. Set group")


def shapes(context: TaskContext[Any], group: str | None) -> Labelled:
    return Labelled([str(place) for place in range(8)], ["round", "flat"] * 4, {}, rows=list(range(8)))


def look(context: TaskContext[Any], found: Labelled, labels: Sequence[str]) -> None:
    found.said = {label: ["flat" if row % 2 else "round" for row in found.rows] for label in context.labels}


SHAPES = Asking(shapes, look, look, lambda *_: {}, lambda _: [])


def test_another_kind_of_rows_brings_its_own_way_of_asking(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ASKING._targets, "image", f"{__name__}:SHAPES")
    data = of_kind(write_dataset(tiny.workspace, "pictures", {"test": []}), "image")
    for by in ("answer", "likelihood"):
        suite = load_suite("classification", ("thresholds=[]", "resamples=100", f"tasks.0.by={by}"))
        _, record = evaluate_run(tiny.run, suite, data=data)
        assert scores(record)["accuracy"].value == 1 and scores(record, "base")["accuracy"].n == 8
        assert record.models["tuned"]["kind"] == "not asked"


def test_quality_of_free_answers_between_groups(tiny: Tiny) -> None:
    rows = [
        ChatRow(f"r{place}",
                [{"role": "user", "content": f"How wide is {place}?"}, {"role": "assistant", "content": "It is wide."}],
                "x", None, {"dialect": "north" if place % 3 else "south"})
        for place in range(9)
    ]  # fmt: skip
    data = write_dataset(tiny.workspace, "dialects", {"test": rows})
    suite = load_suite("fairness", ("tasks.0.group=dialect", "tasks.0.quality=rougeL", "resamples=100", "thresholds=[]"))
    _, record = evaluate_run(tiny.run, suite, data=data)
    assert {score.metric for score in record.scores["tuned"]} == {"fairness.quality_gap", "fairness.quality_worst_group"}
    assert [score.metric for score in record.groups[0].scores["base"]] == ["north", "south"]


@pytest.mark.parametrize(
    ("kind", "overrides", "words"),
    [
        ("fairness", ("tasks.0.group=sx",), "has no column 'sx'. Did you mean 'sex'? Columns: label, prediction, sex, void."),
        ("fairness", ("tasks.0.group=sex", "tasks.0.positive=yes"), "the label 'yes' of 'positive' does not occur"),
        ("fairness", ("tasks.0.group=void",), "no example has a value in the group column 'void'"),
        ("fairness", ("tasks.0.group=sex", "tasks.0.quality=rougel"), "Did you mean 'rougeL'?"),
        ("fairness", ("tasks.0.group=sex", "tasks.0.quality=rougeL"), "the predictions come from a file"),
        ("classification", ("tasks.0.labels=[0]",), "the true label '1' is not in 'labels'"),
        ("classification", ("tasks.0.predictions.prediction=predicton",), "Did you mean 'prediction'?"),
    ],
)
def test_bad_input_is_one_sentence(tiny: Tiny, tmp_path: Path, kind: str, overrides: tuple[str, ...], words: str) -> None:
    path = table(tmp_path / "p.csv", label=TRUE, prediction=SAID, sex=SEX, void=[None] * 10)
    with pytest.raises(UserError) as caught:
        measured(tiny, kind, f"tasks.0.predictions={{file: {path}}}", *overrides)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_cannot_be_used(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("x")
    (tmp_path / "empty.csv").write_text("label,prediction\n")
    (tmp_path / "broken.parquet").write_text("no parquet")
    for name, words in (
        ("none.csv", "there is no file"),
        ("p.txt", "Allowed: .csv, .parquet"),
        ("empty.csv", "no row"),
        ("broken.parquet", "cannot be read"),
    ):
        with pytest.raises(DataError, match=words):
            measured(tiny, "classification", f"tasks.0.predictions={{file: {tmp_path / name}}}")


def test_one_example_has_no_interval_and_one_group_says_so(tiny: Tiny, tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", label=["1"], prediction=["1"], sex=["x"])
    _, record = measured(tiny, "fairness", f"tasks.0.predictions={{file: {path}}}", "tasks.0.group=sex", "tasks.0.positive=1")
    assert all(score.low is None and score.high is None for score in record.scores["tuned"])
    assert any("one group only" in note for note in record.tasks[0].notes)
    _, record = measured(tiny, "regression", f"tasks.0.predictions={{file: {path}}}")
    found = scores(record)
    assert found["mae"].value == 0 and found["r2"].value is None and found["r2"].reason


def test_without_a_group_column_it_says_what_there_is(tiny: Tiny) -> None:
    suite = load_suite("fairness", ("thresholds=[]",))
    _, record = evaluate_run(tiny.run, suite)
    assert "no group column is named" in record.tasks[0].reason
    suite = load_suite("classification", ("thresholds=[]", "limit=3"))
    rows = [
        ChatRow(f"r{i}", [{"role": "user", "content": "?"}, {"role": "assistant", "content": f"free text {i}"}], "x")
        for i in range(20)
    ]
    data = write_dataset(tiny.workspace, "free", {"test": rows})
    _, record = evaluate_run(tiny.run, load_suite("classification", ("thresholds=[]",)), data=data)
    assert "they are free text and no labels" in record.tasks[0].reason
    assert all(score.value is None and score.reason for score in record.scores["tuned"])
