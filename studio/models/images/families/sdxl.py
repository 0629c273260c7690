"""Stable Diffusion XL: two CLIP text encoders, a UNet that is also told the picture's size and crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from studio.models.images.families.base import Conditions, Size
from studio.models.images.families.sd15 import LatentUNet


class StableDiffusionXL(LatentUNet):
    """SDXL (https://arxiv.org/abs/2307.01952)."""

    name: ClassVar[str] = "sdxl"
    text_networks: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2")
    pipeline_class: ClassVar[str] = "StableDiffusionXLPipeline"
    classes: ClassVar[dict[str, str]] = {
        "vae": "diffusers:AutoencoderKL",
        "text_encoder": "transformers:CLIPTextModel",
        "text_encoder_2": "transformers:CLIPTextModelWithProjection",
        "unet": "diffusers:UNet2DConditionModel",
    }
    tokenizers: ClassVar[dict[str, str]] = {
        "tokenizer": "transformers:CLIPTokenizer",
        "tokenizer_2": "transformers:CLIPTokenizer",
    }
    default_guidance = 5.0

    def _pipeline_extras(self) -> dict[str, Any]:
        return {"force_zeros_for_empty_prompt": self._zeros_for_empty, "add_watermarker": False}

    @property
    def _zeros_for_empty(self) -> bool:
        """SDXL's base was trained with zeros, not the encoded empty text, where there is no caption."""
        return bool(self.index.get("force_zeros_for_empty_prompt", True))

    def _encode(self, prompts: list[str]) -> Conditions:
        parts = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
        embeds, _, pooled, _ = self.pipeline(only=parts).encode_prompt(
            prompts, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        if self._zeros_for_empty:
            said = torch.tensor([bool(prompt) for prompt in prompts], device=embeds.device)
            embeds = embeds * said[:, None, None]
            pooled = pooled * said[:, None]
        return {"embeds": embeds, "pooled": pooled}  # [b, 77, d], [b, p]

    def predict(self, noisy: Tensor, times: Tensor, text: Conditions, sizes: Sequence[Size] | None = None) -> Tensor:
        """See :meth:`Family.predict`; without sizes a picture is whole and as large as its latents say."""
        if sizes is None:
            whole = (noisy.shape[2] * self.vae_factor, noisy.shape[3] * self.vae_factor)
            sizes = [Size(whole, (0, 0), whole)] * len(noisy)
        numbers = [[*size.original, *size.crop, *size.target] for size in sizes]
        added = {
            "text_embeds": text["pooled"].to(self.dtype),
            "time_ids": torch.tensor(numbers, device=self.device, dtype=self.dtype),  # [b, 6]
        }
        prediction: Tensor = self.part("unet")(
            noisy.to(self.dtype),
            times.to(self.device),
            encoder_hidden_states=text["embeds"].to(self.dtype),
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return prediction.float()
