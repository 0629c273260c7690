"""Rows as the Hub gives them: a local copy of a repository is read by the same library, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import ConfigError
from studio.evals.chat.tasks.bbq import run as run_bbq
from studio.evals.chat.tasks.crows_pairs import run as run_crows_pairs
from studio.evals.chat.tasks.stereoset import run as run_stereoset
from studio.evals.chat.tasks.winobias import run as run_winobias
from studio.evals.suites import load_suite
from studio.evals.task import NotComputedError
from studio.schema.bias import BBQTask, CrowsPairsTask, StereoSetTask, WinoBiasTask


@pytest.fixture(autouse=True)
def without_local_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDIO_BENCHMARKS", raising=False)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")


def test_crows_pairs(context: Callable[..., Any], tmp_path: Path) -> None:
    rows = [
        {"id": n, "sent_more": f"The {n} men.", "sent_less": f"The {n} women.", "stereo_antistereo": n % 2, "bias_type": 2}
        for n in range(4)
    ]
    write_lines(tmp_path / "repository" / "test.jsonl", rows)
    result = run_crows_pairs(context(CrowsPairsTask(type="crows_pairs", hub=str(tmp_path / "repository"), revision="abc")))
    assert result.rows == 4
    assert result.data["revision"] == "abc"
    assert [score.metric for score in result.groups[0].scores["tuned"]] == ["gender"]


def test_bbq_in_the_published_shape(context: Callable[..., Any], published: Path, tmp_path: Path) -> None:
    lines = (published / "bbq" / "Religion.jsonl").read_text().splitlines()[:8]
    write_lines(tmp_path / "repository" / "test.jsonl", [json.loads(line) for line in lines])
    task = BBQTask(type="bbq", hub=str(tmp_path / "repository"), subset=None, categories=["Religion"])
    result = run_bbq(context(task))
    assert result.rows == 8


def test_stereoset_with_class_numbers(context: Callable[..., Any], tmp_path: Path) -> None:
    sentences = {"sentence": ["Chefs are kind.", "Chefs are rude.", "Chefs are blue."], "gold_label": [0, 1, 2]}
    row = {"id": "x", "target": "chef", "bias_type": "profession", "context": "Chefs are BLANK.", "sentences": sentences}
    write_lines(tmp_path / "repository" / "validation.jsonl", [row, {**row, "target": "cook"}])
    task = StereoSetTask(type="stereoset", hub=str(tmp_path / "repository"), subset="default")
    result = run_stereoset(context(task))
    assert result.rows == 2
    assert result.examples["stereotype"].tolist() == ["Chefs are rude."] * 2


def test_winobias_is_read_from_files_only(context: Callable[..., Any], tmp_path: Path) -> None:
    write_lines(tmp_path / "repository" / "test.jsonl", [{"tokens": ["a"]}])
    with pytest.raises(NotComputedError, match="read from its published files"):
        run_winobias(context(WinoBiasTask(type="winobias", hub=str(tmp_path / "repository"))))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  - {type: crows_pair}", "Did you mean 'crows_pairs'"),
        ("  - {type: crows_pairs, foldr: x}", r"mine.yaml:4: unknown field 'foldr'.*Did you mean 'folder'"),
        ("  - {type: stereoset, part: between}", r"'between'"),
        ("  - {type: counterfactual, measures: [likelyhood]}", "likelyhood"),
        ("  - {type: counterfactual, words: [{name: x, groups: {a: {s: [b]}}}]}", "has 1 group. Give at least two"),
        ("  - {type: lm_eval}", "tasks"),
    ],
)
def test_mistakes_in_a_suite_are_one_sentence(tmp_path: Path, line: str, message: str) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(f"name: mine\ndescription: x\ntasks:\n{line}\n")
    with pytest.raises(ConfigError, match=message) as caught:
        load_suite(suite)
    assert "\n" not in str(caught.value)
