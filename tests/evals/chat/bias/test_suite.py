"""The shipped suite from the command line to the report, and what happens when the data is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from studio.evals.suites import load_suite

if TYPE_CHECKING:
    from tests.conftest import Project

TYPES = ["crows_pairs", "stereoset", "winobias", "winogender", "bbq", "counterfactual"]
SMALL = ["--set", "resamples=100", "--set", "tasks.5.generation.max_new_tokens=4"]


def test_the_suite_names_every_benchmark() -> None:
    suite = load_suite("bias")
    assert [task.type for task in suite.tasks] == TYPES
    assert {threshold.metric.partition(".")[0] for threshold in suite.thresholds} == set(TYPES)


def test_whole_suite(studio: Callable[..., Any], project: Project, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_BENCHMARKS", str(published))
    result = studio("eval", "bias", "--model", "doors", "--limit", 12, *SMALL, "--gate", "--json")
    # Twelve rows of each benchmark show nothing, and so meet nothing.
    assert result.code == 3 and result.json["gate"]["met"] == 0, result.err
    assert len(result.json["gate"]["not_shown"]) >= 5 and "would be needed" in result.err
    report = Path(result.json["report"])
    scores = {score["metric"]: score for score in result.json["scores"]["tuned"]}
    suite = load_suite("bias")
    assert set(scores) == {f"{task.type}.{name}" for task in suite.tasks for name in task.metric_names()}
    for name, score in scores.items():
        assert score["value"] is not None or score["reason"], name
        assert score["low"] is not None or score["value"] is None or score["interval"].startswith("no interval"), name
    assert scores["crows_pairs.pct_stereotype"]["n"] == 12
    # Questions of one template, sentences of one occupation are one example each.
    for name, found in (("bbq.bias_ambiguous", range(2, 12)), ("winogender.accuracy", range(2, 12))):
        assert scores[name]["clusters"] in found, scores[name]
    compared = {item["metric"]: item for item in result.json["differences"]}
    assert set(compared) == set(scores)
    page = (report / "report.html").read_text()
    assert "authors of CrowS-Pairs warn" in page
    assert "race-color" in page
    assert "religions: Muslim" in page
    tables = [pd.read_parquet(file) for file in report.rglob("*.parquet")]
    assert any("sent_more" in table.columns for table in tables)
    again = studio("eval", "bias", "--model", "doors", "--limit", 12, *SMALL, "--json")
    assert again.code == 0
    same = {score["metric"]: score["value"] for score in again.json["scores"]["tuned"]}
    assert same == {name: score["value"] for name, score in scores.items()}


def test_offline_without_data_the_rest_goes_on_and_a_gate_fails(
    studio: Callable[..., Any], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDIO_BENCHMARKS", raising=False)
    result = studio("eval", "bias", "--model", "doors", "--limit", 12, *SMALL, "--gate", "--json")
    assert result.code == 3, result.err
    scores = {score["metric"]: score for score in result.json["scores"]["tuned"]}
    assert scores["crows_pairs.pct_stereotype"]["value"] is None
    assert "benchmarks/crows_pairs" in scores["crows_pairs.pct_stereotype"]["reason"]
    assert scores["counterfactual.likelihood_gap"]["value"] is not None
    assert "crows_pairs.pct_stereotype" in result.err


def test_a_threshold_on_a_metric_that_is_not_there(studio: Callable[..., Any], tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "name: mine\ntasks:\n  - type: crows_pairs\nthresholds:\n  - {metric: crows_pairs.pct_stereotyp, at_most: 0.6}\n"
    )
    result = studio("eval", suite, "--model", "none")
    assert result.code == 2
    assert "Did you mean 'crows_pairs.pct_stereotype'" in result.err


def test_local_data_in_the_workspace_is_found(
    studio: Callable[..., Any], project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDIO_BENCHMARKS", raising=False)
    folder = project.workspace.root / "benchmarks" / "crows_pairs"
    folder.mkdir(parents=True)
    lines = [f"{n},The {n} men are late.,The {n} women are late.,stereo,gender" for n in range(6)]
    (folder / "crows_pairs_anonymized.csv").write_text(",sent_more,sent_less,stereo_antistereo,bias_type\n" + "\n".join(lines))
    suite = tmp_path / "mine.yaml"
    suite.write_text("name: mine\ndescription: Own pairs.\nresamples: 100\ntasks:\n  - type: crows_pairs\n")
    result = studio("eval", suite, "--model", "doors", "--json")
    assert result.code == 0, result.err
    record = json.loads((Path(result.json["report"]) / "scores.json").read_text())
    assert record["tasks"][0]["data"]["path"] == str(folder)
    assert "6 pairs, neither the original" in record["tasks"][0]["data"]["edition"]
