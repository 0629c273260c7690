"""What training an image model will take, before it starts: memory found by tracing one pass without contents, and a probe.

Legend: b pictures of a micro batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from studio.adapters.images.lora import attach_image_lora
from studio.core.errors import GateNotMetError
from studio.models.bases import ResolvedBase
from studio.models.device import pick_dtype
from studio.models.images.families.base import Family
from studio.schema.diffusion import DiffusionAdapter
from studio.train.images.loop import diffusion_loss
from studio.train.images.prepare import open_base
from studio.train.plan_baseline import baseline_bytes
from studio.train.probing import ask_probe
from studio.train.storage import StorageTracker, materialise

PARTS = ("runtime", "weights", "optimizer", "average", "gradients", "activations", "working")
_TRAINER = "studio.train.images.run"
# What is left free, so that a plan that fits does fit: fragmentation, other programs waking up.
_HEADROOM = 1.05
# Bytes of optimizer state per trained number, by transformers' name.
_STATE_BYTES = {
    "adamw_torch": 8, "adamw_torch_fused": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2, "lion_8bit": 1,
    "sgd": 0, "adafactor": 0,
}  # fmt: skip


@dataclass(frozen=True)
class ImagePlan:
    """The forecast. ``parts`` are bytes by name and add up to ``peak``; ``memory`` is what there is, None when not known."""

    device: str
    dtype: str
    family: str
    trained_parameters: int
    micro_batch: int
    accumulation: int
    size: int
    steps: int
    parts: dict[str, int]
    peak: int
    memory: int | None
    checkpoint_bytes: int
    disk_bytes: int
    free_disk: int | None
    assumptions: list[str]

    @property
    def needed(self) -> int:
        """The peak with a little headroom."""
        return round(self.peak * _HEADROOM)

    @property
    def fits(self) -> bool:
        """Whether memory and disk will do, as far as they are known."""
        return (self.memory is None or self.needed <= self.memory) and (
            self.free_disk is None or self.disk_bytes <= self.free_disk
        )


@dataclass(frozen=True)
class ImageProbe:
    """What three real steps took: median seconds of the later ones, the process's peak bytes, the losses."""

    step_seconds: float
    peak: int
    device: str
    losses: list[float]


def plan_images(adapter: DiffusionAdapter, base: ResolvedBase | None, *, memory: int | None, free_disk: int | None) -> ImagePlan:
    """Forecast a training on this machine's device.

    Raises:
        UserError: preset and base do not go together.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = pick_dtype(adapter.dtype, device, half=False)
    family = open_base(adapter, base, device=torch.device("cpu"), dtype=dtype)
    size = adapter.resolution or family.default_size
    micro = adapter.micro_batch_size or adapter.batch_size
    conditions = {name: (*value.shape[1:], value.dtype) for name, value in family.encode_text(["a"]).items()}
    cached = adapter.cache != "off" and hasattr(family, "part") and not adapter.lora.text_encoder
    trace = _trace(family, adapter, conditions, micro=micro, size=size)
    trained = trace["trained"]
    beside = 0 if cached else sum(_bytes(net) for name, net in family.networks().items() if name != family.tuned)
    state = _STATE_BYTES[adapter.optimizer] * trained
    parts = {
        "runtime": baseline_bytes(device.type, _TRAINER, measure_context=False),
        "weights": trace["weights"] + beside,
        "optimizer": state,
        # The average itself, and while it is sampled a copy of what trains.
        "average": 8 * trained if adapter.ema else 0,
        "gradients": trace["gradients"],
        "activations": trace["activations"],
        "working": trace["working"],
    }
    checkpoint = (8 if adapter.ema else 4) * trained + state
    final = 4 * trained if adapter.method == "lora" else trace["weights"]
    assumptions = ["sample grids and held-out losses need less than a step: they keep nothing for a backward pass"]
    if cached:
        assumptions.append("latents and text embeddings are cached first, one part of the base in memory at a time")
    return ImagePlan(
        device=device.type,
        dtype=str(dtype).removeprefix("torch."),
        family=family.name,
        trained_parameters=trained,
        micro_batch=micro,
        accumulation=adapter.batch_size // micro,
        size=size,
        steps=adapter.steps,
        parts=parts,
        peak=sum(parts.values()),
        memory=memory,
        checkpoint_bytes=checkpoint,
        disk_bytes=(adapter.keep_checkpoints + 1) * checkpoint + final,
        free_disk=free_disk,
        assumptions=assumptions,
    )


def check_image_plan(planned: ImagePlan) -> None:
    """Refuse what cannot fit.

    Raises:
        GateNotMetError: memory or disk will not do.
    """
    if planned.memory is not None and planned.needed > planned.memory:
        raise GateNotMetError(
            f"the training needs about {planned.needed / 1e9:.1f} GB and there are {planned.memory / 1e9:.1f} GB. Set "
            "micro_batch_size lower (the result stays the same), gradient_checkpointing: true, or quantization: nf4."
        )
    if planned.free_disk is not None and planned.disk_bytes > planned.free_disk:
        raise GateNotMetError(
            f"the run needs about {planned.disk_bytes / 1e9:.1f} GB of disk and {planned.free_disk / 1e9:.1f} GB are free. "
            "Make room, or set keep_checkpoints: 1."
        )


def _trace(family: Family, adapter: DiffusionAdapter, conditions: dict[str, Any], *, micro: int, size: int) -> dict[str, int]:
    """Bytes of one forward and backward pass of the tuned network, counted on tensors without contents."""
    network: Any = family.networks()[family.tuned]
    if adapter.method == "lora":
        attach_image_lora(family, adapter.lora, seed=0)
    else:
        network.requires_grad_(True)
    if adapter.gradient_checkpointing:
        network.enable_gradient_checkpointing()
    weights = _bytes(network)
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    shape = (micro, *family.latent_shape(size, size))
    network.train()
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        materialise(network)
        clean, noise = torch.empty(shape), torch.empty(shape)
        times = fake.from_tensor(family.process.quantiles([0.5] * micro))
        text = {name: torch.empty((micro, *kept[:-1]), dtype=kept[-1]) for name, kept in conditions.items()}
        tracker = StorageTracker()
        tracker.ignore([*network.parameters(), *network.buffers(), clean, noise, times, *text.values()])
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda this: tracker.relabel(this.grad, "gradients"))
        with tracker:
            loss = diffusion_loss(family, clean, noise, times, text, None, gamma=None).sum()
            tracker.kind = "working"
            loss.backward()
    found = tracker.at_peak
    return {
        "weights": weights,
        "trained": trained,
        "gradients": 4 * trained,
        "activations": found.get("activations", 0),
        "working": max(0, tracker.peak - found.get("activations", 0) - found.get("gradients", 0)),
    }


def probe_images(adapter: DiffusionAdapter, base: ResolvedBase | None, dataset_folder: Path, *, steps: int = 5) -> ImageProbe:
    """Train a few real steps in a process of its own and measure it.

    Raises:
        StudioError: the process failed; its last line is told.
    """
    task = {"adapter": adapter.model_dump(mode="json"), "dataset": str(dataset_folder), "steps": steps}
    task |= {"base": str(base.folder) if base else None}
    return ImageProbe(**ask_probe("studio.train.images.probe", task))


def as_json(planned: ImagePlan, probed: ImageProbe | None) -> dict[str, Any]:
    """The one JSON document."""
    value = {**asdict(planned), "needed": planned.needed, "fits": planned.fits}
    return value | ({"probe": {**asdict(probed), "training_seconds": probed.step_seconds * planned.steps}} if probed else {})


def _bytes(network: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    tensors: Sequence[Tensor] = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
