"""An image model as a plain folder of diffusers: the LoRA folded into its networks, proven by the pictures diffusers draws."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from studio.adapters.images.loading import LoadedImageRun, load_image_run
from studio.adapters.images.lora import load_image_lora
from studio.core.errors import UserError
from studio.core.files import folder_size
from studio.core.telling import Told
from studio.core.workspace import read_run
from studio.exports.formatted import finished_run
from studio.exports.writing import described, finish_export, hold, new_export, told, versions_of
from studio.models.exported import ExportRecord
from studio.models.images.families.base import open_family
from studio.models.images.families.pipeline import PipelineFamily

_EXACT = 1e-3
"""Most that a prediction may differ by, of its largest number, and a colour of a picture, of 1."""
_STEPS, _SEED, _PROMPT = 2, 0, "a picture"


def check_pipeline(run_folder: Path) -> None:
    """Refuse what diffusers has no pipeline for, before any work.

    Raises:
        UserError: one sentence with the remedy.
    """
    record = finished_run(run_folder)
    name = f"{run_folder.parent.name}/{run_folder.name}"
    if record.method == "inversion":
        raise UserError(
            f"{name} has learned a new word and no network, so there is nothing to fold. Its file in adapter/ is what diffusers' "
            "load_textual_inversion takes."
        )
    if family_name(run_folder) == "pixel":
        raise UserError(
            f"{name} is a network of the studio's own (pixel), which diffusers has no pipeline for. Its model/ "
            "is what the studio itself opens."
        )


def family_name(run_folder: Path) -> str:
    """The family of a run's base, or of the model that it trained whole."""
    from studio.adapters.images.loading import resolve_recorded_image_base
    from studio.models.images.families.base import family_of

    base = resolve_recorded_image_base(read_run(run_folder))
    folder = base.folder if base is not None and not (run_folder / "model").is_dir() else run_folder / "model"
    return family_of(folder)


def export_folder(run_folder: Path, target: Path) -> Told:
    """Write, let diffusers read it back, and compare one step of denoising and a whole picture of the same seed."""
    device = torch.device("cpu")
    loaded = load_image_run(run_folder, device=device)
    family = unquantised(loaded)
    step = prediction(family)
    picture = drawn(family.pipeline())
    dtype = family.dtype
    with new_export(target) as folder:
        fuse(family.networks())
        family.save(folder)
        del family, loaded
        gc.collect()
        fresh = open_family(_family(folder), folder, device=device, dtype=dtype)
        assert isinstance(fresh, PipelineFamily)
        step_difference = relative(prediction(fresh), step)
        del fresh
        picture_difference = float(np.max(np.abs(drawn(opened(folder, dtype)) - picture)))
        for what, figure in (("a step's difference", step_difference), ("a colour's difference", picture_difference)):
            hold(what, figure, _EXACT, form="diffusers")
        import diffusers

        record = ExportRecord(
            form="diffusers",
            kind="diffusion",
            run=described(run_folder),
            runtime=f"diffusers {diffusers.__version__}",
            proof={"step": step_difference, "picture": picture_difference},
            limits={"step": _EXACT, "picture": _EXACT},
            versions=versions_of("diffusers", "torch", "transformers", "peft"),
        )
        words = [
            ("one step of denoising, largest difference", f"{step_difference:.1e} of its size (at most {_EXACT:.0e})"),
            (f"a picture of {_STEPS} steps and seed {_SEED}", f"{picture_difference:.1e} of 1 (at most {_EXACT:.0e})"),
        ]
        finish_export(folder, record, words, _use(str(dtype).removeprefix("torch.")))
        size = folder_size(folder)
    return told(run_folder, target, record, words, size, f'DiffusionPipeline.from_pretrained("{target}")')


def _use(dtype: str) -> str:
    """How the folder is used."""
    return (
        "```python\nimport torch\nfrom diffusers import DiffusionPipeline\n\n"
        f'pipe = DiffusionPipeline.from_pretrained("THIS FOLDER", torch_dtype=torch.{dtype})\n```'
    )


def _family(folder: Path) -> str:
    from studio.models.images.families.base import family_of

    return family_of(folder)


def unquantised(loaded: LoadedImageRun) -> PipelineFamily:
    """The run's networks with its adapter; a base that was trained quantised is opened anew as it was published."""
    family = loaded.family
    assert isinstance(family, PipelineFamily)
    if family.quantization == "none" or loaded.base_source is None:
        return family
    whole = open_family(family.name, loaded.base_source.folder, device=family.device, dtype=family.dtype)
    assert isinstance(whole, PipelineFamily)
    whole.load_extras(loaded.folder / "adapter")
    load_image_lora(whole, loaded.folder / "adapter")
    return whole


def fuse(networks: Mapping[str, nn.Module]) -> None:
    """Fold adapters into the weights that they stand on, and take them away."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for network in networks.values():
        layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, BaseTunerLayer)]
        for name, layer in layers:
            layer.merge()
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, layer.get_base_layer())
        if layers:
            vars(network).pop("peft_config", None)
            network._hf_peft_config_loaded = False  # type: ignore[assignment]


@torch.inference_mode()
def prediction(family: PipelineFamily) -> np.ndarray:
    """What the network says of noise at two times, [2, c, h, w]."""
    text = family.encode_text([_PROMPT, ""])
    shape = family.latent_shape(8 * family.multiple, 8 * family.multiple)
    if family.only_default_size:
        shape = family.latent_shape(family.default_size, family.default_size)
    noisy = torch.randn(2, *shape, generator=torch.Generator().manual_seed(_SEED)).to(family.device)
    times = family.process.quantiles([0.2, 0.7])
    found: np.ndarray = family.predict(noisy, times.to(family.device), text).float().cpu().numpy()
    return found


@torch.inference_mode()
def drawn(pipeline: Any) -> np.ndarray:
    """A picture as diffusers draws it, [h, w, 3] in 0..1."""
    pipeline.set_progress_bar_config(disable=True)
    given: dict[str, Any] = {
        "num_inference_steps": _STEPS,
        "generator": torch.Generator().manual_seed(_SEED),
        "output_type": "np",
    }
    if hasattr(pipeline, "tokenizer"):
        given["prompt"] = _PROMPT
    found: np.ndarray = pipeline(**given).images[0]
    return found


def opened(folder: Path, dtype: torch.dtype) -> Any:
    """The folder as people open it."""
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, of the largest expected number."""
    return float(np.max(np.abs(found - expected)) / max(float(np.max(np.abs(expected))), 1e-12))
