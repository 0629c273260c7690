"""Advice: rules that speak when their facts hold, presets that exist, rows that carry a threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.core.content import find_content, list_content
from studio.core.workspace import Workspace
from studio.evals.intervals import share_interval
from studio.schema.advice import Condition, Rules
from studio.schema.loading import load_yaml
from studio.schema.suite import Threshold
from studio.search.advise import TABLE
from studio.search.facts import Facts, meets, memory_of_rule
from studio.search.success import needed_paired, needed_share, success_sentences
from studio.train.kinds import kind_of
from tests.conftest import Result

Studio = Callable[..., Result]
RULES = load_yaml(TABLE, Rules)
# Kind of task to the kinds of Run that answer it.
ANSWERED_BY = {
    "labels": {"classifier"}, "numbers": {"regressor"}, "series": {"forecast"}, "groups": {"clusters"}, "chat": {"chat"},
    "pictures": {"diffusion", "vae", "gan"},
}  # fmt: skip

PROJECT: dict[str, Any] = {
    "name": "irises",
    "task": "Tell irises apart.",
    "audience": "Gardeners.",
    "success": [{"metric": "accuracy", "at_least": 0.9}],
    "data": {"recipe": "table/iris", "rights": "CC BY 4.0", "personal": "none"},
    "watch": {"owner": "me", "signals": ["complaints"], "stop_when": "never"},
}


def project(folder: Path, **needs: Any) -> Path:
    file = folder / "project.yaml"
    file.write_text(yaml.safe_dump(PROJECT | ({"needs": needs} if needs else {})))
    return file


def presets(facts: Facts) -> list[str]:
    chosen = sorted(RULES.presets, key=lambda rule: rule.order)
    return [rule.preset for rule in chosen if meets(facts, rule.when, unknown=True)]


@pytest.mark.parametrize("rule", RULES.presets, ids=lambda rule: rule.preset)
def test_every_rule_names_a_preset_that_answers_its_tasks(rule: Any) -> None:
    assert rule.preset in list_content("adapters") and rule.why
    assert kind_of(find_content("adapters", rule.preset)) in ANSWERED_BY[rule.when.tasks[0]]
    memory_of_rule(rule.when)


@pytest.mark.parametrize("task", sorted(ANSWERED_BY))
@pytest.mark.parametrize("gpu", [False, True])
def test_every_task_has_advice_on_every_machine(task: str, gpu: bool) -> None:
    for rows in (None, 30, 300, 3000, 300_000):
        of_task = {"labels": ("columns", "text", "pictures"), "chat": ("conversations", "texts", "pairs", "thumbs")}
        for inputs in of_task.get(task, ("columns",)):
            found = presets(Facts(task, inputs, rows=rows, gpu=gpu, memory=8 << 30))
            assert found, (task, rows, inputs)


def test_what_is_known_decides() -> None:
    few, many = Facts("labels", "text", rows=300, minutes=5), Facts("labels", "text", rows=5000, minutes=60)
    assert "classify/bert" not in presets(few) and "classify/bert-frozen" in presets(few)
    assert presets(many)[:2] == ["classify/logistic", "classify/bert"]
    assert "chat/qlora" not in presets(Facts("chat", gpu=False)) and presets(Facts("chat", gpu=True))[0] == "chat/qlora"
    assert presets(Facts("chat", "pairs"))[0] == "chat/dpo" and presets(Facts("chat", "texts")) == ["chat/text"]
    assert presets(Facts("series", series=1000))[-1] == "forecast/transformer"
    # What is not known is taken for granted by presets, and never by what is said to be missing.
    when = Condition(tasks=["labels"], rows_to=100)
    assert meets(Facts("labels"), when, unknown=True) and not meets(Facts("labels"), when, unknown=False)


def test_a_project_is_advised_from_its_dataset(studio: Studio, flowers: Workspace, tmp_path: Path) -> None:
    file = project(tmp_path, kind="labels", dataset="iris")
    done = studio("advise", file)
    assert done.code == 0, done.err
    assert "rows     104 to learn from, 30 to measure on" in done.out and "labels   3, the rarest with" in done.out
    assert done.out.index("1. classify/logistic") < done.out.index("2. classify/forest")
    assert "   estimator: logistic" in done.out  # the plan
    assert "fewer than 200 rows to learn from" in done.out
    assert "accuracy of at least 90.0% can be shown on about" in done.out and "(test has 30)" in done.out
    assert "studio compare classify/logistic classify/forest" in done.out
    found = studio("advise", tmp_path, "--json").json
    assert (
        found["facts"]["rows"] == 104 and found["facts"]["input"] == "columns" and sum(found["facts"]["labels"].values()) == 104
    )


def test_without_a_dataset_what_is_said_counts(studio: Studio, flowers: Workspace, tmp_path: Path) -> None:
    done = studio("advise", project(tmp_path, kind="labels", input="text", rows=100, classes=30, minutes=5))
    assert done.code == 0, done.err
    assert "rows     80 to learn from, 10 to measure on" in done.out
    assert "the rarest label has fewer than 5 rows to learn from" in done.out
    assert "estimator:" not in done.out
    unsaid = studio("advise", project(tmp_path, kind="series"))
    assert "how many rows there are is not said" in unsaid.out and "Taken for granted: series (say it under needs)" in unsaid.out


@pytest.mark.parametrize(
    ("needs", "sentence"),
    [
        ({}, "has no 'needs', so there is nothing to weigh."),
        ({"kind": "label"}, "'needs.kind' is 'label'. Did you mean 'labels'?"),
        ({"kind": "labels", "dataset": "irises"}, "there is no dataset 'irises'"),
        (
            {"kind": "labels", "dataset": "iris", "target": "kind"},
            "does not fit a task of kind labels: target: the dataset iris",
        ),
        (
            {"kind": "numbers", "dataset": "iris"},
            "does not fit a task of kind numbers: target: 'target' of iris is",
        ),
        ({"kind": "labels", "rows": 0}, "'needs.rows' is 0, but input should be greater than 0."),
        ({"kind": "labels", "memory": "much"}, "needs.memory 'much' is not a size. Write it as 8GiB or 24GB."),
        ({"kind": "groups", "row": 5}, "unknown field 'row' in 'needs'. Did you mean 'rows'?"),
    ],
)
def test_a_slip_ends_in_one_sentence(
    studio: Studio, flowers: Workspace, tmp_path: Path, needs: dict[str, Any], sentence: str
) -> None:
    done = studio("advise", project(tmp_path, **needs))
    assert done.code == 2 and done.err.count("error:") == 1 and sentence in done.err, done.err


def test_the_rows_that_are_named_carry_the_threshold() -> None:
    for value, limit in ((0.95, 0.9), (0.8, 0.7), (0.99, 0.98)):
        count = needed_share(value, limit, below=False)
        assert count is not None
        low, _ = share_interval(float(int(value * count)), count) or (0.0, 0.0)
        fewer, _ = share_interval(float(int(value * (count // 2))), count // 2) or (0.0, 0.0)
        assert low >= limit > fewer
    assert needed_share(0.9, 0.9, below=False) is None
    assert needed_share(0.02, 0.05, below=True) == needed_share(0.98, 0.95, below=False)
    coarse, fine = needed_paired(0.1), needed_paired(0.02)
    assert coarse is not None and fine is not None and coarse < 100 < 900 < fine
    [share, other] = success_sentences(
        [Threshold(metric="labels.accuracy", at_least=0.9), Threshold(metric="perplexity", at_most=20)], None
    )
    assert share.startswith("labels.accuracy of at least 90.0% can be shown on about ") and "perplexity: how many rows" in other


def test_facts_know_the_rarest_label() -> None:
    facts = Facts("labels", rows=90, classes=30)
    assert facts.per_label == 3 and dataclasses.replace(facts, labels={"a": 80, "b": 10}).per_label == 10
    assert memory_of_rule(Condition(tasks=["chat"], memory_from="8GiB")) == 8 << 30
