"""Predicted against measured peak memory: five ways of training the starter model, each in a process of its own.

    python benchmarks/memory.py [--steps 3] [--only NAME] [--write-docs]

Prints a markdown table; exits 1 when a prediction is off by more than 15%. On a CPU the measured figure is the largest
resident size of the process, on a GPU the most memory PyTorch had allocated (the context is taken off the prediction).
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import docs
from studio.schema.adapter import ChatAdapter
from studio.train.chat.plan import plan
from studio.train.chat.probe import probe

ALLOWED = 0.15

# name -> (preset values, tokens per row, targets per row)
CONFIGURATIONS: dict[str, tuple[dict[str, Any], int, int]] = {
    "lora r16, 8 x 160": ({"lora": {"rank": 16}, "batch_size": 8}, 160, 60),
    "lora r64 attention, 4 x 384": ({"lora": {"rank": 64, "target_modules": "attention"}, "batch_size": 4}, 384, 200),
    "lora r8, checkpointing, 4 x 512": ({"lora": {"rank": 8}, "batch_size": 4, "gradient_checkpointing": True}, 512, 128),
    "full, 4 x 128": ({"method": "full", "batch_size": 4}, 128, 64),
    "qlora nf4 r32, 8 x 96 in micro batches of 4": (
        {"quantization": "nf4", "lora": {"rank": 32}, "batch_size": 8, "micro_batch_size": 4},
        96,
        48,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", help="names that hold this text")
    docs.add_option(parser)
    chosen = parser.parse_args()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    lines: list[str] = []

    def say(line: str) -> None:
        """Print a line as soon as it is known, and keep it for the page."""
        print(line, flush=True)
        lines.append(line)

    say(f"Starter model, device {device}, {chosen.steps} steps each.\n")
    say("| configuration | predicted | measured | ratio | planning | step |")
    say("|---|---:|---:|---:|---:|---:|")
    worst = 0.0
    for name, (values, length, targets) in CONFIGURATIONS.items():
        if chosen.only and chosen.only not in name:
            continue
        adapter = ChatAdapter(kind="chat", max_length=length, **values)
        lengths, supervised = [length] * adapter.batch_size, [targets] * adapter.batch_size
        started = time.perf_counter()
        planned = plan(adapter, lengths=lengths, supervised=supervised, device=device)
        planning = time.perf_counter() - started
        probed = probe(adapter, lengths, supervised, steps=chosen.steps)
        predicted = planned.peak - (planned.parts["runtime"] if device == "cuda" else 0)
        ratio = predicted / probed.peak
        worst = max(worst, abs(ratio - 1))
        say(
            f"| {name} | {predicted / 1e9:.2f} GB | {probed.peak / 1e9:.2f} GB | {ratio:.3f} | {planning:.1f} s | "
            f"{probed.step_seconds:.1f} s |"
        )
    say(f"\nLargest difference {worst:.1%}, allowed {ALLOWED:.0%}.")
    if chosen.write_docs and not chosen.only:
        docs.write_section("memory", "\n".join(lines))
    return 1 if worst > ALLOWED else 0


if __name__ == "__main__":
    sys.exit(main())
