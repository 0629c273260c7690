"""What a few steps of GRPO do to the starter model, and what they take: sums, answered shortly and rightly.

    python benchmarks/grpo.py [--steps 10] [--workspace FOLDER]

144 sums of two numbers, eight answers of at most 20 tokens to one prompt a step, LoRA r16 at 3e-4. Rewards: the number behind the
last "=" is right, and the answer has at most 10 tokens (falling to nothing at 20). Prints the mean of the first and of the last
three steps. There is no target: ten steps show that it moves, not how far it gets.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

REWARDS = '[{reward: number, after: "="}, {reward: length, max: 10, slack: 10}]'
SETTINGS = ("batch_size=8", "micro_batch_size=8", "learning_rate=3e-4", "grpo.max_new_tokens=20", f"grpo.rewards={REWARDS}")
SHOWN = {
    "reward": "reward",
    "reward/number": "right number",
    "reward/length": "short enough",
    "rollout/length": "tokens per answer",
    "rollout/truncated": "cut off",
    "rollout/entropy": "entropy, nats",
}


def write_corpus(folder: Path) -> Path:
    """Rows and recipe."""
    rows = [{"question": f"What is {a} + {b}?", "answer": str(a + b)} for a in range(2, 14) for b in range(2, 14)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {"type": "local", "path": str(folder / "sums.jsonl"), "licence": "own data"}
    recipe = {"kind": "chat", "description": "Sums.", "sources": [source], "steps": [], "split": {"validation": 0, "test": 0.1}}
    (folder / "sums.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "sums.yaml"


def studio(*arguments: str) -> None:
    """Run the command line; its progress goes to stderr."""
    subprocess.run([sys.executable, "-m", "studio.cli.main", *arguments], check=True, stdout=sys.stderr)


def train(folder: Path, steps: int) -> list[dict[str, Any]]:
    """Lines of ``metrics.jsonl``."""
    place = ("--workspace", str(folder / "workspace"))
    studio("data", "build", str(write_corpus(folder)), *place)
    pairs = [part for setting in (*SETTINGS, f"max_steps={steps}") for part in ("--set", setting)]
    studio("train", "chat/grpo", "--data", "sums", "--name", "grpo", *pairs, *place)
    (metrics,) = (folder / "workspace" / "runs" / "grpo").glob("*/metrics.jsonl")
    return [json.loads(line) for line in metrics.read_text().splitlines()]


def table(lines: list[dict[str, Any]]) -> str:
    """First and last three steps side by side."""
    steps = [line for line in lines if "reward" in line]
    rows = [f"| mean of three steps | first | last |\n|---|---|---|\n| steps | 1 to 3 | {len(steps) - 2} to {len(steps)} |"]
    for key, title in SHOWN.items():
        first, last = (sum(line[key] for line in part) / 3 for part in (steps[:3], steps[-3:]))
        rows.append(f"| {title} | {first:.2f} | {last:.2f} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--workspace", type=Path, help="folder that is kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.workspace or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(table(train(folder, asked.steps)))


if __name__ == "__main__":
    main()
