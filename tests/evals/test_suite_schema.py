"""Reading suites: every mistake is one sentence with the place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import ConfigError, UserError
from studio.evals.suites import load_suite

GOOD = "name: mine\nmetrics:\n  - perplexity\n  - rougeL\n  - length\n"


def load(tmp_path: Path, text: str, overrides: tuple[str, ...] = ()):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_suite(path, overrides)


def refused(tmp_path: Path, text: str, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, overrides)
    message = str(caught.value)
    assert "\n" not in message and caught.value.exit_code == 2
    return message


def test_a_good_suite_and_overrides(tmp_path: Path) -> None:
    suite = load(tmp_path, GOOD, ("generation.max_new_tokens=7", "limit=3"))
    assert suite.generation.max_new_tokens == 7 and suite.limit == 3
    assert suite.data.split == "test"


def test_a_misspelt_metric_gets_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD.replace("rougeL", "rogueL"))
    assert "mine.yaml:4:" in message and "'rogueL' is not a metric. Did you mean 'rougeL'?" in message


def test_a_misspelt_key(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD + "generation:\n  max_tokens: 5\n")
    assert "mine.yaml:7: unknown field 'max_tokens' in 'generation'. Did you mean 'max_new_tokens'?" in message


def test_a_threshold_on_a_metric_that_is_not_in_the_suite(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD + "thresholds:\n  - metric: perplexiti\n    at_most: 9\n")
    assert "mine.yaml:6:" in message and "'perplexiti'" in message and "Did you mean 'perplexity'?" in message


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ("", "no bound"),
        ("    at_least: 1\n    at_most: 2\n", "at_least and at_most"),
        ("    at_lest: 1\n", "Did you mean 'at_least'?"),
    ],
)
def test_a_threshold_has_exactly_one_bound(tmp_path: Path, bounds: str, words: str) -> None:
    assert words in refused(tmp_path, GOOD + "thresholds:\n  - metric: perplexity\n" + bounds)


def test_a_metric_without_a_direction_cannot_be_worse(tmp_path: Path) -> None:
    assert "'length'" in refused(tmp_path, GOOD + "thresholds:\n  - metric: length\n    not_worse_than_base: true\n")
    assert "'length'" in refused(tmp_path, GOOD + "compare_by: length\n")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("metrics=[]", "metrics"),
        ("metrics=[bleu,bleu]", "'bleu' is named twice"),
        ("compare_by=bleu", "'bleu' is not a metric of this suite"),
        ("generation.temperature=-1", "'generation.temperature' is -1"),
        ("generation.batch_size=0", "'generation.batch_size' is 0"),
        ("resamples=5", "'resamples' is 5"),
        ("data.split=tests", "Did you mean 'test'?"),
        ("name=../../x", "'name' is '../../x'"),
    ],
)
def test_impossible_values(tmp_path: Path, override: str, words: str) -> None:
    message = refused(tmp_path, GOOD, (override,))
    assert words in message and f"--set {override}" in message


TASKS = (
    "name: mine\ntasks:\n  - type: conversation\n    name: a\n    metrics: [perplexity, rougeL]\n  - type: leakage\n    rows: 3\n"
)


def test_tasks_take_from_the_suite_what_they_do_not_say(tmp_path: Path) -> None:
    suite = load(tmp_path, TASKS + "limit: 9\ngeneration: {max_new_tokens: 5}\n", ("tasks.1.limit=2",))
    first, second = suite.all_tasks()
    assert (first.limit, second.limit) == (9, 2) and first.generation.max_new_tokens == 5
    assert [first.key, second.key] == ["a", "leakage"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TASKS.replace("rougeL", "rogueL"), "mine.yaml:5: 'tasks.0.metrics.1': 'rogueL' is not a metric. Did you mean 'rougeL'?"),
        (TASKS.replace("leakage", "leackage"), "mine.yaml:6: 'tasks.1.type' is 'leackage'. Did you mean 'leakage'?"),
        (TASKS.replace("rows: 3", "row: 3"), "mine.yaml:7: unknown field 'row' in 'tasks.1'. Did you mean 'rows'?"),
        (TASKS.replace("rows: 3", "rows: 0"), "'tasks.1.rows' is 0"),
        (TASKS + "metrics: [bleu]\n", "both 'tasks' and 'metrics'"),
        ("name: mine\n", "neither 'tasks' nor 'metrics'"),
        (TASKS + "  - {type: leakage}\n", "two tasks are called 'leakage'"),
        (TASKS + "thresholds:\n  - {metric: a.rogueL, at_least: 1}\n", "Did you mean 'a.rougeL'?"),
        (TASKS + "thresholds:\n  - {metric: verbatimm, at_most: 1}\n", "Did you mean 'verbatim'?"),
        (TASKS + "  - {type: conversation, name: b, metrics: [rougeL]}\nthresholds:\n  - {metric: rougeL, at_least: 1}\n",
         "'rougeL' could mean a.rougeL or b.rougeL. Write the task before it."),
        (TASKS + "thresholds:\n  - {metric: rougeL, at_least: 1, at_least_of_base: 1}\n", "at_least and at_least_of_base"),
        (TASKS + "thresholds:\n  - {metric: rougeL, not_worse_than_base_by: -1}\n",
         "'thresholds.0.not_worse_than_base_by' is -1"),
        (TASKS.replace("rougeL]", "length]\n    compare_by: length"), "neither more nor less of it is better"),
        (TASKS.replace("rougeL]", "length]") + "thresholds:\n  - {metric: a.length, not_worse_than_base_by: 1}\n",
         "neither more nor less"),
    ],
)  # fmt: skip
def test_mistakes_in_tasks_are_one_sentence_with_a_place(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, text)


def test_an_unknown_suite_offers_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown suite 'chatbott'. Did you mean 'chatbot'?"):
        load_suite("chatbott")
