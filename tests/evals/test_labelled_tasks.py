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
from studio.evals.labelled import ASKING, Asking, Labelled
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
    # fairlearn: TPR 0.8 and 0.5; Female has no negative example, for which fairlearn takes a false positive rate of 0. A gap of
    # one group is none: undefined is not equal.
    assert found["equal_opportunity_difference"].value == pytest.approx(0.3)
    odds = found["equalized_odds_difference"]
    assert odds.value is None and odds.reason == "fewer than two groups have such examples"
    assert any("No true negative example in Female" in note for note in record.tasks[0].notes)
    assert found["demographic_parity_difference"].low == 0 and found["demographic_parity_difference"].high > 0.6
    few = found["equal_opportunity_difference"]
    assert few.low is None and few.interval == "no interval: a group's value rests on 2 examples, 5 are needed"
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
    found = by_chance(fair, rounds=100, seed=0)
    assert found.mean > 0.05 and found.p > 0.2 and found.without < 0.1
    found = by_chance(unfair, rounds=100, seed=0)
    assert found.p < 0.02 and found.without == pytest.approx(1.0, abs=0.05)


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


def test_classification_of_a_file_with_a_baseline_and_unparsed_answers(tiny: Tiny, tmp_path: Path) -> None:
    path = table(
        tmp_path / "p.csv", id=[f"r{i}" for i in range(60)], label=["yes", "no"] * 30, prediction=["yes", "no"] * 29 + ["hm", ""],
        old=["yes"] * 60,
    )  # fmt: skip
    folder, record = measured(
        tiny, "classification", f"tasks.0.predictions={{file: {path}, base_prediction: old, id: id}}", "tasks.0.labels=[yes,no]"
    )
    tuned, base = scores(record), scores(record, "base")
    assert tuned["accuracy"].value == pytest.approx(58 / 60) and base["accuracy"].value == 0.5
    assert tuned["unparsed"].value == pytest.approx(2 / 60) and tuned["accuracy"].coverage == pytest.approx(58 / 60)
    assert any("in 2 of 60 answers not exactly one label was found ('hm')" in note for note in record.tasks[0].notes)
    verdicts = {item.metric: item.verdict for item in record.differences}
    assert verdicts["classification.accuracy"] == "better"
    examples = pd.read_parquet(folder / "examples" / "classification.parquet")
    assert list(examples["id"])[:2] == ["r0", "r1"] and examples["tuned_right"].sum() == 58
    assert folder.is_relative_to(tiny.workspace.root / "reports")
    page = (folder / "report.html").read_text()
    assert "Recall by class" in page and "Confusions of the tuned model" in page


def test_a_class_that_is_predicted_and_never_true_stays_a_class(tiny: Tiny, tmp_path: Path) -> None:
    from sklearn import metrics

    from studio.evals.metrics.plain import label_score

    true, said = ["1", "2", "1", "2"] * 15, ["1", "2", "1", "5"] * 15
    path = table(tmp_path / "extra.csv", label=true, prediction=said)
    _, record = measured(tiny, "classification", f"tasks.0.predictions={{file: {path}}}")
    found = scores(record)
    assert found["precision_macro"].value == metrics.precision_score(true, said, average="macro", zero_division=0)
    assert found["f1_macro"].value == pytest.approx(metrics.f1_score(true, said, average="macro"))
    assert found["mcc"].value == pytest.approx(metrics.matthews_corrcoef(true, said)) and found["unparsed"].value == 0
    assert any("Predicted and never true: '5' (15)" in note for note in record.tasks[0].notes)
    assert label_score("f1_macro", ["2", "1", "0", "5"], ["2", "1", "0", "1"]) == pytest.approx(2 / 3)
    path = table(
        tmp_path / "texts.csv", label=true, prediction=[f"I say {value} and {place}" for place, value in enumerate(said)]
    )
    _, record = measured(tiny, "classification", f"tasks.0.predictions={{file: {path}}}")
    assert scores(record)["unparsed"].value == 1 and any("taken for free text" in note for note in record.tasks[0].notes)


@pytest.mark.parametrize("column", ["label", "prediction"])
def test_labels_that_a_table_wrote_as_floats_are_the_same_labels(tiny: Tiny, tmp_path: Path, column: str) -> None:
    """What pandas writes where a column of whole numbers had a gap."""
    columns = {"label": TRUE, "prediction": SAID} | {
        column: [float(value) for value in {"label": TRUE, "prediction": SAID}[column]]
    }
    path = table(tmp_path / "float.csv", **columns, sex=SEX)
    _, record = measured(tiny, "fairness", f"tasks.0.predictions={{file: {path}}}", "tasks.0.group=sex", "tasks.0.positive=1")
    assert scores(record)["demographic_parity_difference"].value == pytest.approx(0.4)
    _, record = measured(tiny, "classification", f"tasks.0.predictions={{file: {path}}}")
    assert scores(record)["accuracy"].value == 0.7 and scores(record)["unparsed"].value == 0


def test_slices_of_a_file_have_figures_of_their_own(tiny: Tiny, tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", label=TRUE, prediction=SAID, sex=SEX)
    file = f"tasks.0.predictions={{file: {path}}}"
    _, record = measured(tiny, "classification", file, "tasks.0.slices=[sex]")
    found = {score.metric: score for score in next(g for g in record.groups if g.title == "Accuracy by sex").scores["tuned"]}
    assert (found["Female"].value, found["Male"].value) == (0.8, 0.6) and found["Male"].note == "few rows"
    _, record = measured(tiny, "regression", file, "tasks.0.slices=[sex]")
    found = {
        score.metric: score for score in next(g for g in record.groups if "absolute error by sex" in g.title).scores["tuned"]
    }
    assert found["Female"].value == pytest.approx(0.2)
    with pytest.raises(DataError, match="has no column 'sx'"):
        measured(tiny, "classification", file, "tasks.0.slices=[sx]")


def test_a_limit_takes_rows_of_a_file_and_says_so(tiny: Tiny, tmp_path: Path) -> None:
    path = table(tmp_path / "p.csv", label=TRUE, prediction=SAID, sex=SEX)
    _, record = measured(tiny, "fairness", f"tasks.0.predictions={{file: {path}}}", "tasks.0.group=sex", "limit=6")
    assert record.tasks[0].rows == 6 and "6 of the file's 10 rows were taken (limit 6)." in record.tasks[0].notes


def test_what_a_column_denies_is_no_label_and_free_answers_in_a_file_are_read_when_asked(tiny: Tiny, tmp_path: Path) -> None:
    path = table(tmp_path / "neg.csv", label=["toxic", "neutral"] * 20, prediction=["not toxic", "It is neutral."] * 20)
    file = f"tasks.0.predictions={{file: {path}}}"
    _, record = measured(tiny, "classification", file, "tasks.0.labels=[toxic,neutral]")
    assert (scores(record)["accuracy"].value, scores(record)["unparsed"].value) == (0, 1)
    _, record = measured(tiny, "classification", file, "tasks.0.predictions.holds=answers")
    assert (scores(record)["accuracy"].value, scores(record)["unparsed"].value) == (0.5, 0.5)


def test_fairness_on_predictions_that_cannot_be_read_is_not_computed(tiny: Tiny, tmp_path: Path) -> None:
    said = ["approve", "deny"] * 40
    path = table(
        tmp_path / "p.csv", label=["yes", "no"] * 40, prediction=said, old=["yes", "no"] * 39 + ["yes", "?"],
        sex=["f"] * 40 + ["m"] * 40,
    )  # fmt: skip
    options = ("tasks.0.group=sex", "tasks.0.positive=yes")
    _, record = measured(tiny, "fairness", f"tasks.0.predictions={{file: {path}, base_prediction: old}}", *options)
    tuned, base = scores(record), scores(record, "base")
    assert all(
        item.value is None and "100.0% of the predictions for f could not be read" in item.reason for item in tuned.values()
    )
    assert not record.differences
    # One unread prediction of eighty is left out of the rates, and lowers the coverage: 20 of 39 against 20 of 40.
    gap = base["demographic_parity_difference"]
    assert (gap.value, gap.coverage) == (pytest.approx(20 / 39 - 0.5), pytest.approx(79 / 80))
    assert any(
        "1 of 80 predictions could not be read as one of the labels no, yes ('?')" in note for note in record.tasks[0].notes
    )
    _, record = measured(
        tiny, "fairness", f"tasks.0.predictions={{file: {path}, prediction: old}}", *options, "tasks.0.max_unread=0"
    )
    assert scores(record)["equal_opportunity_difference"].value is None


def test_numbers_of_a_file_keep_their_sign_and_unclear_ones_are_told(tiny: Tiny, tmp_path: Path) -> None:
    path = table(
        tmp_path / "num.csv", label=["−5", "3", "7"] * 10, prediction=["−5", "3", "7"] * 10, comma=["-5", "3", "12,500"] * 10
    )
    _, record = measured(tiny, "regression", f"tasks.0.predictions={{file: {path}}}")
    assert (scores(record)["mae"].value, scores(record)["unparsed"].value) == (0, 0)
    file = f"tasks.0.predictions={{file: {path}, prediction: comma}}"
    _, record = measured(tiny, "regression", file)
    assert scores(record)["unparsed"].value == pytest.approx(1 / 3) and any(
        "Say with decimal" in n for n in record.tasks[0].notes
    )
    _, record = measured(tiny, "regression", file, "tasks.0.decimal=','")
    assert scores(record)["mae"].value == pytest.approx(5.5 / 3)
    typed = table(tmp_path / "typed.parquet", label=[12.125, 3.5] * 20, prediction=["12,125", "3,5"] * 20)
    _, record = measured(tiny, "regression", f"tasks.0.predictions={{file: {typed}}}", "tasks.0.decimal=','")
    assert (scores(record)["mae"].value, scores(record)["unparsed"].value) == (0, 0)
    _, record = measured(tiny, "regression", f"tasks.0.predictions={{file: {path}, label: comma}}")
    assert "may be read in two ways" in record.tasks[0].reason


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
    _, record = evaluate_run(tiny.run, load_suite("classification", (*options, "tasks.0.slices=[size]")), data=data)
    sliced = next(group for group in record.groups if group.title == "Accuracy by size")
    assert [score.metric for score in sliced.scores["base"]] == [str(size) for size in range(8)]
    _, record = evaluate_run(
        tiny.run, load_suite("regression", ("tasks.0.label_column=size", "resamples=100", "thresholds=[]")), data=data
    )
    assert scores(record)["mae"].reason or scores(record)["mae"].n <= 8
    _, record = evaluate_run(tiny.run, load_suite("regression", ("tasks.0.label_column=kind", "thresholds=[]")), data=data)
    assert "is not a number" in record.tasks[0].reason
    _, record = evaluate_run(
        tiny.run,
        load_suite("fairness", ("tasks.0.group=kind", "tasks.0.label_column=size", "tasks.0.max_unread=1", "thresholds=[]")),
        data=data,
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
