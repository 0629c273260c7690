"""Opening a Run of an image model: its base, its adapter or its own weights, ready to paint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from studio.adapters.images.inversion import load_inversion
from studio.adapters.images.lora import load_image_lora, set_lora_scale, without_lora
from studio.adapters.saved import saved_settings
from studio.core.errors import StudioError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.models.bases import ResolvedBase, recorded_revision
from studio.models.device import pick_device, pick_dtype
from studio.models.images.bases import resolve_image_base
from studio.models.images.families.base import Family, family_of, open_family
from studio.models.weights import verify_hashes

logger = logging.getLogger("studio")


@dataclass
class LoadedImageRun:
    """A Run ready to paint. ``steps`` and ``guidance`` are what it samples with unless told otherwise."""

    family: Family
    record: RunRecord
    folder: Path
    steps: int
    guidance: float
    size: int
    carriers: dict[str, nn.Module] = field(default_factory=dict)
    base_source: ResolvedBase | None = None
    _beside: Family | None = None

    @contextmanager
    def base(self) -> Iterator[LoadedImageRun]:
        """What the run started from: the adapter off, or after full tuning the base opened beside (once).

        Raises:
            UserError: the run was trained from scratch and has no base.
        """
        if self.base_source is None:
            raise UserError(f"the run {self.record.id} was trained from scratch and has no base to compare with.")
        if self.carriers:
            with without_lora(self.carriers):
                yield self
            return
        if self._beside is None:
            self._beside = _open(self.base_source.folder, self.family.device, self.family.dtype, "none")
        tuned, self.family = self.family, self._beside
        try:
            yield self
        finally:
            self.family = tuned

    @property
    def labels(self) -> list[str]:
        """Labels that the model is told in place of captions; empty for one that reads captions."""
        return list(self.family.labels)

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words that stood in no caption of this model's training, where its family can tell."""
        return self.family.unknown_words(prompts)

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
        lora_scale: float = 1.0,
        batch_size: int = 32,
        advance: Callable[[int], None] | None = None,
        each_step: Callable[[int], None] | None = None,
    ) -> list[Image.Image]:
        """Paint one RGB picture per prompt and seed. A picture depends on its own prompt, seed and settings only.

        Args:
            steps: noise levels walked through; None is the run's own number.
            guidance: classifier-free guidance, 1 is none; None is the run's own.
            lora_scale: how strongly the adapter acts; 1 is as trained, 0 is the base.
            advance: called with the number of pictures that have just been finished.
            each_step: called with 1 after every step of a batch; an error that it raises ends the painting.
        Raises:
            UserError: not as many seeds as prompts, or a setting that cannot be.
        """
        if len(prompts) != len(seeds):
            raise UserError(f"{len(prompts)} prompts came with {len(seeds)} seeds. Give one seed for each prompt.")
        steps, guidance = steps if steps is not None else self.steps, guidance if guidance is not None else self.guidance
        if steps < 1:
            raise UserError(f"{steps} sampling steps are too few. Give 1 or more.")
        if unknown := self.unknown_words(prompts):
            logger.warning("the model never saw these words in a caption and can only guess: %s", ", ".join(unknown))
        set_lora_scale(self.carriers, lora_scale)
        pictures: list[Image.Image] = []
        try:
            for first in range(0, len(prompts), batch_size):
                part = slice(first, first + batch_size)
                painted = self.family.sample(
                    prompts[part],
                    seeds[part],
                    height=self.size,
                    width=self.size,
                    steps=steps,
                    guidance=guidance,
                    advance=each_step,
                )
                pictures += to_pictures(painted)
                if advance:
                    advance(len(painted))
        finally:
            set_lora_scale(self.carriers, 1.0)
        return pictures


KINDS = ("diffusion", "vae", "gan")
"""Kinds of Runs that make pictures."""


def load_image_run(run_folder: Path, *, device: torch.device | None = None) -> LoadedImageRun:
    """Load a finished Run of an image model.

    Args:
        device: None takes the accelerator, else the CPU.
    Raises:
        UserError: the run is not of an image model, or holds no weights yet.
        StudioError: a file or the base differs from what the run wrote down.
    """
    record = read_run(run_folder)
    if record.kind not in KINDS:
        raise UserError(f"{run_folder} is a run of kind {record.kind!r}, not of an image model.")
    name = "adapter" if (run_folder / "adapter").is_dir() else "model"
    if not (run_folder / name).is_dir():
        raise UserError(
            f"the run {run_folder} has neither adapter/ nor model/ yet (status: {record.status}). Let it finish, or continue it: "
            f"studio train --resume {run_folder.parent.name}/{run_folder.name}"
        )
    verify_hashes(run_folder, {file: digest for file, digest in record.files.items() if file.startswith(f"{name}/")})
    config = saved_settings(run_folder)
    device = device or pick_device()
    dtype = pick_dtype(config.get("dtype") or "auto", device, half=False)
    base = resolve_recorded_image_base(record)
    carriers: dict[str, nn.Module] = {}
    if name == "adapter":
        if base is None:
            raise StudioError(f"{run_folder / 'run.json'} names no base for its adapter. The record is damaged.")
        family = _open(base.folder, device, dtype, config.get("quantization") or "none")
        family.load_extras(run_folder / name)
        if record.method == "inversion":
            load_inversion(family, run_folder / name)
        else:
            carriers = load_image_lora(family, run_folder / name)
    else:
        family = _open(run_folder / name, device, dtype, "none")
    sampling: dict[str, Any] = config.get("sample") or {}
    return LoadedImageRun(
        family=family,
        record=record,
        folder=run_folder,
        steps=int(sampling.get("steps") or family.default_steps),
        guidance=float(sampling.get("guidance") or family.default_guidance),
        size=int(config.get("resolution") or family.default_size),
        carriers=carriers,
        base_source=base,
    )


def resolve_recorded_image_base(record: RunRecord) -> ResolvedBase | None:
    """Find the base a run was trained on, and check that it is the same; None for a run from scratch.

    Raises:
        StudioError: the weights there are others.
    """
    written = record.base
    if written.get("source") == "scratch":
        return None
    name = str(written["path"] if written.get("source") == "local" else written["name"])
    try:
        base = resolve_image_base(name, recorded_revision(written))
    except UserError as error:
        raise UserError(f"the base model of the run {record.id} cannot be opened: {error}") from error
    if base.sha256 != written["sha256"]:
        raise StudioError(
            f"the base model {name} is not the one the run {record.id} was trained on: its weights have sha256 "
            f"{base.sha256[:16]}…, the run wrote down {str(written['sha256'])[:16]}…. Bring the recorded weights back."
        )
    return base


def to_pictures(pixels: Tensor) -> list[Image.Image]:
    """RGB pictures from float [b, 3, H, W] in 0..1."""
    levels = (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(np.ascontiguousarray(picture)) for picture in levels]


def _open(folder: Path, device: torch.device, dtype: torch.dtype, quantization: Any) -> Family:
    """A base folder by the family its index names."""
    return open_family(family_of(folder), folder, device=device, dtype=dtype, quantization=quantization)
