"""What a training step keeps in memory, found by running it on tensors that have shapes but no contents.

The model is built from its config alone, gets its adapters from PEFT, and runs one real forward and backward pass under
PyTorch's FakeTensorMode while every storage is counted when it is made and when it goes. So the figures hold for any
architecture, and nothing of the model's size is ever allocated.

Legend: b rows of a micro batch, s padded length, n targets in it, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from studio.models.chat.architecture import decoder_of, is_scorer
from studio.train.chat.attention import use_short_attention
from studio.train.chat.fast import target_nll
from studio.train.chat.lora_layers import fuse_lora
from studio.train.chat.plan_experts import plan_experts
from studio.train.chat.plan_model import Skeleton
from studio.train.storage import StorageTracker, materialise

# One float32 block of malloc or of CUDA's caching allocator is at least this large; smaller tensors are rounded up.
_BLOCK = {"cpu": 64, "cuda": 512}


@dataclass(frozen=True)
class BatchShape:
    """The shape of one micro batch.

    rows, length: b and s; tokens that are padding count, for they are computed.
    targets: n, positions at which the head and the softmax run.
    ragged: True when rows differ in length, so that an attention mask is needed.
    packed: all rows stand in one sequence behind a block-diagonal mask.
    """

    rows: int
    length: int
    targets: int
    ragged: bool = True
    packed: bool = False

    @property
    def tokens(self) -> int:
        """B * s."""
        return self.rows * self.length


@dataclass(frozen=True)
class Trace:
    """Bytes that a forward and backward pass add to what was there before it.

    peak: most bytes alive at one time.
    at_peak: those bytes by kind: ``activations``, ``logits``, ``gradients``, ``working`` (gradients of activations).
    activations: bytes alive when the decoder is done, before the head.
    logits: bytes that head and loss add to it.
    gradients: bytes of the finished gradients.
    """

    peak: int
    at_peak: dict[str, int]
    activations: int
    logits: int
    gradients: int


def trace_step(
    skeleton: Skeleton,
    shape: BatchShape,
    *,
    device_type: str = "cpu",
    accumulated: bool = False,
    loss: Callable[[Tensor, Tensor], Tensor] = target_nll,
) -> Trace:
    """Run one forward and backward pass without memory and count what it would take.

    Args:
        skeleton: the model on the meta device, with its adapters; it is used up (its tensors become fake ones).
        shape: the micro batch.
        device_type: ``cpu`` or ``cuda``; decides the rounding of sizes and whether arithmetic runs under autocast.
        accumulated: gradients of an earlier micro batch are there already (they are not counted as added then).
        loss: from logits [n, v] and targets [n] to the losses of the targets.
    """
    model = skeleton.model
    # The CPU's fused attention keeps what flash attention keeps on a GPU (q, k, v, output, log-sum-exp), so the pass is
    # always traced as a CPU pass; a fake CUDA backward pass cannot run where there is no card.
    with FakeTensorMode(), _autocast(skeleton.autocast):
        materialise(model)
        model.train()
        for module in model.modules():
            # OPT, LoHa and LoKr draw a number for each layer, which a tensor without contents does not have.
            if hasattr(module, "layerdrop") or hasattr(module, "module_dropout"):
                module.training = False
        fuse_lora(model)
        plan_experts(model)
        if device_type == "cpu":
            use_short_attention(model)
        tracker = StorageTracker(_BLOCK[device_type])
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if accumulated:
            for parameter in trained:
                parameter.grad = torch.empty_like(parameter)
        inputs, positions, targets = _inputs(shape)
        there = [*model.parameters(), *model.buffers(), *inputs.values(), positions, targets]
        there += [parameter.grad for parameter in trained if parameter.grad is not None]
        tracker.ignore(there)
        for parameter in trained:
            parameter.register_post_accumulate_grad_hook(lambda this: tracker.relabel(this.grad, "gradients"))
        with tracker:
            return _traced_pass(skeleton, tracker, inputs, positions, targets, loss)


def _traced_pass(
    skeleton: Skeleton,
    tracker: StorageTracker,
    inputs: dict[str, Tensor],
    positions: Tensor,
    targets: Tensor,
    loss_of: Callable[[Tensor, Tensor], Tensor],
) -> Trace:
    """The pass as :meth:`studio.train.chat.trainer.ChatTrainer.compute_loss` runs it."""
    if is_scorer(skeleton.causal_lm):
        return _traced_score(skeleton, tracker, inputs)
    with _kind_of_head(skeleton.causal_lm, tracker) as marks:
        logits = skeleton.model(**inputs, use_cache=False, logits_to_keep=positions).logits[0]  # [n, v]
        loss = loss_of(logits, targets).sum()
    before_head = marks[0]
    del logits
    after_loss = tracker.now
    tracker.kind = "working"
    loss.backward()
    del loss
    return Trace(
        peak=tracker.peak,
        at_peak={kind: size for kind, size in tracker.at_peak.items() if size},
        activations=before_head,
        logits=after_loss - before_head,
        gradients=tracker.by_kind["gradients"],
    )


def _traced_score(skeleton: Skeleton, tracker: StorageTracker, inputs: dict[str, Tensor]) -> Trace:
    """The pass of a reward model, whose head gives one number for each token."""
    if "attention_mask" not in inputs:
        inputs = {**inputs, "attention_mask": torch.ones_like(inputs["input_ids"])}
    loss = skeleton.model(**inputs, use_cache=False).logits.float().sum()
    before = tracker.now
    tracker.kind = "working"
    loss.backward()
    del loss
    at_peak = {kind: size for kind, size in tracker.at_peak.items() if size}
    return Trace(peak=tracker.peak, at_peak=at_peak, activations=before, logits=0, gradients=tracker.by_kind["gradients"])


@contextmanager
def _kind_of_head(causal_lm: Any, tracker: StorageTracker) -> Iterator[list[int]]:
    """Flatten the decoder's states as the trainer does, and label all that is made from there on as ``logits``."""
    marks: list[int] = []

    def decoder_done(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        hidden = output.last_hidden_state
        output.last_hidden_state = hidden.reshape(1, -1, hidden.shape[-1])
        marks.append(tracker.now)
        tracker.kind = "logits"
        return output

    handle = decoder_of(causal_lm).register_forward_hook(decoder_done)
    try:
        yield marks
    finally:
        handle.remove()


def _inputs(shape: BatchShape) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Fake tensors of a micro batch: inputs of the model, target positions [n], targets [n]."""
    size = (1, shape.tokens) if shape.packed else (shape.rows, shape.length)
    inputs = {"input_ids": torch.zeros(size, dtype=torch.int64)}
    if shape.packed:
        inputs["position_ids"] = torch.zeros(size, dtype=torch.int64)
        # The block-diagonal mask that transformers makes out of restarting positions.
        inputs["attention_mask"] = torch.ones((1, 1, shape.tokens, shape.tokens), dtype=torch.bool)
    elif shape.ragged:
        inputs["attention_mask"] = torch.ones(size, dtype=torch.int64)
    positions = torch.zeros(max(1, shape.targets), dtype=torch.int64)
    return inputs, positions, torch.zeros_like(positions)


def _autocast(dtype: torch.dtype | None) -> Any:
    """Mixed precision as accelerate runs it, or nothing."""
    return nullcontext() if dtype is None else torch.autocast("cpu", dtype=dtype)
