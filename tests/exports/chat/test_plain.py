"""What is said of a merged chat model."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.adapters.chat.merge import ExportResult
from studio.core.telling import Pairs
from studio.exports.chat.plain import Merged
from studio.exports.forms import Wishes


def told(monkeypatch: pytest.MonkeyPatch, *figures: float | None):
    result = ExportResult(Path("there"), "bfloat16", 16, "dataset", 1.5e-5, *figures, 270_000_000)
    monkeypatch.setattr("studio.adapters.chat.merge.export_merged", lambda *_, **__: result)
    return Merged().write(Path("run"), Path("there"), Wishes(dtype="bfloat16"))


def test_the_proof_is_told(monkeypatch: pytest.MonkeyPatch):
    answer = told(monkeypatch, None, None, None)
    assert answer.blocks == (
        "Merged model written to there (270.0 MB, bfloat16).",
        Pairs([("prompts compared", "16 (dataset)"), ("largest logit difference to base + adapter", "1.5e-05 (at most 1e-03)")]),
        "\nServe it: vllm serve there",
    )
    assert answer.document.max_difference == 1.5e-5


def test_rounding_and_quantisation_are_told_where_they_were(monkeypatch: pytest.MonkeyPatch):
    assert told(monkeypatch, 0.02, 0.3, 0.987).blocks[1].rows[2:] == [
        ("after rounding to bfloat16", "2.0e-02"),
        ("to the quantised base + adapter it was trained as", "3.0e-01"),
        ("same next token as there", "98.7% of positions"),
    ]
