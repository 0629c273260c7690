"""The sides of the training benchmarks: the same task handed to the studio, to TRL and to LLaMA-Factory, each as its users do.

Every side is a command of its own that leaves one line per optimizer step in a file. The benchmark watches that file from
outside and notes when each line arrives, so that all sides are timed in the same way and none of them is touched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).resolve().parent
BATCH, LEARNING_RATE, WARMUP_STEPS = 8, 3e-4, 1
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"  # the starter template's default turn


@dataclass(frozen=True)
class Task:
    """What all sides train on: the base's folder, the rows in each side's form, a workspace that holds them as a Dataset."""

    base: Path
    rows: Path
    workspace: Path
    folder: Path
    steps: int


@dataclass(frozen=True)
class Side:
    """One way of training the task. ``dtype`` None leaves the number type to the tool."""

    tool: str
    dtype: str | None
    launch: Callable[[Task, str], tuple[list[str], str]]

    @property
    def name(self) -> str:
        """As it stands in tables."""
        return f"{self.tool}, {self.dtype or 'defaults'}"


@dataclass(frozen=True)
class Timed:
    """One run: seconds since the process started at which each step's line was there, losses, tokens where known, adapter."""

    at: list[float]
    losses: list[float]
    tokens: list[int]
    adapter: Path


def run_side(side: Side, task: Task, label: str, *, stop_after: int | None = None) -> Timed:
    """Run one side and time its steps.

    Args:
        label: unique among the runs of a benchmark.
        stop_after: end the process once so many steps were made.
    """
    command, pattern = side.launch(task, label)
    log = task.folder / f"{label}.log"
    environment = {key: value for key, value in os.environ.items() if key not in {"LD_PRELOAD", "STUDIO_ALLOCATOR"}}
    environment |= {"STUDIO_WORKSPACE": str(task.workspace), "HF_HUB_OFFLINE": "1", "DISABLE_VERSION_CHECK": "1"}
    with log.open("wb") as stream:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
        at: list[float] = []
        found: list[dict[str, float]] = []
        ended = False
        try:
            while not ended and (stop_after is None or len(at) < stop_after):
                ended = process.poll() is not None  # asked before reading, so that the last lines are not missed
                found = _lines(task.folder, pattern)
                at += [time.perf_counter() - started] * (len(found) - len(at))
                time.sleep(0.01)
        finally:
            process.kill()
            process.wait()
    if len(at) < (stop_after or task.steps):
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-15:]
        sys.exit(f"{side.name} ended with code {process.returncode} after {len(at)} of {task.steps} steps:\n" + "\n".join(tail))
    place = next(task.folder.glob(pattern)).parent
    adapter = place / "adapter" if (place / "adapter").is_dir() else place
    return Timed(at, [float(line["loss"]) for line in found], [int(line.get("tokens", 0)) for line in found], adapter)


def _lines(folder: Path, pattern: str) -> list[dict[str, float]]:
    """Whole lines with a training loss in the file of a running side; empty while there is none."""
    file = next(folder.glob(pattern), None)
    if file is None:
        return []
    whole = file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    return [value for value in map(json.loads, whole) if "loss" in value]


def studio(dtype: str | None) -> Side:
    """``studio train chat/lora``; without a type, what ``dtype: auto`` takes."""

    def launch(task: Task, label: str) -> tuple[list[str], str]:
        settings = [f"max_steps={task.steps}", "save_every=100000", f"batch_size={BATCH}", f"learning_rate={LEARNING_RATE}"]
        settings += [f"dtype={dtype}"] if dtype else []
        command = [sys.executable, "-m", "studio.cli.main", "train", "chat/lora", "--data", "rows", "--name", label]
        command += [part for setting in settings for part in ("--set", setting)]
        return command, f"{task.workspace.name}/runs/{label}/*/metrics.jsonl"

    return Side("studio", dtype, launch)


def trl(dtype: str | None) -> Side:
    """``peers/trl_sft.py``; without a type, TRL's defaults (gradient checkpointing among them)."""

    def launch(task: Task, label: str) -> tuple[list[str], str]:
        command = [sys.executable, str(PEERS / "trl_sft.py"), "--model", str(task.base), "--rows", str(task.rows)]
        command += ["--output", str(task.folder / label), "--steps", str(task.steps), "--batch-size", str(BATCH)]
        command += ["--learning-rate", str(LEARNING_RATE), "--warmup-steps", str(WARMUP_STEPS)]
        return command + (["--dtype", dtype] if dtype else []), f"{label}/log.jsonl"

    return Side("TRL", dtype, launch)


def llamafactory(environment: Path, dtype: str | None) -> Side:
    """``llamafactory-cli train``; without a type, as its LoRA examples are (bfloat16, gradient checkpointing)."""

    def launch(task: Task, label: str) -> tuple[list[str], str]:
        data = task.folder / "llamafactory"
        if not data.is_dir():
            _write_llamafactory_data(task.rows, data)
        settings = {
            "model_name_or_path": str(task.base), "stage": "sft", "do_train": True, "finetuning_type": "lora",
            "lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.0, "lora_target": "all",
            "dataset": "rows", "dataset_dir": str(data), "template": "smollm2", "cutoff_len": 1024,
            "output_dir": str(task.folder / label), "report_to": "none", "logging_steps": 1, "save_strategy": "no",
            "per_device_train_batch_size": BATCH, "gradient_accumulation_steps": 1, "learning_rate": LEARNING_RATE,
            "max_steps": task.steps, "lr_scheduler_type": "cosine", "warmup_steps": WARMUP_STEPS, "seed": 0,
            "bf16": dtype != "float32", "use_cpu": True,
        }  # fmt: skip
        if dtype:
            settings["disable_gradient_checkpointing"] = True
        file = task.folder / f"{label}.yaml"
        file.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return [str(environment / "bin" / "llamafactory-cli"), "train", str(file)], f"{label}/trainer_log.jsonl"

    return Side("LLaMA-Factory", dtype, launch)


def _write_llamafactory_data(rows: Path, folder: Path) -> None:
    """The rows as its ``messages`` format wants them, with the default system turn written out.

    Its template of this model ends that turn with a full stop which the model's own does not have.
    """
    folder.mkdir()
    lines = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    system = {"role": "system", "content": SYSTEM}
    conversations = [{"messages": [system, *line["prompt"], *line["completion"]]} for line in lines]
    (folder / "rows.json").write_text(json.dumps(conversations), encoding="utf-8")
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    described = {"file_name": "rows.json", "formatting": "sharegpt", "columns": {"messages": "messages"}}
    information = {"rows": {**described, "tags": {**tags, "system_tag": "system"}}}
    (folder / "dataset_info.json").write_text(json.dumps(information), encoding="utf-8")


def make_task(folder: Path, *, rows: int, steps: int) -> Task:
    """Build the starter corpus, take the first rows of its training split, and write them down for every side."""
    from studio.data.chat.rows import read_split
    from studio.models.bases import resolve_base

    workspace = folder / "workspace"
    build = [sys.executable, "-m", "studio.cli.main", "data", "build", "--workspace", str(workspace)]
    subprocess.run([*build, "chat/construction-faq-en"], check=True, capture_output=True, cwd=ROOT)
    (record,) = (workspace / "datasets" / "construction-faq-en").glob("*/dataset.json")
    chosen = read_split(record.parent, "train")[:rows]
    if len(chosen) < rows:
        sys.exit(f"the corpus has {len(chosen)} training rows, fewer than {rows}.")
    messages = folder / "messages.jsonl"
    messages.write_text("".join(json.dumps({"messages": row.messages}) + "\n" for row in chosen), encoding="utf-8")
    pairs = folder / "rows.jsonl"
    halves = [{"prompt": row.messages[:-1], "completion": row.messages[-1:]} for row in chosen]
    pairs.write_text("".join(json.dumps(half) + "\n" for half in halves), encoding="utf-8")
    recipe = folder / "rows.yaml"
    source = {"name": "rows", "type": "local", "path": str(messages), "licence": "CC-BY-4.0"}
    whole = {"kind": "chat", "sources": [source], "split": {"validation": 0, "test": 0}}
    recipe.write_text(yaml.safe_dump(whole), encoding="utf-8")
    subprocess.run([*build, str(recipe)], check=True, capture_output=True, cwd=ROOT)
    return Task(resolve_base("smollm2-135m-instruct").folder, pairs, workspace, folder, steps)
