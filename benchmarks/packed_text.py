"""Time of a packed training step on raw text beside one on conversations, per token and per token with loss.

    python benchmarks/packed_text.py [--steps 6] [--repeats 1] [--write-docs]

The same words: the starter corpus as conversations, and each question with its answer as a raw text. LoRA r16, sequences of 256
tokens, one a step. Both sides run in turn, each in a process of its own, and seconds are those of the processor, so that what
else the machine does counts little. The first two steps are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import docs

CORPUS, WARM_UP, LENGTH = "chat/construction-faq-en", 2, 256
SIDES = ("conversations", "raw text")
BASE = "smollm2-135m-instruct"
SETTINGS = {"packing": True, "max_length": LENGTH, "batch_size": 1, "eval_every": 100_000, "lora.rank": 16, "lora.alpha": 32}


def prepare(folder: Path) -> None:
    """The corpus twice: as it is, and as raw text."""
    import pyarrow.parquet as pq

    from studio.core.content import find_content
    from studio.core.files import sha256_file, write_json
    from studio.core.workspace import Workspace
    from studio.data.chat.build import build_chat_dataset
    from studio.data.chat.rows import TEXT_FORMAT, read_split, rows_to_table
    from studio.schema.loading import load_yaml
    from studio.schema.recipe import ChatRecipe

    path = find_content("data_recipes", CORPUS)
    done = build_chat_dataset(load_yaml(path, ChatRecipe), Workspace(folder), name="conversations", beside=path.parent)
    raw = folder / "datasets" / "raw-text" / "0"
    raw.mkdir(parents=True)
    rows = [replace(row, messages=[{"role": "text", "content": row.text}]) for row in read_split(done.folder, "train")]
    pq.write_table(rows_to_table(rows), raw / "train.parquet")
    files = {"train.parquet": sha256_file(raw / "train.parquet")}
    changed = {"name": "raw-text", "fingerprint": "0", "splits": {"train": len(rows)}, "files": files, "format": TEXT_FORMAT}
    write_json(raw / "dataset.json", {**done.record.model_dump(mode="json"), **changed})


def train(folder: Path, side: str, steps: int) -> None:
    """One side, in this process: prints processor seconds and tokens of the steps after the warm-up."""
    from studio.cli.train import new_run
    from studio.core.content import find_content
    from studio.core.workspace import Workspace, read_run
    from studio.train.chat.recorder import Recorder
    from studio.train.chat.run import train_run

    at: list[float] = []
    plain = Recorder.on_step_end

    def noted(self: Any, *arguments: Any, **more: Any) -> Any:
        at.append(time.process_time())
        return plain(self, *arguments, **more)

    Recorder.on_step_end = noted  # type: ignore[method-assign]
    preset = str(find_content("adapters", "chat/text" if side == "raw text" else "chat/lora"))
    settings = [f"{name}={json.dumps(value)}" for name, value in {**SETTINGS, "max_steps": steps}.items()]
    data = side.replace(" ", "-")
    run = new_run(Workspace(folder), preset, data=data, model=BASE, settings=settings)
    train_run(run, resume=False, say=lambda _: None)
    record = read_run(run)
    report = record.mask_report or {}
    share = report["trained_tokens"] / report["tokens"]
    tokens = record.result["tokens"] * (steps - WARM_UP) / steps
    print(json.dumps({"seconds": at[-1] - at[WARM_UP - 1], "tokens": tokens, "share": share, "full": tokens / (steps - WARM_UP)}))


def products(share: dict[str, float]) -> float:
    """How many times the multiplications of a conversation's token a raw text's takes, for every share of tokens with loss.

    Of the frozen layers both pass forwards and back, [d] to [o] and [o] to [d]; the scores of the vocabulary at the tokens with
    loss alone. Attention and adapters, the same on both sides, are left out.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from studio.models.bases import resolve_base

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(resolve_base(BASE, None).folder))
    head = model.get_output_embeddings().weight.numel()
    layers = model.num_parameters() - head  # the starter's embeddings are its head
    raw, conversations = (layers + share[side] * head for side in ("raw text", "conversations"))
    return float(raw / conversations)


def run_side(folder: Path, side: str, steps: int) -> dict[str, float]:
    """One side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--steps", str(steps)]
    environment = os.environ | {"PYTHONPATH": str(docs.ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> int:
    """Measure, print one table; exits 1 when raw text costs more per token with loss than conversations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6, help="steps of each side, the first two are left out")
    parser.add_argument("--repeats", type=int, default=1, help="how often each side runs")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    docs.add_option(parser)
    chosen = parser.parse_args()
    if chosen.side:
        train(chosen.folder, chosen.side, chosen.steps)
        return 0
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for _ in range(chosen.repeats):
            for side in SIDES:
                found[side].append(run_side(Path(folder), side, chosen.steps))
                print(side, found[side][-1], file=sys.stderr, flush=True)
    each = {side: statistics.median(1000 * one["seconds"] / one["tokens"] for one in runs) for side, runs in found.items()}
    share = {side: runs[0]["share"] for side, runs in found.items()}
    learnt = {side: each[side] / share[side] for side in SIDES}
    lines = ["| rows | tokens with loss | ms of processor per token | per token with loss |", "|---|---:|---:|---:|"]
    lines += [f"| {side} | {share[side]:.0%} | {each[side]:.2f} | {learnt[side]:.2f} |" for side in SIDES]
    ratio, ratio_learnt = (of["raw text"] / of["conversations"] for of in (each, learnt))
    lines += [
        "",
        f"Raw text takes {ratio:.2f} times as long per token and {ratio_learnt:.2f} times per token with loss: its scores of the "
        "vocabulary are computed at every token, a conversation's at its answers only. Counted by multiplications alone it would "
        f"take {products(share):.2f} times as long per token. Medians of "
        f"{chosen.repeats} repetition(s) of {chosen.steps - WARM_UP} steps, the sides in turn; one packed sequence of {LENGTH} "
        "tokens a step.",
    ]
    print("\n".join(lines), flush=True)
    if chosen.write_docs:
        docs.write_section("packed-text", "\n".join(lines))
    return 0 if ratio_learnt <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
