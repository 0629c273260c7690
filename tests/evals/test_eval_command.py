"""``studio eval`` as a person and as a pipeline use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.evals.conftest import Tiny

FAST = ["--set", "generation.max_new_tokens=8", "--set", "resamples=100"]


def studio(tiny: Tiny, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "studio.cli.main", "eval", *arguments, "--workspace", str(tiny.workspace.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_table_and_the_page_are_named(tiny: Tiny) -> None:
    done = studio(tiny, "chatbot", "--model", "tiny", "--limit", "4", *FAST)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["metric", "base", "tuned", "difference", "95%", "interval", "verdict"]
    assert "perplexity" in done.stdout
    page = Path(done.stdout.strip().splitlines()[-1].partition("Report: ")[2])
    assert page.is_file() and page.name == "report.html"
    assert "warning: Only 4 rows were asked" in done.stderr
    assert "4/4 rows" in done.stderr


def test_json_is_one_document_and_the_gate_exits_with_3(tiny: Tiny, tmp_path: Path) -> None:
    suite = tmp_path / "strict.yaml"
    suite.write_text("name: strict\nmetrics: [perplexity]\nthresholds:\n  - metric: perplexity\n    at_most: 1.01\n")
    done = studio(tiny, str(suite), "--model", "last", "--json", "--gate", "--set", "resamples=100")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert document["gate"]["missed"][0].startswith("perplexity is")
    assert Path(document["report"], "scores.json").is_file()
    assert "1 of 1 thresholds not met: perplexity is" in done.stderr and "required at most 1.01" in done.stderr
    met = studio(tiny, str(suite), "--model", "last", "--gate", "--set", "thresholds.0.at_most=1e9", "--set", "resamples=100")
    assert met.returncode == 0 and "gate met: all 1 thresholds" in met.stderr


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
def test_a_mistake_is_one_sentence_and_exit_code_2(tiny: Tiny, arguments: list[str], words: str) -> None:
    done = studio(tiny, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert words in done.stderr and "Traceback" not in done.stderr
