"""FLUX.1: a CLIP and a T5 encoder, a transformer on latents packed two by two, flow matching, guidance told to the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from studio.models.images.families.base import Conditions, Drawing, Size
from studio.models.images.families.pipeline import PipelineFamily
from studio.models.images.noise import FlowProcess

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
# The last layer of the network is called proj_out too and is left alone: kohya's layout and the UIs have no adapter there.
_FEED_FORWARD = (
    *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2", "proj_mlp"),
    *(f"single_transformer_blocks.{block}.proj_out" for block in range(38)),
)


class Flux(PipelineFamily):
    """FLUX.1 dev and schnell (https://github.com/black-forest-labs/flux)."""

    name: ClassVar[str] = "flux"
    text_networks: ClassVar[tuple[str, ...]] = ("text_encoder",)
    lora_targets: ClassVar[dict[str, tuple[str, ...]]] = {"attention": _ATTENTION, "all-linear": (*_ATTENTION, *_FEED_FORWARD)}
    pipeline_class: ClassVar[str] = "FluxPipeline"
    classes: ClassVar[dict[str, str]] = {
        "vae": "diffusers:AutoencoderKL",
        "text_encoder": "transformers:CLIPTextModel",
        "text_encoder_2": "transformers:T5EncoderModel",
        "transformer": "diffusers:FluxTransformer2DModel",
    }
    tokenizers: ClassVar[dict[str, str]] = {
        "tokenizer": "transformers:CLIPTokenizer",
        "tokenizer_2": "transformers:T5Tokenizer",
    }
    text_length: ClassVar[int] = 512
    """Tokens of T5 that a caption is padded to, as FLUX.1 dev was trained."""

    def _set_up(self) -> None:
        self.guided = bool(self.config("transformer").get("guidance_embeds"))
        self.multiple = 2 * self.vae_factor
        self.default_size = 1024
        self.default_steps, self.default_guidance = (28, 3.5) if self.guided else (4, 1.0)
        self.process = FlowProcess(shift=self._shift(self.default_size, self.default_size))
        self._guidance = 1.0  # what sd-scripts trains with

    def _shift(self, height: int, width: int) -> float:
        """How far times are shifted towards noise: more for larger pictures, by the scheduler's configuration.

        Source: diffusers' ``calculate_shift`` (pipelines/flux/pipeline_flux.py).
        """
        config = self.scheduler_config
        if not config.get("use_dynamic_shifting"):
            return float(config.get("shift", 1.0))
        few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        tokens = (height // self.multiple) * (width // self.multiple)
        return math.exp(low + (high - low) * (tokens - few) / (many - few))

    def _encode(self, prompts: list[str]) -> Conditions:
        parts = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
        embeds, pooled, _ = self.pipeline(only=parts).encode_prompt(
            prompts, prompts, device=self.device, max_sequence_length=self.text_length
        )
        return {"embeds": embeds, "pooled": pooled}  # [b, 512, d], [b, p]

    def predict(self, noisy: Tensor, times: Tensor, text: Conditions, sizes: Sequence[Size] | None = None) -> Tensor:  # noqa: ARG002
        """See :meth:`Family.predict`. Latents go in as a row of 2 by 2 patches, [b, h/2 * w/2, 4c]."""
        height, width = noisy.shape[2] // 2, noisy.shape[3] // 2
        packed = torch.nn.functional.pixel_unshuffle(noisy, 2).flatten(2).transpose(1, 2)
        guidance = torch.full((len(noisy),), self._guidance, device=self.device) if self.guided else None
        prediction = self.part("transformer")(
            hidden_states=packed.to(self.dtype),
            timestep=times.to(self.device, self.dtype),
            guidance=guidance,
            pooled_projections=text["pooled"].to(self.dtype),
            encoder_hidden_states=text["embeds"].to(self.dtype),
            txt_ids=torch.zeros(text["embeds"].shape[1], 3, device=self.device, dtype=self.dtype),
            img_ids=_places(height, width).to(self.device, self.dtype),
            return_dict=False,
        )[0]
        grid = prediction.float().transpose(1, 2).unflatten(2, (height, width))
        return torch.nn.functional.pixel_shuffle(grid, 2)

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], wanted: Drawing) -> Tensor:
        """See :meth:`Family.draw`. Guidance is an input of the network, not a second pass."""
        before = self.process, self._guidance
        self.process, self._guidance = FlowProcess(shift=self._shift(wanted.height, wanted.width)), wanted.guidance
        try:
            return super().draw(prompts, seeds, replace(wanted, guidance=1.0))
        finally:
            self.process, self._guidance = before


def _places(height: int, width: int) -> Tensor:
    """Row and column of every patch for the rotary embedding, [height * width, 3]; the first number is 0 for pictures."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
