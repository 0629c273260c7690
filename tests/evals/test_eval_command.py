"""``studio eval`` as a person and as a pipeline use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Result
    from tests.evals.conftest import Tiny

FAST = ["--set", "generation.max_new_tokens=8", "--set", "resamples=100"]


def test_the_table_and_the_page_are_named(studio: Callable[..., Result]) -> None:
    done = studio("eval", "chatbot", "--model", "tiny", "--limit", "4", *FAST)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].split() == ["metric", "base", "tuned", "difference", "95%", "interval", "verdict"]
    assert "perplexity" in done.out
    page = Path(done.out.strip().splitlines()[-1].partition("Report: ")[2])
    assert page.is_file() and page.name == "report.html"
    assert "warning: Only 4 rows were asked" in done.err
    assert "4/4 rows" in done.err


def test_json_is_one_document_and_the_gate_exits_with_3(studio: Callable[..., Result], tmp_path: Path) -> None:
    suite = tmp_path / "strict.yaml"
    suite.write_text("name: strict\nmetrics: [perplexity]\nthresholds:\n  - metric: perplexity\n    at_most: 1.01\n")
    done = studio("eval", str(suite), "--model", "last", "--json", "--gate", "--set", "resamples=100")
    assert done.code == 3
    document = json.loads(done.out)
    assert document["gate"]["missed"][0].startswith("perplexity is")
    assert Path(document["report"], "scores.json").is_file()
    assert "1 of 1 threshold not met: perplexity is" in done.err and "required at most 1.01" in done.err
    options = ("--gate", "--set", "resamples=100", "--set")
    few = studio("eval", str(suite), "--model", "last", *options, "thresholds.0.at_most=1e9")
    assert few.code == 3 and "1 of 1 threshold not shown on so few examples: perplexity is" in few.err
    assert "no interval from 8 examples; 10 are needed" in few.err
    share = "thresholds=[{metric: truncated, at_least: 0.3}]"
    met = studio("eval", str(suite), "--model", "last", "--gate", "--set", "metrics=[truncated]", "--set", share)
    assert met.code == 0 and "gate met: the only threshold" in met.err


def test_predictions_of_a_file_are_named_after_it(studio: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "loans.csv"
    path.write_text("label,prediction\n" + "yes,yes\nno,no\n" * 5)
    done = studio("eval", "classification", "--set", f"tasks.0.predictions.file={path}", "--set", "resamples=100", "--json")
    assert done.code == 0, done.err
    page = Path(json.loads(done.out)["report"], "report.html").read_text()
    assert "<h1>predictions loans.csv</h1>" in page and "It rests on 10 rows of loans.csv" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chatbott", "--model", "tiny"], "unknown suite 'chatbott'. Did you mean 'chatbot'?"),
        (["chatbot", "--model", "tinny"], "there is no run 'tinny'"),
        (["chatbot", "--model", "tiny", "--set", "metrics.1=blue"], "'blue' is not a metric. Did you mean 'bleu'?"),
        (["chatbot", "--model", "tiny", "--set", "data.split=train"], "training data"),
        (["chatbot", "--model", "tiny", "--baseline", "nothing"], "--baseline nothing is no run"),
        (["chatbot", "--model", "tiny", "--gate", "--set", "thresholds=[]"], "--gate needs thresholds"),
        (["chatbot", "--model", "tiny", "--data", "elsewhere"], "there is no dataset 'elsewhere'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(studio: Callable[..., Result], arguments: list[str], words: str) -> None:
    done = studio("eval", *arguments)
    assert done.code == 2 and done.out == ""
    assert words in done.err and "Traceback" not in done.err


def test_several_models_in_one_go_stand_side_by_side(studio: Callable[..., Result], tiny: Tiny, lively_base: Path) -> None:
    from tests.evals.conftest import write_run

    write_run(tiny.workspace, lively_base, tiny.dataset, name="second", seed=2)
    options = ["--limit", "3", "--set", "metrics=[perplexity,rougeL]", *FAST]
    done = studio("eval", "chatbot", "--model", "tiny", "--model", "second", *options)
    assert done.code == 0, done.err
    side = done.out.partition("side by side")[2].strip().splitlines()
    assert side[0].split() == ["metric", "tiny/20260101-000000-tiny0", "second/20260101-000000-second0"]
    assert [line.split()[0] for line in side[2:]] == ["perplexity", "rougeL"]
    assert len(list(tiny.workspace.runs.glob("*/*/evals/chatbot/*/report.html"))) == 2
    document = json.loads(studio("eval", "chatbot", "--model", "tiny", "--model", "second", "--json", *options).out)
    assert [len(report["scores"]["tuned"]) for report in document["reports"]] == [2, 2]
    strict = studio(
        "eval", "chatbot", "--model", "tiny", "--model", "second", "--gate", *options, "--set",
        "thresholds=[{metric: perplexity, at_most: 1}]",
    )  # fmt: skip
    assert strict.code == 3 and "tiny/" in strict.err and "second/" in strict.err


def test_predictions_from_a_file_need_no_model(studio: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "loans.csv"
    path.write_text("label,prediction,sex\n" + "yes,yes,f\nno,no,f\nyes,no,m\nno,no,m\n" * 10)
    settings = ["--set", f"tasks.0.predictions.file={path}", "--set", "tasks.0.group=sex", "--set", "tasks.0.positive='yes'"]
    done = studio("eval", "fairness", *settings, "--set", "resamples=100", "--gate")
    assert done.code == 3 and "quality_gap is 0.5, required at most 0.1" in done.err
    assert "fairness.demographic_parity_difference" in done.out
    # Forty rows that are all right, and one row of one group, were "gap 0 (0 to 0), gate met".
    path.write_text("label,prediction,sex\n" + "yes,yes,f\nno,no,f\nyes,yes,m\nno,no,m\n" * 10)
    done = studio("eval", "fairness", *settings, "--set", "resamples=100", "--gate")
    assert done.code == 3 and "quality_gap is 0 on 40 rows, but 0.123 cannot be ruled out" in done.err
    path.write_text("label,prediction,sex\nyes,yes,f\n")
    done = studio("eval", "fairness", *settings, "--set", "resamples=100", "--gate")
    assert done.code == 3 and "quality_gap could not be computed: fewer than two groups" in done.err
    done = studio("eval", "chatbot")
    assert done.code == 2 and "no model is named" in done.err
    done = studio("eval", "fairness", *settings, "--set", "tasks.0.group=gender")
    assert done.code == 2 and "has no column 'gender'" in done.err and "Traceback" not in done.err


def test_a_task_that_cannot_be_computed_is_told_and_fails_the_gate_that_names_it(studio: Callable[..., Result]) -> None:
    done = studio("eval", "fairness", "--model", "tiny", "--gate")
    assert done.code == 3 and "quality_gap could not be computed: no group column is named" in done.err
    assert "not computed: fairness: no group column is named" in done.out
    assert "warning: fairness" not in done.err and not done.err.rstrip().endswith("..")
