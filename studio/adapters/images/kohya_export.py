"""A Run's LoRA as one file in kohya's layout, proven by letting diffusers read it back."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from studio.adapters.images.kohya import Factors, from_kohya_sd3, kohya_metadata, read_factors, read_lora_file, to_kohya
from studio.adapters.images.loading import load_image_run
from studio.adapters.images.lora import WEIGHTS
from studio.core.errors import StudioError, UserError
from studio.core.files import disk_errors
from studio.core.workspace import read_run
from studio.models.images.families.base import Family, open_family
from studio.models.images.families.pipeline import PipelineFamily

# Largest difference allowed of an update or an output, relative to its largest number: what rounding gives, with room.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
_PROMPTS = ("a picture", "a red door in the rain")


@dataclass(frozen=True)
class KohyaResult:
    """What was written and how it was checked; differences are relative to the largest number compared.

    modules: tuned layers. update_difference: of the layers' updates. output_difference: of the network's predictions.
    """

    file: Path
    bytes: int
    family: str
    modules: int
    update_difference: float
    output_difference: float
    read_by: str


def export_kohya(run_folder: Path, target: Path, *, device: torch.device | None = None) -> KohyaResult:
    """Write the adapter of a finished Run as ``target`` and check it before it appears there.

    The file is read back by diffusers (SD3's by the inverse of the writer, for diffusers has no reader for it) onto a fresh
    base: every layer must have its update, none may be left over, and the predictions must be the same.

    Raises:
        UserError: the run has no LoRA, or one that kohya's layout cannot hold.
        StudioError: what was read back differs, or the disk cannot be written.
    """
    record = read_run(run_folder)
    if record.kind != "diffusion" or not (run_folder / "adapter" / WEIGHTS).is_file():
        raise UserError(
            f"{run_folder} holds no LoRA of an image model (kind {record.kind}, method {record.method}), which is what kohya's "
            "layout is for. 'studio runs list' shows kind and method of each run."
        )
    factors = read_factors(*read_lora_file(run_folder / "adapter" / WEIGHTS))
    loaded = load_image_run(run_folder, device=device)
    family = loaded.family.name
    tensors = to_kohya(factors, family)
    if not isinstance(loaded.family, PipelineFamily) or loaded.base_source is None:  # to_kohya has refused others already
        raise UserError(f"kohya's layout is not defined for a base of family {family}.")
    expected = predictions(loaded.family)
    device, dtype, base = loaded.family.device, loaded.family.dtype, loaded.base_source.folder
    quantization = loaded.family.quantization
    del loaded
    gc.collect()

    header = kohya_metadata(tensors, family, name=record.name, base=str(record.base.get("name") or ""))
    with disk_errors(target.name, target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = target.with_name(f".{target.name}")
        try:
            save_file(tensors, hidden, metadata=header)
            fresh = open_family(family, base, device=device, dtype=dtype, quantization=quantization)
            assert isinstance(fresh, PipelineFamily)
            updates = read_back(fresh, hidden, {module.partition(".")[0] for module in factors})
            update_difference = compare_updates(factors, updates)
            found = predictions(fresh)
            output_difference = max(_relative(found[name], value) for name, value in expected.items())
            for what, difference in (("updates", update_difference), ("predictions", output_difference)):
                if not difference <= _TOLERANCE[dtype]:
                    raise StudioError(
                        f"the export was not written: read back, its {what} differ by {difference:.1e} of their size "
                        f"(at most {_TOLERANCE[dtype]:.0e}). Use the diffusers folder in adapter/."
                    )
            hidden.replace(target)
        finally:
            hidden.unlink(missing_ok=True)
    reader = "studio" if family == "sd3" else "diffusers"
    return KohyaResult(target, target.stat().st_size, family, len(factors), update_difference, output_difference, reader)


def read_back(family: PipelineFamily, file: Path, components: set[str]) -> dict[str, Tensor]:
    """Load a kohya file onto a fresh base with diffusers; the update of every layer that got an adapter, as a matrix."""
    from peft.tuners.lora import LoraLayer

    pipeline = family.pipeline(only=(*components, *family.tokenizers))
    tensors = load_file(file)
    # It remarks on every part that has no adapter; what matters is compared below, layer by layer.
    remarks = logging.getLogger("diffusers")
    level = remarks.level
    remarks.setLevel(logging.ERROR)
    try:
        pipeline.load_lora_weights(from_kohya_sd3(tensors) if family.name == "sd3" else tensors)
    finally:
        remarks.setLevel(level)
    updates: dict[str, Tensor] = {}
    for component in components:
        for name, layer in getattr(pipeline, component).named_modules():
            if isinstance(layer, LoraLayer):
                (adapter,) = layer.lora_A
                factors = Factors(layer.lora_A[adapter].weight, layer.lora_B[adapter].weight)  # type: ignore[arg-type]
                updates[f"{component}.{name}"] = factors.delta().detach().float().cpu() * layer.scaling[adapter]
    return updates


def compare_updates(factors: Mapping[str, Factors], updates: Mapping[str, Tensor]) -> float:
    """Largest relative difference of a layer's update; a layer that lost its update counts, as does a foreign one with one.

    Raises:
        StudioError: a layer has no update any more.
    """
    # Text encoders are spelled with and without "text_model." by different versions of transformers.
    found = {_plain(module): update for module, update in updates.items()}
    worst = 0.0
    for module, factor in factors.items():
        if _plain(module) not in found:
            raise StudioError(
                f"the export was not written: read back, {module} has no update. Use the diffusers folder in adapter/."
            )
        worst = max(worst, _relative(found.pop(_plain(module)), factor.delta().float()))
    # Parts of a fused matrix that were not tuned come back as adapters of zeros.
    return max([worst, *(float(update.abs().max()) for update in found.values())])


@torch.inference_mode()
def predictions(family: Family) -> dict[str, Tensor]:
    """What the networks say of two prompts and of noise at two times, on the CPU."""
    text = family.encode_text(list(_PROMPTS))
    channels, height, width = family.latent_shape(8 * family.multiple, 8 * family.multiple)
    noisy = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(0)).to(family.device)
    times = family.process.quantiles([0.2, 0.7])
    found: dict[str, Any] = {f"text {name}": value for name, value in text.items()}
    found["prediction"] = family.predict(noisy, times.to(family.device), text)
    return {name: value.float().cpu() for name, value in found.items()}


def _relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference divided by the largest expected number."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def _plain(module: str) -> str:
    return module.replace(".text_model.", ".")
