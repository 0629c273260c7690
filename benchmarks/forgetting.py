"""What tuning on a field costs besides, and what a tenth of replayed general rows saves of it.

    python benchmarks/forgetting.py [--steps 60] [--share 0.1] [--write-docs]

The starter learns questions and answers on Swedish building rules, with and without small talk in English replayed beside them
(chatterbot-corpus), the same number of steps. Both runs and the base are measured on the held-out Swedish rows and with the suite
``general``. Both Datasets have the same held-out rows, for what is replayed is never held out.
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

import yaml

import docs
from studio.evals.numbers import interval_text, number

PAGE = docs.ROOT / "docs" / "objectives" / "text.md"
FIELD, GENERAL = "construction-faq-sv", "chatterbot"
SETTINGS = ["--set", "learning_rate=1e-3", "--set", "batch_size=4", "--set", "eval_every=30"]
MEASURES = {
    "field.perplexity": "Swedish rules, perplexity",
    "general.correct": "general questions, right",
    "general.answer_perplexity": "their right answers, perplexity",
    "general.text_perplexity": "plain English texts, perplexity",
}


def studio(workspace: Path, *arguments: str) -> dict[str, Any]:
    """One command of the studio, and what it says as JSON."""
    command = [sys.executable, "-m", "studio.cli.main", *arguments, "--json", "--workspace", str(workspace)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(docs.ROOT)})
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def with_replay(workspace: Path, share: float) -> Path:
    """The recipe of the field with the training rows of the general Dataset beside it."""
    recipe = yaml.safe_load((docs.ROOT / "data_recipes" / "chat" / f"{FIELD}.yaml").read_text(encoding="utf-8"))
    recipe["sources"].append({"type": "dataset", "dataset": GENERAL})
    # Only the field is held to its language.
    recipe["steps"] = [step for step in recipe["steps"] if step["step"] != "language"]
    recipe["mix"] = {"replay": {"source": GENERAL, "share": share}}
    path = workspace / "with-replay.yaml"
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return path


def alone(workspace: Path) -> Path:
    """The recipe of the field by itself, with the same steps."""
    recipe = yaml.safe_load(with_replay(workspace, 0.1).read_text(encoding="utf-8"))
    del recipe["mix"], recipe["sources"][1]
    path = workspace / "alone.yaml"
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return path


def suite(workspace: Path) -> Path:
    """The held-out rows of the field and the shipped suite ``general``, in one."""
    shipped = yaml.safe_load((docs.ROOT / "evals" / "general.yaml").read_text(encoding="utf-8"))
    field = {"type": "conversation", "name": "field", "metrics": ["perplexity"], "data": {"dataset": "field", "split": "test"}}
    path = workspace / "forgetting.yaml"
    path.write_text(yaml.safe_dump({**shipped, "name": "forgetting", "tasks": [field, *shipped["tasks"]], "thresholds": []}))
    return path


def measure(workspace: Path, steps: int, share: float) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Scores by model and metric, and what is told beside the table."""
    studio(workspace, "data", "build", f"chat/{GENERAL}")
    studio(workspace, "data", "build", str(alone(workspace)), "--name", "field")
    mixed = studio(workspace, "data", "build", str(with_replay(workspace, share)), "--name", "mixed")
    measuring = suite(workspace)
    scores: dict[str, dict[str, Any]] = {}
    for label, dataset in (("tuned", "field"), (f"tuned, {share:.0%} replayed", "mixed")):
        run = studio(workspace, "train", "chat/lora", "--data", dataset, "--set", f"max_steps={steps}", *SETTINGS)
        found = studio(workspace, "eval", str(measuring), "--model", run["run"])
        scores.setdefault("base", {item["metric"]: item for item in found["scores"]["base"]})
        scores[label] = {item["metric"]: item for item in found["scores"]["tuned"]}
        changes = {item["metric"]: item for item in found["differences"]}
        for name, item in scores[label].items():
            item["verdict"] = changes[name]["verdict"]
    replayed = mixed["mixture"][GENERAL]["replayed"]
    said = (
        f"{steps} steps of 4 rows, LoRA r16 at 1e-3, the starter. {replayed} of {mixed['splits']['train']} training rows are "
        f"replayed; {mixed['splits']['test']} Swedish rows are held out, the same for both. In brackets the 95% interval; better "
        "and worse are the paired comparison with the base, after Holm's correction."
    )
    return scores, [said]


def table(scores: dict[str, dict[str, Any]]) -> list[str]:
    """One line for each model."""
    lines = [f"| model | {' | '.join(MEASURES.values())} |", "|---" * (len(MEASURES) + 1) + "|"]
    for label, found in scores.items():
        cells = []
        for metric in MEASURES:
            item = found[metric]
            verdict = f", {item['verdict']}" if "verdict" in item else ""
            cells.append(f"{number(item['value'])} ({interval_text(item['low'], item['high'])}){verdict}")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    """Measure, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of each training")
    parser.add_argument("--share", type=float, default=0.1, help="share of replayed rows")
    parser.add_argument("--write-docs", action="store_true", help=f"put the table into {PAGE.relative_to(docs.ROOT)}")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scores, said = measure(Path(folder), chosen.steps, chosen.share)
    body = "\n".join([*table(scores), "", *said])
    print(body, f"\n({time.monotonic() - started:.0f} s)", flush=True)
    if chosen.write_docs:
        docs.write_between(PAGE, "forgetting", body, packages=("torch", "transformers", "peft"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
