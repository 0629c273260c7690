"""CLIP score: does the picture show what the prompt says. Made only when a CLIP is given; none is fetched.

Legend: n pictures, d width of the shared space.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from studio.core.errors import UserError
from studio.core.files import sha256_file

CLIP_VARIABLE = "STUDIO_CLIP"


class ClipScorer:
    """A CLIP of the transformers kind, from a local folder or the local Hub cache."""

    def __init__(self, source: str, device: str = "cpu") -> None:
        """Load model and processor.

        Raises:
            UserError: there is no CLIP in safetensors under that name on this machine.
        """
        from transformers import CLIPModel, CLIPProcessor

        try:
            model: Any = CLIPModel.from_pretrained(source, local_files_only=True, use_safetensors=True)
            self.processor: Any = CLIPProcessor.from_pretrained(source, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"no CLIP could be read from {source!r} ({reason}). Give the folder of a transformers CLIP with safetensors "
                "weights, or leave 'clip' out."
            ) from error
        self.model = model.to(device).eval().requires_grad_(False)
        self.device = device
        file = Path(source) / "model.safetensors"
        self.sha256 = sha256_file(file) if file.is_file() else None
        self.name = Path(source).name if file.is_file() else source

    def describe(self) -> str:
        """Name and hash, for ``made_with``."""
        return f"CLIP {self.name}" + (f", sha256 {self.sha256[:16]}" if self.sha256 else "")

    def scores(
        self,
        pictures: Sequence[Image.Image],
        prompts: Sequence[str],
        *,
        batch_size: int = 32,
        advance: Callable[[int], None] | None = None,
    ) -> list[float]:
        """100 times the cosine between picture and prompt, not below 0, for each of n pairs.

        Prompts longer than the text encoder takes are cut, as CLIP does.
        Source: Hessel et al. 2021 in the form of torchmetrics (scale 100, not 2.5).
        """
        found: list[float] = []
        for start in range(0, len(pictures), batch_size):
            inputs = self.processor(
                text=list(prompts[start : start + batch_size]),
                images=[picture.convert("RGB") for picture in pictures[start : start + batch_size]],
                return_tensors="pt",
                padding=True,
                truncation=True,
            ).to(self.device)
            with torch.inference_mode():
                outputs = self.model(**inputs)
            # Both come normalised to length 1: the product is the cosine.
            cosines = (outputs.image_embeds * outputs.text_embeds).sum(dim=-1)
            found += (100 * cosines).clamp(min=0).tolist()
            if advance:
                advance(len(cosines))
        return found


def find_clip(chosen: str | None) -> str | None:
    """The CLIP asked for, else that of ``STUDIO_CLIP``; None without one."""
    return chosen or os.environ.get(CLIP_VARIABLE) or None
