"""Every optimizer and every adapter on the starter: what it trains, what it remembers, and the loss after the same few steps.

    python benchmarks/optimizers.py [--steps 4] [--minutes 60] [--json] [--write-docs]

Short rows of the starter corpus (at most 48 tokens), 4 a step, float32; each side in a process of its own, so that one leaves
nothing behind for the next. Optimizers train every weight, adapters are trained by AdamW. The loss is that of 8 other rows. So
few steps say that a side learns and what it costs, not which is best; learning rates are usual ones, not searched for.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import docs

ROWS, HELD_OUT, BATCH, TOKENS = 16, 8, 4, 48
FULL: dict[str, Any] = {"method": "full", "learning_rate": 2e-5}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw_torch_fused": {},
    "adamw_8bit": {},
    "ademamix": {},
    "ademamix_8bit": {},
    "lion_32bit": {"learning_rate": 4e-6},
    "lion_8bit": {"learning_rate": 4e-6},
    "adafactor": {},
    "sgd": {"learning_rate": 1e-2},
    "stable_adamw": {},
    "schedule_free_adamw": {"schedule": "constant_with_warmup"},
    "prodigy": {"learning_rate": 1.0},
    "muon": {},
    "galore_adamw": {"learning_rate": 1e-4},
    "apollo_adamw": {},
    "apollo_mini": {},
}
ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {},
    "lora, dora": {"lora": {"dora": True}},
    "lora, pissa": {"lora": {"init": "pissa"}, "learning_rate": 1e-4},
    "lora, eva": {"lora": {"init": "eva", "init_rows": 32}},
    "lora, corda": {"lora": {"init": "corda", "init_rows": 32}, "learning_rate": 1e-4},
    "oft": {"method": "oft", "learning_rate": 1e-3},
    "loha": {"method": "loha", "learning_rate": 1e-3},
    "lokr": {"method": "lokr", "learning_rate": 1e-3},
    "vera": {"method": "vera", "learning_rate": 1e-2},
}


# Trained first, where time is short.
FIRST = {
    "lora",
    "lora, dora",
    "oft",
    "loha",
    "lokr",
    "vera",
    "muon",
    "galore_adamw",
    "apollo_adamw",
    "prodigy",
    "schedule_free_adamw",
}


def main() -> int:
    """Run every side and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=60, help="no further side is trained after so long; the rest is planned")
    parser.add_argument("--workspace", type=Path, help="where the corpus is built and kept; None is a folder for the moment")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()
    sides = {name: {**FULL, "optimizer": name, **given} for name, given in OPTIMIZERS.items()}
    sides |= {name: {"learning_rate": 3e-4, "optimizer": "adamw_torch", **given} for name, given in ADAPTERS.items()}
    found: dict[str, dict[str, Any]] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="optimizers-benchmark-") as folder:
        rows = short_rows(options.workspace or Path(folder) / "workspace") if options.minutes else []
        import_all()
        for name in sorted(sides, key=lambda name: name not in FIRST):
            with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
                found[name] = pool.submit(planned, sides[name]).result()
                if time.monotonic() - started < 60 * options.minutes:
                    found[name] |= pool.submit(measure, sides[name], rows, options.steps).result()
            print(name, found[name], file=sys.stderr, flush=True)
    found = {name: found[name] for name in sides}
    text = "\n".join(tables(found, options.steps))
    print(json.dumps(found, indent=2) if options.json else text)
    if options.write_docs:
        docs.write_section("optimizers", text)
    return 0


def import_all() -> None:
    """Import what every side needs, once; their processes are copies of this one."""
    import studio.adapters.chat.methods
    import studio.train.chat.plan_model
    import studio.train.chat.trainer  # noqa: F401


def tables(found: dict[str, Any], steps: int) -> list[str]:
    """One table of optimizers, one of adapters; ``-`` where a side was planned only."""
    lines = ["| optimizer, every weight | state, planned | state, measured | bytes a parameter | loss before | loss after |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name, each in found.items():
        if name in OPTIMIZERS:
            measured = f"{each['state'] / 1e6:.1f} MB" if "state" in each else "-"
            share = each["planned"] / each["planned_trained"]
            lines.append(f"| {name} | {each['planned'] / 1e6:.1f} MB | {measured} | {share:.2f} | {losses(each)} |")
    lines += ["", "| adapter, AdamW | trained parameters, planned | measured | loss before | loss after |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, each in found.items():
        if name in ADAPTERS:
            measured = f"{each['trained']:,}" if "trained" in each else "-"
            lines.append(f"| {name} | {each['planned_trained']:,} | {measured} | {losses(each)} |")
    lines.append(
        f"\n{steps} steps of {BATCH} rows of at most {TOKENS} tokens, float32; loss in nats per token over {HELD_OUT} others. "
        "A dash: planned, not trained here."
    )
    return lines


def losses(each: dict[str, Any]) -> str:
    """Two cells."""
    return f"{each['before']:.3f} | {each['after']:.3f}" if "after" in each else "- | -"


def adapter_of(given: dict[str, Any]) -> Any:
    """A side as a preset."""
    from studio.schema.adapter import ChatAdapter

    steady = {"kind": "chat", "dtype": "float32", "batch_size": BATCH, "warmup": 0.0, "eval_every": 10_000}
    return ChatAdapter.model_validate({**steady, **given})


def planned(given: dict[str, Any]) -> dict[str, Any]:
    """Bytes of state and parameters that train, without a weight."""
    import torch

    from studio.models.bases import resolve_base
    from studio.train.chat.optimizers.table import state_bytes
    from studio.train.chat.plan_model import build_skeleton

    adapter = adapter_of(given)
    skeleton = build_skeleton(adapter, resolve_base(adapter.model).folder, dtype=torch.float32)
    return {"planned": state_bytes(adapter, skeleton.model), "planned_trained": skeleton.trained_parameters}


def short_rows(workspace: Path) -> list[list[dict[str, str]]]:
    """Conversations of the starter corpus, the shortest that a step is quick with."""
    from studio.data.chat.rows import read_split

    build = [sys.executable, "-m", "studio.cli.main", "data", "build", "chat/construction-faq-en"]
    subprocess.run([*build, "--workspace", str(workspace)], check=True, capture_output=True, cwd=docs.ROOT)
    records = (workspace / "datasets" / "construction-faq-en").glob("*/dataset.json")
    record = max(records, key=lambda path: path.stat().st_mtime)
    rows = sorted(read_split(record.parent, "train"), key=lambda row: sum(len(turn["content"]) for turn in row.messages))
    return [row.messages for row in rows[: ROWS + HELD_OUT]]


def measure(given: dict[str, Any], conversations: list[list[dict[str, str]]], steps: int) -> dict[str, Any]:
    """One side: train a few steps with the studio's own trainer."""
    import torch

    from studio.adapters.chat.data_driven import FROM_ROWS, Sample
    from studio.adapters.chat.methods import attach_adapter
    from studio.models.bases import resolve_base
    from studio.models.chat.encoding import encode_conversation
    from studio.models.chat.loading import load_causal_lm, load_tokenizer
    from studio.models.chat.templates import template_of
    from studio.train.chat.optimizers.table import own_optimizer
    from studio.train.chat.settings import trainer_settings
    from studio.train.chat.trainer import ChatTrainer

    adapter = adapter_of(given)
    cpu, base = torch.device("cpu"), resolve_base(adapter.model)
    tokenizer = load_tokenizer(base)
    template = template_of(tokenizer, adapter, base.name)
    rows = [encode_conversation(tokenizer, template, messages, max_length=TOKENS) for messages in conversations]
    rows = [rows[place] for place in torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()]
    torch.manual_seed(adapter.seed)
    model: Any = load_causal_lm(base, dtype=torch.float32, device=cpu)
    if adapter.method == "full":
        model.requires_grad_(True)
    else:
        sample = Sample.of(rows[:ROWS], adapter.lora.init_rows, adapter.seed) if adapter.lora.init in FROM_ROWS else None
        model = attach_adapter(model, adapter, sample=sample)
    with tempfile.TemporaryDirectory() as folder:
        trainer = ChatTrainer(
            model=model.train(),
            args=trainer_settings(
                adapter,
                Path(folder),
                device=cpu,
                dtype=torch.float32,
                steps=steps,
                steps_per_epoch=10_000,
                processes=1,
                validation=False,
            ),
            tokenizer=tokenizer,
            rows=rows[:ROWS],
            sequences=[[place] for place in range(ROWS)],
            windows=[[(step * BATCH + place) % ROWS for place in range(BATCH)] for step in range(steps)],
            validation=rows[ROWS:],
            packed=False,
            keep_checkpoints=1,
            loraplus_ratio=None,
            own_optimizer=own_optimizer(adapter),
            callbacks=[],
        )
        trainer.args.save_strategy = "no"
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        after = trainer.evaluate()["eval_loss"]
    return {
        "state": held(trainer.optimizer),
        "trained": sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad),
        "before": before,
        "after": after,
    }


def held(optimizer: Any) -> int:
    """Bytes of an optimizer's state, each storage once; tables of bitsandbytes and single numbers left out."""
    tensors = {
        value.untyped_storage().data_ptr(): value
        for state in optimizer.state.values()
        for name, value in state.items()
        if hasattr(value, "untyped_storage") and value.numel() > 1 and not name.startswith("qmap") and name != "y"
    }
    return sum(value.numel() * value.element_size() for value in tensors.values())


if __name__ == "__main__":
    sys.exit(main())
