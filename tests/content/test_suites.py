"""Every suite file, in every folder below evals/, can be read and asks for metrics that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.evals.metrics import METRICS
from studio.evals.suites import load_suite

ROOT = Path(__file__).resolve().parents[2] / "evals"
# Word lists are read by the suites that name them.
FILES = sorted(path for path in ROOT.rglob("*.yaml") if path.parent.name != "words")


def test_there_are_suites() -> None:
    assert ROOT / "chatbot.yaml" in FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_suite(path: Path) -> None:
    suite = load_suite(path)
    assert suite.name == path.stem
    assert suite.description
    assert all(name in METRICS for name in suite.metrics)


def test_the_chatbot_suite_measures_what_the_readme_promises() -> None:
    suite = load_suite("chatbot")
    promised = {"perplexity", "bleu", "chrf", "rouge1", "rouge2", "rougeL", "exact_match", "length", "distinct_1", "distinct_2"}
    assert promised <= set(suite.metrics)
    assert suite.generation.temperature == 0
    assert suite.data.training_rows == "refuse"
