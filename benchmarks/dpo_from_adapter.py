"""Peak memory and disk of DPO after a LoRA run: from its adapter, and from a merged copy as it is done without the studio.

    python benchmarks/dpo_from_adapter.py [--layers 22] [--steps 3] [--only NAME] [--write-docs]

A Llama of random weights (22 layers of 2,048, the shape of TinyLlama-1.1B: 1.1 thousand million numbers) gets a LoRA run and then
DPO, each road in processes of its own; the figure is the largest resident size among them, as the system counts it. Prints a
markdown table; exits 1 when a training from the adapter takes more than 60% of one on a merged copy with a copy as reference.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import docs

ALLOWED = 0.6
PAIRS, ROWS = 16, 2
KINDS = ("float32", "nf4")
STUDIO = [sys.executable, "-m", "studio.cli.main"]
RECIPE = """kind: chat
sources:
  - {{type: local, path: {name}.jsonl, {more}licence: own data}}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", choices=KINDS, help="one of the two bases; the other is said to be not measured")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where to work and keep what was measured; a second call there goes on")
    docs.add_option(parser)
    chosen = parser.parse_args()
    if chosen.role:
        ROLES[chosen.role](chosen.folder, chosen.steps, chosen.only or "float32")
        return 0
    with tempfile.TemporaryDirectory() if chosen.folder is None else nullcontext(str(chosen.folder.absolute())) as place:
        Path(place).mkdir(parents=True, exist_ok=True)
        lines, worst = measure(Path(place), chosen.layers, chosen.steps, chosen.only)
    print("\n".join(lines))
    if chosen.write_docs:
        docs.write_section("dpo-from-adapter", "\n".join(lines))
    return 1 if worst > ALLOWED else 0


def measure(folder: Path, layers: int, steps: int, only: str | None) -> tuple[list[str], float]:
    """The table, and the worst share of the road from an adapter beside that with a reference copy."""
    # In a process of its own: a child is counted with the largest size that its parent had when it was started.
    peak = partial(measured, folder)
    peak("base", role("base", folder, layers))
    numbers = int((folder / "numbers").read_text())
    make_data(folder)
    libraries = peak("imports", role("imports", folder, steps))
    sft = [*STUDIO, "train", "chat/lora", "--data", "talk", "--model", str(folder / "base"), "--name", "sft"]
    peak("sft", [*sft, *settings("max_steps=2", "dtype=float32", f"batch_size={ROWS}", "max_length=128")])
    export = peak("export", [*STUDIO, "export", "sft", "--to", "merged", "--out", str(folder / "merged")])
    merge = peak("merge", role("merge", folder, steps))
    lines = [
        f"{numbers / 1e6:.0f} million numbers, LoRA rank 16 on all linear layers, {ROWS} pairs a step, {steps} steps. "
        f"Interpreter and libraries alone: {libraries / 1e9:.2f} GB.\n",
        "| base | road | largest process | its training | merged copy on disk | from the adapter takes | without the libraries |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    worst = 0.0
    for kind in KINDS if only is None else [only]:
        here = peak(f"{kind} adapter", studio_dpo("sft", kind, steps))
        ours = peak(f"{kind} merged", studio_dpo(str(folder / "merged"), kind, steps))
        alone = peak(f"{kind} trl-alone", role("trl-alone", folder, steps, kind))
        copied = peak(f"{kind} trl-copy", role("trl-copy", folder, steps, kind))
        roads = [
            ("studio, `--model RUN`", here, here, None),
            ("studio, exported as merged first", max(export, ours), ours, folder / "merged"),
            ("TRL, merged first, a copy as reference", max(merge, copied), copied, folder / "trl"),
            ("TRL, merged first, adapter off as reference", max(merge, alone), alone, folder / "trl"),
        ]
        for name, largest, training, copy in roads:
            size = f"{sum(file.stat().st_size for file in copy.glob('*.safetensors')) / 1e9:.2f} GB" if copy else "none"
            shares = [here / largest, (here - libraries) / (largest - libraries)]
            told = " | ".join(f"{share:.0%}" if copy else "" for share in shares)
            lines.append(f"| {kind} | {name} | {largest / 1e9:.2f} GB | {training / 1e9:.2f} GB | {size} | {told} |")
        worst = max(worst, here / roads[2][1])
    verdict = "met" if worst <= ALLOWED else "missed"
    lines.append(f"\nTarget: at most {ALLOWED:.0%} of the road with a copy as reference; {verdict} (largest share {worst:.0%}).")
    if only is not None:
        lines.append(f"Measured with `--only {only}`, so nothing is known here of the other number type.")
    return lines, worst


def make_base(folder: Path, layers: int, _kind: str) -> None:
    """Random weights with the starter's tokenizer, and how many numbers they are."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from studio.models.starters import ensure_starter

    tokenizer = AutoTokenizer.from_pretrained(ensure_starter("smollm2-135m-instruct")[0])
    torch.manual_seed(0)
    # https://huggingface.co/TinyLlama/TinyLlama-1.1B-Chat-v1.0/blob/main/config.json
    sizes = {"hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 32, "num_key_value_heads": 4}
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LlamaConfig(vocab_size=len(tokenizer), num_hidden_layers=layers, tie_word_embeddings=True, **sizes, **ends)
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    (folder / "numbers").write_text(str(model.num_parameters()))


def make_data(folder: Path) -> None:
    """Pairs and conversations, built into Datasets of the workspace in the folder."""
    pairs = [
        {
            "prompt": f"How wide must door {number} be?",
            "chosen": f"At least {80 + number} centimetres.",
            "rejected": "I do not know.",
        }
        for number in range(PAIRS)
    ]
    talk = [{"question": row["prompt"], "answer": row["chosen"]} for row in pairs]
    # For TRL as talks, so that its chat template makes the same tokens of them as the studio's.
    talks = [
        {name: [{"role": "user" if name == "prompt" else "assistant", "content": row[name]}] for name in row} for row in pairs
    ]
    (folder / "talks.jsonl").write_text("\n".join(map(json.dumps, talks)) + "\n", encoding="utf-8")
    for name, rows, more in (("pairs", pairs, "format: preference, "), ("talk", talk, "")):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
        (folder / f"{name}.yaml").write_text(RECIPE.format(name=name, more=more), encoding="utf-8")
        run([*STUDIO, "data", "build", str(folder / f"{name}.yaml")], folder)


def settings(*pairs: str) -> list[str]:
    """``--set`` for each."""
    return [part for pair in pairs for part in ("--set", pair)]


def studio_dpo(model: str, kind: str, steps: int) -> list[str]:
    """The studio's command."""
    quantised = [f"quantization={kind}"] if kind != "float32" else []
    chosen = settings(f"max_steps={steps}", "dtype=float32", f"batch_size={ROWS}", "max_length=128", *quantised)
    return [*STUDIO, "train", "chat/dpo", "--data", "pairs", "--model", model, *chosen]


def role(name: str, folder: Path, steps: int, kind: str = "float32") -> list[str]:
    """This script in another part."""
    return [sys.executable, __file__, "--role", name, "--folder", str(folder), "--steps", str(steps), "--only", kind]


def measured(folder: Path, name: str, command: list[str]) -> int:
    """The largest resident size of a command in bytes, kept in the folder by a name: what was measured there is not run again."""
    kept = folder / "peaks.json"
    peaks: dict[str, int] = json.loads(kept.read_text()) if kept.is_file() else {}
    if name not in peaks:
        peaks[name] = run(command, folder)
        kept.write_text(json.dumps(peaks, indent=2))
    return peaks[name]


def run(command: list[str], workspace: Path | None = None) -> int:
    """Run a command to its end; returns the largest resident size of its process in bytes.

    Raises:
        SystemExit: it failed; its last words are shown.
    """
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if workspace is not None:
        environment["STUDIO_WORKSPACE"] = str(workspace / "workspace")
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{output.read().decode()[-2000:]}")
    print(f"{usage.ru_maxrss / 1e6:.2f} GB  {' '.join(command[1:6])}", file=sys.stderr, flush=True)
    return usage.ru_maxrss * 1024


def imports(_folder: Path, _steps: int, _kind: str) -> None:
    """What every side begins with."""
    import peft  # noqa: F401
    import trl
    from trl import DPOTrainer, SFTTrainer  # noqa: F401

    assert trl


def merge(folder: Path, _steps: int, _kind: str) -> None:
    """The merged copy by PEFT alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (adapter,) = (folder / "workspace" / "runs" / "sft").glob("*/adapter")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "base"), adapter).merge_and_unload()
    shutil.rmtree(folder / "trl", ignore_errors=True)
    model.save_pretrained(folder / "trl")
    AutoTokenizer.from_pretrained(adapter).save_pretrained(folder / "trl")


def trl_dpo(folder: Path, steps: int, kind: str, *, copy: bool) -> None:
    """TRL's DPOTrainer with LoRA on the merged copy."""
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import DPOConfig, DPOTrainer

    bits = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    packed = BitsAndBytesConfig(**bits, bnb_4bit_compute_dtype=torch.float32) if kind == "nf4" else None

    def load() -> torch.nn.Module:
        return AutoModelForCausalLM.from_pretrained(folder / "trl", dtype=torch.float32, quantization_config=packed)

    DPOTrainer(
        model=load(),
        ref_model=load() if copy else None,
        args=DPOConfig(
            str(folder / "trl-out"), max_steps=steps, per_device_train_batch_size=ROWS, use_cpu=True, bf16=False,
            gradient_checkpointing=False, save_strategy="no", report_to="none", learning_rate=3e-5, max_length=128,
        ),
        train_dataset=load_dataset("json", data_files=str(folder / "talks.jsonl"), split="train"),
        processing_class=AutoTokenizer.from_pretrained(folder / "trl"),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    ).train()  # fmt: skip


ROLES: dict[str, Callable[[Path, int, str], None]] = {
    "base": make_base,
    "imports": imports,
    "merge": merge,
    "trl-alone": lambda folder, steps, kind: trl_dpo(folder, steps, kind, copy=False),
    "trl-copy": lambda folder, steps, kind: trl_dpo(folder, steps, kind, copy=True),
}

if __name__ == "__main__":
    sys.exit(main())
