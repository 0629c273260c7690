"""The whole road on the starters: the encoder of the cache and the corpus of construction questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.core.errors import StudioError
from studio.models.bases import resolve_base

pytestmark = [pytest.mark.starter, pytest.mark.long]

SHORT = ["max_steps=2", "batch_size=6", "max_length=32"]


@pytest.mark.parametrize("preset", ["embed/pairs", "embed/reranker"])
def test_from_the_corpus_to_a_report(tmp_path: Path, studio, preset: str) -> None:
    try:
        resolve_base("minilm-l6", use="text encoder")
    except StudioError as missing:
        pytest.skip(f"run make test once with the network on ({missing})")
    space = ["--workspace", tmp_path / "workspace"]
    assert studio(*space, "data", "build", "chat/construction-faq-en").code == 0
    settings = [part for setting in SHORT for part in ("--set", setting)]
    planned = studio(*space, "plan", preset, "--data", "construction-faq-en", *settings)
    assert planned.code == 0 and "parameters (all)" in planned.out
    done = studio(*space, "train", preset, "--data", "construction-faq-en", "--name", "short", *settings)
    assert done.code == 0 and "studio eval retrieval --model" in done.out and "studio serve" in done.out
    assert studio(*space, "eval", "retrieval", "--model", "short", "--limit", 6).code == 0
    [report] = (tmp_path / "workspace" / "runs" / "short").glob("*/evals/retrieval/*/scores.json")
    scores = {score["metric"]: score["value"] for score in json.loads(report.read_text())["scores"]["tuned"]}
    assert 0 <= scores["retrieval.ndcg_10"] <= 1 and len(scores) == 5
