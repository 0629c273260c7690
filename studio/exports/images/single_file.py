"""A whole Stable Diffusion 1.x as one file of safetensors, which AUTOMATIC1111, Forge, ComfyUI and diffusers load."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.adapters.images.loading import load_image_run
from studio.core.errors import StudioError, UserError
from studio.core.files import sha256_file
from studio.core.telling import Told
from studio.exports.images.folder import check_pipeline, drawn, family_name, fuse, unquantised
from studio.exports.images.ldm_names import single_file
from studio.exports.writing import described, hold, new_export_file, told, versions_of
from studio.models.exported import ExportRecord
from studio.models.images.families.pipeline import PipelineFamily

_EXACT = 1e-3
"""Most that a colour of a picture may differ by, of 1."""
_PARTS = ("unet", "vae", "text_encoder")


def check_single_file(run_folder: Path) -> None:
    """Refuse before any work what this layout cannot say.

    Raises:
        UserError: one sentence with the forms that can.
    """
    check_pipeline(run_folder)
    others = "Allowed for it: --to diffusers."
    name = f"{run_folder.parent.name}/{run_folder.name}"
    if (family := family_name(run_folder)) != "sd15":
        raise UserError(
            f"{name} is of family {family}, and --to single-file writes the layout of Stable Diffusion 1.x only. {others}"
        )
    loaded = load_image_run(run_folder, device=torch.device("cpu"))
    assert isinstance(loaded.family, PipelineFamily)
    if loaded.family.config("unet").get("use_linear_projection"):
        raise UserError(f"{name} stands on Stable Diffusion 2, whose single files name their text encoder otherwise. {others}")
    if loaded.family.scheduler_config.get("prediction_type", "epsilon") != "epsilon":
        raise UserError(
            f"{name} predicts {loaded.family.scheduler_config['prediction_type']}, which a single file of Stable Diffusion 1.x "
            f"cannot say. {others}"
        )


def export_single_file(run_folder: Path, target: Path) -> Told:
    """Write, let diffusers read it back, and compare every weight and a picture of the same seed.

    Raises:
        StudioError: what was read back is another model; nothing is left behind.
    """
    from safetensors.torch import save_file

    loaded = load_image_run(run_folder, device=torch.device("cpu"))
    family = unquantised(loaded)
    picture = drawn(family.pipeline())
    fuse(family.networks())
    weights = {name: {key: value.clone() for key, value in family.part(name).state_dict().items()} for name in _PARTS}
    config, dtype, base = family.config("unet"), family.dtype, family.folder
    del family, loaded
    gc.collect()
    try:
        tensors = single_file(weights["unet"], weights["vae"], weights["text_encoder"], config)
    except KeyError as error:
        raise StudioError(f"the layout of Stable Diffusion 1.x has no name for {error.args[0]}. Take --to diffusers.") from error
    with new_export_file(target) as partial:
        save_file(tensors, partial, metadata={"format": "pt"})
        del tensors
        pipeline = opened(partial, base, dtype)
        same = _same_weights(pipeline, weights)
        difference = float(np.max(np.abs(drawn(pipeline) - picture)))
        hold("a colour's difference", difference, _EXACT, form="single-file")
        size, digest = partial.stat().st_size, sha256_file(partial)
        del pipeline
    versions = versions_of("diffusers", "torch", "transformers")
    record = ExportRecord(
        form="single-file",
        kind="diffusion",
        run=described(run_folder),
        runtime=f"diffusers {versions['diffusers']}",
        proof={"weights": same, "picture": difference},
        limits={"picture": _EXACT},
        versions=versions,
        files={target.name: digest},
    )
    words = [
        ("weights read back", f"{same:,}, each the same number for number"),
        ("a picture of 2 steps and seed 0", f"{difference:.1e} of 1 (at most {_EXACT:.0e})"),
    ]
    return told(run_folder, target, record, words, size, f"load {target.name} as a checkpoint in ComfyUI, Forge or AUTOMATIC1111")


def opened(file: Path, base: Path, dtype: torch.dtype) -> Any:
    """The file as diffusers opens it; the base's folder says sizes and has the tokenizer, so that no hub is asked."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_single_file(
        str(file), config=str(base), local_files_only=True, torch_dtype=dtype, safety_checker=None, requires_safety_checker=False
    )


def _same_weights(pipeline: Any, weights: dict[str, dict[str, torch.Tensor]]) -> int:
    """How many weights came back, all of them unchanged.

    Raises:
        StudioError: one is another, or is missing.
    """
    count = 0
    for part, before in weights.items():
        after = {_plain(name): value for name, value in getattr(pipeline, part).state_dict().items()}
        for name, value in before.items():
            found = after.get(_plain(name))
            if found is None or not torch.equal(found, value):
                how = "is missing" if found is None else "is another one"
                raise StudioError(f"the single file is not the model that was trained: read back, {part}.{name} {how}.")
        count += len(before)
    return count


def _plain(name: str) -> str:
    """Text encoders are spelled with and without "text_model." by different versions of transformers."""
    return name.removeprefix("text_model.")
