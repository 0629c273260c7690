"""A teacher and a judge on the starter: a small adapter learns from a larger one's run, and a reward model from made-up pairs.

    python benchmarks/teaching.py [--steps 12] [--rows 120] [--only distill|reward]

Distillation: the teacher is a LoRA of rank 16 after twice the steps; the students are adapters of rank 2 that see the same rows
for ``--steps`` steps, one learning the answers alone, the other also what the teacher says. Reward: the chosen answer of a
pair is the question's own, the rejected one that of another question, so chance is 50%. Prints markdown tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from studio.core.workspace import Workspace, read_run
from studio.data.chat.rows import read_split

RECIPE = "chat/construction-faq-en"
COMMON = ("max_length=160", "batch_size=4", "epochs=9", "warmup=0.1")


def studio(workspace: Path, *arguments: str) -> None:
    """One command; its words go to stderr.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-c", "from studio.cli.main import main; main()", "--workspace", str(workspace), *arguments]
    if code := subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        sys.exit(code)


def train(workspace: Path, preset: str, name: str, data: str, *settings: str) -> Path:
    """The folder of a finished run."""
    changes = [part for setting in (*COMMON, *settings) for part in ("--set", setting)]
    studio(workspace, "train", preset, "--data", data, "--name", name, *changes)
    return Workspace.open(workspace).find_run(name)


def measured(run: Path, *keys: str) -> dict[str, float]:
    """What the validations of a run gave, at its best step."""
    best = read_run(run).result["best_step"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return next({key: line.get(key) for key in keys} for line in lines if line["step"] == best and "eval_loss" in line)


def distillation(workspace: Path, data: str, steps: int) -> None:
    """Teacher, student alone, student with the teacher."""
    rates = ("learning_rate=1e-3",)
    teacher = train(workspace, "chat/lora", "teacher", data, *rates, f"max_steps={2 * steps}", f"eval_every={steps}")
    small = (*rates, "lora.rank=2", "lora.alpha=4", f"max_steps={steps}", f"eval_every={steps}")
    alone = train(workspace, "chat/lora", "alone", data, *small)
    taught = train(workspace, "chat/distill", "taught", data, *small, "distill.teacher=teacher", "distill.answer_share=0.5")
    kept = sum(file.stat().st_size for file in (taught / "checkpoints" / "teacher").glob("*.npy"))
    found = measured(taught, "eval_nll", "eval_divergence")
    print("| run | steps | adapter | validation, nats per token | divergence from the teacher |")
    print("|---|---:|---:|---:|---:|")
    for name, run, nll, apart in (
        ("teacher", teacher, measured(teacher, "eval_loss")["eval_loss"], None),
        ("student, answers alone", alone, measured(alone, "eval_loss")["eval_loss"], None),
        ("student, answers and teacher", taught, found["eval_nll"], found["eval_divergence"]),
    ):
        result: dict[str, Any] = read_run(run).result
        numbers = f"{result['trained_parameters']:,}"
        told = "" if apart is None else f"{apart:.3f}"
        print(f"| {name} | {result['steps']} | {numbers} | {nll:.3f} | {told} |")
    print(f"\nWhat the teacher said takes {kept / 1e6:.1f} MB on disk.\n")


def reward(workspace: Path, data: str, steps: int) -> None:
    """A reward model that tells a question's own answer from another's."""
    folder = Workspace.open(workspace).find_dataset(data)
    rows = [row for split in ("train", "validation", "test") for row in read_split(folder, split)]
    pairs = workspace / "pairs.jsonl"
    with pairs.open("w", encoding="utf-8") as file:
        for place, row in enumerate(rows):
            other = rows[(place + len(rows) // 2) % len(rows)]
            line = {"prompt": row.messages[:-1], "chosen": row.messages[-1]["content"], "rejected": other.messages[-1]["content"]}
            file.write(json.dumps(line) + "\n")
    recipe = workspace / "pairs.yaml"
    recipe.write_text(
        "kind: chat\ndescription: Made-up pairs.\n"
        f"sources:\n  - type: local\n    path: {pairs}\n    licence: own data\nsplit:\n  validation: 16\n  test: 24\n"
    )
    studio(workspace, "data", "build", str(recipe))
    run = train(workspace, "chat/reward", "judge", "pairs", "learning_rate=1e-3", f"max_steps={steps}", f"eval_every={steps}")
    studio(workspace, "eval", "reward", "--model", "judge", "--baseline", "none")
    report = max(run.glob("evals/reward/*/scores.json"))
    scores = {item["metric"]: item for item in json.loads(report.read_text())["scores"]["tuned"]}
    accuracy, result = scores["pairs.accuracy"], read_run(run).result
    validated = result["validation_accuracy"]
    print("| pairs | right | 95% interval | n |")
    print("|---|---:|---|---:|")
    print(f"| validation | {validated[0]:.1%} | {validated[1]:.1%} to {validated[2]:.1%} | 16 |")
    print(f"| test | {accuracy['value']:.1%} | {accuracy['low']:.1%} to {accuracy['high']:.1%} | {accuracy['n']} |")
    print(f"\n{result['steps']} steps of 4 pairs.")


def main() -> None:
    """Build the rows, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rows", type=int, default=120, help="questions in all; 16 validate and 24 test")
    parser.add_argument("--only", choices=("distill", "reward"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        workspace = Path(place)
        limits = (f"sources.0.limit={chosen.rows}", "split.validation=16", "split.test=24")
        studio(workspace, "data", "build", RECIPE, *(part for limit in limits for part in ("--set", limit)))
        data = RECIPE.rpartition("/")[2]
        if chosen.only != "reward":
            distillation(workspace, data, chosen.steps)
        if chosen.only != "distill":
            reward(workspace, data, chosen.steps)


if __name__ == "__main__":
    main()
