"""What the memory and the disk of a planned training are made of, in bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch

from studio.schema.adapter import ChatAdapter
from studio.train.chat.plan_model import Skeleton
from studio.train.chat.plan_trace import Trace

# Tokenizer files, scheduler, random state and training arguments beside the weights of a checkpoint or a finished folder.
_SMALL_FILES = 6_000_000
# Share of what is alive in a pass that lies in holes glibc's allocator leaves between tensors, and in what no dispatcher sees
# (thread buffers of matrix products); benchmarks/memory.py measures both together.
_CPU_SLACK = 0.3
# With checkpointing glibc keeps a state between every two layers' temporaries and cannot join the holes they leave.
_CPU_HOLES = 0.4
_CUBLAS_WORKSPACE = 33_000_000

PARTS = (
    "runtime", "weights", "file", "adapter", "optimizer", "gradients", "activations", "logits", "working", "rollouts", "teacher",
)  # fmt: skip
"""Kinds of memory; ``rollouts`` are the keys and values of answers that are written, ``teacher`` what a model that is followed
takes beyond what the training itself does."""


def disk_bytes(adapter: ChatAdapter, skeleton: Skeleton, optimizer: int, teacher: int = 0) -> dict[str, int]:
    """Bytes that a run keeps: checkpoints (and one more while it is written), the final weights, and their sum.

    ``teacher``: what is kept of a teacher's words beside the checkpoints.
    """
    beside = skeleton.trained if adapter.optimizer == "schedule_free_adamw" else 0  # the average, and where training stands
    one = skeleton.trained + beside + optimizer + _SMALL_FILES
    doubled = 2 if adapter.method == "lora" and adapter.lora.moves_base else 1
    disk = {
        "one checkpoint": one,
        "checkpoints": one * (adapter.keep_checkpoints + 1) + (skeleton.trained if doubled == 2 else 0),
        "final": skeleton.trained * doubled
        + skeleton.start
        + (skeleton.weights if adapter.method == "full" else 0)
        + _SMALL_FILES,
    }
    disk |= {"teacher": teacher} if teacher else {}
    return disk | {"total": disk["checkpoints"] + disk["final"] + teacher}


def parts_at_peak(
    skeleton: Skeleton, trace: Trace, optimizer: int, runtime: int, device: str, processes: int, *, accumulated: bool
) -> dict[str, int]:
    """Bytes by kind at the fullest moment: in the middle of a pass, or in the optimizer step, whichever is fuller."""
    passing = {kind: trace.at_peak.get(kind, 0) for kind in ("gradients", "activations", "logits", "working")}
    if accumulated:
        passing["gradients"] += skeleton.trained
    # In the optimizer step gradients are whole and activations gone; a fused or foreach step on a GPU works on copies of all
    # numbers that train, the plain one on a CPU on those of one tensor at a time.
    largest = max((math.prod(shape) for shape in skeleton.trained_shapes), default=0) * 4
    stepping = {"gradients": skeleton.trained, "activations": 0, "logits": 0}
    stepping["working"] = skeleton.trained if device == "cuda" else 2 * largest
    most = max(passing, stepping, key=lambda kinds: sum(kinds.values()))
    if processes > 1:
        most["gradients"] += skeleton.trained  # the buckets in which DDP sends them
    slack = _CPU_SLACK + (_CPU_HOLES if skeleton.causal_lm.is_gradient_checkpointing else 0.0)
    most["working"] += round(slack * sum(most.values())) if device == "cpu" else _CUBLAS_WORKSPACE
    full = skeleton.weights == 0 or not hasattr(skeleton.model, "peft_config")
    held = {
        "runtime": runtime,
        "weights": skeleton.weights + (skeleton.trained if full else 0),
        "file": 0,
        "adapter": 0 if full else skeleton.trained,
        "optimizer": optimizer,
        "teacher": 0,
    }
    return {part: {**held, **most, "rollouts": 0}[part] for part in PARTS}


def with_rollouts(parts: dict[str, int], writing: int) -> dict[str, int]:
    """The parts of the fullest moment where a step also writes answers, at another time than its passes.

    Args:
        writing: bytes that it takes beside what is held all the time.
    """
    passing = ("gradients", "activations", "logits", "working")
    if writing <= sum(parts[part] for part in passing):
        return parts
    return {**parts, **dict.fromkeys(passing, 0), "rollouts": writing}


def sizes_of(skeleton: Skeleton, trace: Trace, optimizer: int) -> dict[str, int]:
    """Each kind on its own, at its largest."""
    full = not hasattr(skeleton.model, "peft_config")
    return {
        "weights": skeleton.weights + (skeleton.trained if full else 0),
        "adapter": 0 if full else skeleton.trained,
        "optimizer": optimizer,
        "gradients": skeleton.trained,
        "activations": trace.activations,
        "logits": trace.logits,
    }


def mapped_file(skeleton: Skeleton, folder: Path, adapter: ChatAdapter, device: str, dtype: str, *, others: int) -> int:
    """Bytes of the weights' file that are mapped at the fullest moment on a CPU; the system takes them back when short.

    While weights are read, their whole file is mapped beside the weights in the type of the arithmetic, which come before any
    quantised ones; with small batches no later moment is fuller. Of a quantised base what is not quantised (embeddings) is used
    in place where its number type needs no change, which keeps the whole file mapped.

    Args:
        others: bytes of all other parts but the runtime at the fullest moment of the training itself.
    """
    if device != "cpu":
        return 0
    file = sum(weights.stat().st_size for weights in folder.glob("*.safetensors"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    stored = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    loaded = torch.float32 if adapter.method == "full" else getattr(torch, dtype)
    reading = file + file * loaded.itemsize // getattr(torch, stored, torch.bfloat16).itemsize - others
    in_use = 0
    if adapter.quantization != "none" and stored == dtype:
        in_place = sum(size.numel() * size.element_size() for size in skeleton.frozen if size.is_floating_point())
        in_use = file - in_place
    return max(0, in_use, reading)
