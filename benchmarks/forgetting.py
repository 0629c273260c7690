"""What tuning on a field costs besides, and what a tenth of replayed general rows saves of it.

    python benchmarks/forgetting.py [--steps 60] [--share 0.1] [--rows 50] [--questions 64] [--write-docs]

The starter learns questions and answers on Swedish building rules, in English, with and without small talk replayed beside them
(chatterbot-corpus), for the same number of steps. Both runs and the base are measured on held-out rows of the field and with the
suite ``general``. Both Datasets have the same held-out rows, for what is replayed is never held out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

import docs
from studio.evals.numbers import interval_text, number

PAGE = docs.ROOT / "docs" / "objectives" / "text.md"
FIELD, GENERAL, BASE = "construction-faq-en", "chatterbot", "smollm2-135m-instruct"
# No validation: the weights of the last step are taken.
SETTINGS = ["--set", "learning_rate=1e-3", "--set", "batch_size=4", "--set", "eval_every=100000"]
MEASURES = {
    "field.perplexity": "building rules, perplexity",
    "general.correct": "general questions, right",
    "general.answer_perplexity": "their right answers, perplexity",
    "general.text_perplexity": "plain texts, perplexity",
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
    recipe["mix"] = {"replay": {"source": GENERAL, "share": share}}
    path = workspace / "with-replay.yaml"
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return path


def suite(workspace: Path, rows: int, questions: int) -> Path:
    """The held-out rows of the field and the shipped suite ``general``, in one."""
    shipped = yaml.safe_load((docs.ROOT / "evals" / "general.yaml").read_text(encoding="utf-8"))
    field = {"type": "conversation", "name": "field", "metrics": ["perplexity"], "data": {"dataset": "field"}, "limit": rows}
    shipped["tasks"][0]["limit"] = questions
    shipped["generation"]["max_new_tokens"] = 24
    path = workspace / "forgetting.yaml"
    path.write_text(
        yaml.safe_dump(
            {**shipped, "name": "forgetting", "dtype": "float32", "tasks": [field, *shipped["tasks"]], "thresholds": []}
        )
    )
    return path


def measure(workspace: Path, chosen: argparse.Namespace) -> tuple[dict[str, dict[str, Any]], str]:
    """Scores by model and metric, and what is told beside the table."""
    studio(workspace, "data", "build", f"chat/{GENERAL}")
    studio(workspace, "data", "build", f"chat/{FIELD}", "--name", "field")
    mixed = studio(workspace, "data", "build", str(with_replay(workspace, chosen.share)), "--name", "mixed")["record"]
    measuring = str(suite(workspace, chosen.rows, chosen.questions))
    labels = {"field": "tuned", "mixed": f"tuned, {chosen.share:.0%} replayed"}

    def train(dataset: str) -> str:
        steps = f"max_steps={chosen.steps}"
        studio(workspace, "train", "chat/lora", "--data", dataset, "--name", f"{dataset}-run", "--set", steps, *SETTINGS)
        return f"{dataset}-run"

    with ThreadPoolExecutor(3) as pool:
        # What the base says is kept, and compared with afterwards.
        base = pool.submit(studio, workspace, "eval", measuring, "--model", BASE, "--baseline", "none")
        runs = dict(zip(labels, pool.map(train, labels), strict=True))
        base.result()
        asked = [("eval", measuring, "--model", run, "--baseline", BASE) for run in runs.values()]
        reports = list(pool.map(lambda arguments: studio(workspace, *arguments), asked))
    scores: dict[str, dict[str, Any]] = {"base": {item["metric"]: item for item in reports[0]["scores"]["base"]}}
    for label, found in zip(labels.values(), reports, strict=True):
        verdicts = {item["metric"]: item["verdict"] for item in found["differences"]}
        tuned = {item["metric"]: item for item in found["scores"]["tuned"]}
        scores[label] = {name: {**item, "verdict": verdicts[name]} for name, item in tuned.items()}
    extra = mixed["mixture"][GENERAL]
    counts = {name: scores["base"][name]["n"] for name in MEASURES}
    said = (
        f"{chosen.steps} steps of 4 rows, LoRA r16 at 1e-3, the starter. {extra['replayed']} of {mixed['splits']['train']} "
        "training rows of the last model are replayed. "
        f"{counts['field.perplexity']} rows of the field are asked, the same of all; {counts['general.correct']} questions and "
        f"{counts['general.text_perplexity']} texts were asked. In brackets the 95% interval; words are the paired comparison "
        "with the base, after Holm's correction."
    )
    return scores, said


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
    parser.add_argument("--rows", type=int, default=50, help="held-out rows of the field")
    parser.add_argument("--questions", type=int, default=64, help="questions and texts of the suite general")
    parser.add_argument("--write-docs", action="store_true", help=f"put the table into {PAGE.relative_to(docs.ROOT)}")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scores, said = measure(Path(folder), chosen)
    body = "\n".join([*table(scores), "", said])
    print(body, f"\n({time.monotonic() - started:.0f} s)", flush=True)
    if chosen.write_docs:
        docs.write_between(PAGE, "forgetting", body, packages=("torch", "transformers", "peft"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
