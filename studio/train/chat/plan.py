"""The plan: what a preset will take of memory, disk and steps, before anything is allocated.

Memory of one device = runtime + weights + adapter + optimizer + what a forward and backward pass adds at its fullest
(:mod:`studio.train.chat.plan_trace`). The pass is that of the micro batch which takes most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from studio.adapters.chat.layers import Covered, adapted_layers, coverage
from studio.adapters.chat.reference import start_rank
from studio.adapters.chat.vllm import expert_notes, serving_notes, stock_vllm_verdict
from studio.core.errors import GateNotMetError
from studio.schema.adapter import ChatAdapter
from studio.train.chat.objectives.table import objective
from studio.train.chat.optimizers.table import state_bytes
from studio.train.chat.packing import pack_rows
from studio.train.chat.plan_model import Skeleton, build_skeleton, find_config
from studio.train.chat.plan_parts import PARTS, disk_bytes, mapped_file, parts_at_peak, sizes_of, with_rollouts
from studio.train.chat.plan_rollouts import rollout_bytes, writer_bytes
from studio.train.chat.plan_trace import BatchShape, trace_step
from studio.train.chat.settings import split_batch
from studio.train.plan_baseline import baseline_bytes

DeviceType = Literal["cpu", "cuda"]

_TRAINER = "studio.train.chat.run"

REMEDY = {
    "activations": "set micro_batch_size to half, gradient_checkpointing=true, or lower max_length",
    "logits": "set micro_batch_size to half, or lower max_length",
    "working": "set micro_batch_size to half, or lower max_length",
    "weights": "set quantization=nf4, or choose a smaller model",
    "adapter": "lower lora.rank, or use method=lora instead of full",
    "optimizer": "use method=lora, or optimizer=adamw_8bit",
    "gradients": "use method=lora, or a smaller model",
    "teacher": "set distill.teacher_quantization=nf4, or follow a smaller teacher",
    "runtime": "use a machine with more memory",
    "rollouts": "lower grpo.rollout_batch_size (the answers stay the same), grpo.max_new_tokens or grpo.vllm.memory",
}


@dataclass(frozen=True)
class Plan:
    """What a training will take. Sizes are bytes, per device.

    parts: bytes by kind at the fullest moment; they add up to ``peak``.
    sizes: each kind on its own, whenever it is largest.
    micro_batch, accumulation: rows per forward pass and process, forward passes per optimizer step.
    longest: the shape of the micro batch that takes most.
    disk: bytes by kind that the run will keep, and ``total``.
    steps, steps_per_epoch, tokens_per_epoch: None without a Dataset.
    memory, free_disk: what there is, None where unknown.
    coverage: what trains, by kind of layer.
    vllm: reasons why a stock vLLM will not load the result; empty means that it does.
    parsers: vLLM's parsers of ``tools`` and ``thoughts`` for the chat template, or why there is none; empty without a Dataset.
    mask: the mask report of the training rows; empty without a Dataset.
    """

    device: str
    processes: int
    dtype: str
    parts: dict[str, int]
    sizes: dict[str, int]
    peak: int
    trained_parameters: int
    micro_batch: int
    accumulation: int
    longest: BatchShape
    disk: dict[str, int]
    steps: int | None
    steps_per_epoch: int | None
    tokens_per_epoch: int | None
    memory: int | None
    free_disk: int | None
    coverage: list[Covered]
    vllm: list[str]
    serving: list[str]
    assumptions: list[str] = field(default_factory=list)
    parsers: dict[str, str] = field(default_factory=dict)
    mask: dict[str, Any] = field(default_factory=dict)

    @property
    def needed(self) -> int:
        """Bytes needed at once of one memory: of a GPU, or of the machine by all processes on its CPU.

        Pages of a mapped file are not among them: the system takes them back when it is short.
        """
        return (self.peak - self.parts["file"]) * (self.processes if self.shared else 1)

    @property
    def shared(self) -> bool:
        """True when several processes share one memory."""
        return self.device == "cpu" and self.processes > 1

    @property
    def fits(self) -> bool:
        """True when memory and disk are enough, as far as they are known."""
        enough = self.memory is None or self.needed <= self.memory
        return enough and (self.free_disk is None or self.disk["total"] <= self.free_disk)


def plan(
    adapter: ChatAdapter,
    *,
    config_folder: Path | None = None,
    lengths: Sequence[int] | None = None,
    supervised: Sequence[int] | None = None,
    device: DeviceType = "cpu",
    processes: int = 1,
    memory: int | None = None,
    free_disk: int | None = None,
    start: Path | None = None,
) -> Plan:
    """Work out what a preset takes; nothing of the model's size is allocated.

    Args:
        config_folder: folder with the base's ``config.json``; None finds it by the preset's ``model``.
        lengths: tokens of each training row after any cut; None assumes that all have ``max_length``.
        supervised: targets in each of those rows; None assumes that half of the tokens carry loss.
        device: kind of device; it need not be in this machine.
        processes: one per GPU, or all on this CPU.
        memory: bytes of one GPU, or of the machine; None means not known.
        free_disk: bytes free where runs are written; None means not known.
        start: adapter folder of a run that is trained on.
    Raises:
        UserError: the base, a layer name or the batch is wrong.
    """
    import torch

    from studio.models.device import pick_dtype

    folder = config_folder or find_config(adapter.model, adapter.revision)
    micro, accumulation = split_batch(adapter, processes)
    guessed = device == "cuda" and adapter.dtype == "auto" and not torch.cuda.is_available()
    dtype = torch.bfloat16 if guessed else pick_dtype(adapter.dtype, torch.device(device))
    skeleton = build_skeleton(adapter, folder, dtype=dtype, start=start)
    covered = coverage(skeleton.model)
    shapes = batch_shapes(adapter, micro, accumulation, lengths=lengths, supervised=supervised)
    shape = heaviest(shapes, skeleton)
    aim = objective(adapter.objective)
    trace = trace_step(skeleton.copy(), shape, device_type=device, accumulated=accumulation > 1, loss=aim.loss(adapter))
    optimizer = state_bytes(adapter, skeleton.model)
    runtime = baseline_bytes(device, _TRAINER)
    parts = parts_at_peak(skeleton, trace, optimizer, runtime, device, processes, accumulated=accumulation > 1)
    writing = 0
    if adapter.objective == "grpo" and adapter.grpo.writer == "vllm":
        parts["rollouts"] = writing = writer_bytes(adapter, skeleton, dtype, device, memory)
    elif adapter.objective == "grpo":
        writing = rollout_bytes(adapter, skeleton, lengths, dtype, processes)
        parts = with_rollouts(parts, writing)
    kind, others = str(dtype).removeprefix("torch."), sum(parts.values()) - runtime
    beside = aim.beside(adapter, dtype, shape, supervised)
    parts["teacher"] = max(0, beside.at_once - others) if beside.apart else beside.at_once
    parts["file"] = mapped_file(skeleton, folder, adapter, device, kind, others=others)
    steps, per_epoch, tokens = _steps(adapter, lengths)
    below = start_rank(skeleton.model)
    layers = adapted_layers(skeleton.model)
    verdict = stock_vllm_verdict(adapter, type(skeleton.causal_lm).__name__, covered, layers, start_rank=below)
    return Plan(
        device=device,
        processes=processes,
        dtype=kind,
        parts=parts,
        sizes={**sizes_of(skeleton, trace, optimizer), "runtime": parts["runtime"], "rollouts": writing},
        peak=sum(parts.values()),
        trained_parameters=skeleton.trained_parameters,
        micro_batch=micro,
        accumulation=accumulation,
        longest=shape,
        disk=disk_bytes(adapter, skeleton, optimizer, beside.disk),
        steps=steps,
        steps_per_epoch=per_epoch,
        tokens_per_epoch=tokens,
        memory=memory,
        free_disk=free_disk,
        coverage=covered,
        vllm=verdict,
        serving=[*serving_notes(adapter, verdict, start_rank=below), *expert_notes(adapter, covered)],
        assumptions=[*_assumptions(adapter, lengths, supervised, device), *_left_out(adapter), *beside.assumed],
    )


def check_fits(plan: Plan) -> None:
    """Refuse a plan that cannot be carried out.

    Raises:
        GateNotMetError: memory or disk is too small; names the biggest part and what to change.
    """
    if plan.memory is not None and plan.needed > plan.memory:
        counted = [part for part in PARTS if part != "file"]
        biggest = max(counted, key=lambda part: plan.parts[part])
        each = f" ({plan.processes} processes of {_giga(plan.needed // plan.processes)})" if plan.shared else ""
        changeable = max((part for part in counted if part != "runtime"), key=lambda part: plan.parts[part])
        raise GateNotMetError(
            f"this training needs {_giga(plan.needed)}{each} and the {plan.device} has {_giga(plan.memory)}; the biggest part is "
            f"{biggest} with {_giga(plan.parts[biggest])}. To make it fit, {REMEDY[changeable]}; 'studio plan --sweep' finds the "
            "largest micro batch that fits."
        )
    if plan.free_disk is not None and plan.disk["total"] > plan.free_disk:
        raise GateNotMetError(
            f"this training writes {_giga(plan.disk['total'])} and the disk has {_giga(plan.free_disk)} free; the biggest part "
            f"is checkpoints with {_giga(plan.disk['checkpoints'])}. Make room, lower keep_checkpoints, or choose another place "
            "with --workspace."
        )


def largest_micro_batch(adapter: ChatAdapter, memory: int, **arguments: Any) -> tuple[int | None, list[Plan]]:
    """The largest ``micro_batch_size`` that fits into ``memory``, and the plans of all that were tried.

    Args:
        arguments: as for :func:`plan`.
    Returns:
        None when not even one row per forward pass fits.
    """
    share = adapter.batch_size // int(arguments.get("processes", 1))
    candidates = [size for size in range(1, share + 1) if share % size == 0]
    tried: dict[int, Plan] = {}
    low, high = 0, len(candidates)  # candidates[:low] fit, candidates[high:] do not
    while low < high:
        middle = (low + high) // 2
        size = candidates[middle]
        changed = adapter.model_copy(update={"micro_batch_size": size})
        tried[size] = plan(changed, memory=memory, **arguments)
        if tried[size].needed <= memory:
            low = middle + 1
        else:
            high = middle
    return (candidates[low - 1] if low else None), [tried[size] for size in sorted(tried)]


def batch_shapes(
    adapter: ChatAdapter,
    micro: int,
    accumulation: int,
    *,
    lengths: Sequence[int] | None,
    supervised: Sequence[int] | None,
) -> list[BatchShape]:
    """The shapes of all micro batches that training will see, in the trainer's own order of rows."""
    if lengths is None:
        size, rows = adapter.max_length, micro * objective(adapter.objective).learning_rows
        return [BatchShape(rows, size, rows * objective(adapter.objective).assumed_targets(adapter), packed=adapter.packing)]
    targets = list(supervised) if supervised is not None else [length // 2 for length in lengths]
    sequences = _sequences(adapter, lengths)
    used = None if adapter.packing else objective(adapter.objective).learning_rows
    sizes = [sum(lengths[row] for row in sequence) for sequence in sequences]
    windows = objective(adapter.objective).windows(sizes, adapter)
    world = max(1, adapter.batch_size // (micro * accumulation))
    shapes: list[BatchShape] = []
    for window in windows:
        for rank in range(world):
            mine = window[rank::world]
            for start in range(0, len(mine), micro):
                taken = [row for place in mine[start : start + micro] for row in sequences[place][:used]]
                wanted, tokens = sum(targets[row] for row in taken), [lengths[row] for row in taken]
                if adapter.packing:
                    shapes.append(BatchShape(1, sum(tokens), wanted, packed=True))
                else:
                    shapes.append(BatchShape(len(taken), max(tokens), wanted, ragged=min(tokens) != max(tokens)))
    return shapes


def _sequences(adapter: ChatAdapter, lengths: Sequence[int]) -> list[list[int]]:
    """The encoded rows of each training sequence: packed together, or one unit of the objective."""
    return pack_rows(lengths, adapter.max_length) if adapter.packing else objective(adapter.objective).units(len(lengths))


def heaviest(shapes: Sequence[BatchShape], skeleton: Skeleton) -> BatchShape:
    """The shape that takes most memory, judged by width, depth and vocabulary; only this one is traced."""
    config = skeleton.causal_lm.config.get_text_config()
    # 34 numbers of hidden size per token and layer (https://arxiv.org/abs/2205.05198, eq. 1), one of the vocabulary per target.
    per_token = 34 * int(config.hidden_size) * int(config.num_hidden_layers)
    if skeleton.causal_lm.is_gradient_checkpointing:
        per_token = int(config.hidden_size) * (int(config.num_hidden_layers) + 34)
    return max(shapes, key=lambda shape: per_token * shape.tokens + int(config.vocab_size) * shape.targets)


def _steps(adapter: ChatAdapter, lengths: Sequence[int] | None) -> tuple[int | None, int | None, int | None]:
    """Optimizer steps in all, per epoch, and tokens per epoch."""
    if lengths is None:
        return adapter.max_steps, None, None
    sequences = len(_sequences(adapter, lengths))
    per_epoch = objective(adapter.objective).steps_per_epoch(sequences, adapter)
    in_all = max(1, round(per_epoch * adapter.epochs))
    return min(in_all, adapter.max_steps or in_all), per_epoch, sum(lengths) * objective(adapter.objective).repeats(adapter)


def _assumptions(adapter: ChatAdapter, lengths: Sequence[int] | None, supervised: Sequence[int] | None, device: str) -> list[str]:
    """What the figures rest on, in plain words."""
    import torch

    found = []
    if lengths is None:
        found.append(f"every row is taken to have max_length ({adapter.max_length}) tokens; --data DATASET uses the real ones")
    if adapter.objective == "grpo":
        found.append(
            f"every answer is taken to have grpo.max_new_tokens ({adapter.grpo.max_new_tokens}) tokens; each step first writes "
            f"{adapter.batch_size} of them, token by token, whose time --probe measures, and rollouts.jsonl is not counted"
        )
    elif supervised is None and objective(adapter.objective).assumed_targets(adapter) < adapter.max_length:
        found.append("half of the tokens are taken to carry loss")
    if device == "cuda":
        found.append("Liger kernels and torch.compile, which take less, are not counted")
        if not torch.cuda.is_available():
            found.append("there is no GPU here: bfloat16 arithmetic and a CUDA context of 0.5 GB are assumed")
    return found


def _left_out(adapter: ChatAdapter) -> list[str]:
    """What the figures do not count, in plain words."""
    found = []
    if adapter.method == "lora" and adapter.lora.init == "corda":
        found.append("what lora.init: corda holds before the first step, a square of each layer's inputs, is not counted")
    if adapter.optimizer == "schedule_free_adamw":
        found.append("a validation holds what trains a second time (schedule-free), which is counted on disk only")
    if adapter.optimizer == "galore_adamw":
        found.append("the decomposition of the largest gradient is not counted")
    return found


def _giga(size: int) -> str:
    """Bytes as GB (powers of 1,000) for a sentence."""
    return f"{size / 1e9:.2f} GB"
