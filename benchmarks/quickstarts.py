"""The five quickstarts of predictors in one table: what they learn from, how good it gets beside the baseline, how long it takes.

    python benchmarks/quickstarts.py [--only table series] [--write-docs]

Each runs twice in a workspace of its own: the second time, which is reported, offline and with what it fetches in the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import docs
from studio.cli.quickstart_predictors import ROADS
from studio.evals.numbers import interval_text, number

READMES = [docs.ROOT / name for name in ("README.md", "README.zh.md")]
# The figure that says most to somebody who asks whether it works.
TOLD = {
    "text": "accuracy",
    "pictures": "accuracy",
    "table": "balanced_accuracy",
    "series": "mase",
    "groups": "ari",
}
LEARNT = {
    "text": "503 questions in 39 categories",
    "pictures": "emoji in nine kinds",
    "table": "1,000 loans, good or bad",
    "series": "employment in 22 industries, by month",
    "groups": "344 penguins; three species, not told",
}


def measure(task: str) -> tuple[dict[str, Any], float]:
    """What a quickstart says, and the seconds it took once everything is in the cache."""
    studio = Path(sys.executable).parent / "studio"
    seconds, said = 0.0, {}
    for offline in ({}, {"HF_HUB_OFFLINE": "1"}):
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            command = [studio, "quickstart", "--task", task, "--json", "--workspace", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | offline)
            seconds, said = time.monotonic() - started, json.loads(done.stdout)
    return said, seconds


def row(task: str, said: dict[str, Any], seconds: float) -> str:
    """A line of the table."""
    metric = TOLD[task]
    found = {label: _named(scores, metric) for label, scores in said["scores"].items()}
    change = next(item for item in said["differences"] if item["metric"].rpartition(".")[2] == metric)
    cells = [
        f"`{task}`",
        LEARNT[task],
        f"`{ROADS[task].preset}`",
        found["tuned"]["title"] or metric,
        number(found["base"]["value"]),
        number(found["tuned"]["value"]),
        f"{interval_text(change['low'], change['high'], signed=True)}, {change['verdict']}",
        f"{seconds:.0f} s",
    ]
    return f"| {' | '.join(cells)} |"


def _named(scores: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    """A score by the end of its name."""
    return next(score for score in scores if score["metric"].rpartition(".")[2] == metric)


def main() -> int:
    """Measure, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(ROADS), choices=list(ROADS), help="some of them")
    parser.add_argument("--write-docs", action="store_true", help="put the table into README.md and README.zh.md")
    chosen = parser.parse_args()
    head = ["--task", "data", "preset", "figure", "baseline", "model", "difference, 95%", "time"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for task in chosen.only:
        lines.append(row(task, *measure(task)))
        print(lines[-1], flush=True)
    if chosen.write_docs:
        for page in READMES:
            before, _, rest = page.read_text(encoding="utf-8").partition("<!-- predictors -->\n")
            after = rest.partition("<!-- /predictors -->")[2]
            table = "\n".join(lines)
            page.write_text(f"{before}<!-- predictors -->\n{table}\n<!-- /predictors -->{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
