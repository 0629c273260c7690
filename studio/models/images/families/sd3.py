"""Stable Diffusion 3 and 3.5: two CLIP encoders and a T5 (which may be left out), a transformer on latents, flow matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from studio.models.images.families.base import Conditions, Size
from studio.models.images.families.pipeline import PipelineFamily
from studio.models.images.noise import FlowProcess

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
_FEED_FORWARD = ("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2")


class StableDiffusion3(PipelineFamily):
    """Stable Diffusion 3 (https://arxiv.org/abs/2403.03206)."""

    name: ClassVar[str] = "sd3"
    text_networks: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2")
    lora_targets: ClassVar[dict[str, tuple[str, ...]]] = {"attention": _ATTENTION, "all-linear": (*_ATTENTION, *_FEED_FORWARD)}
    pipeline_class: ClassVar[str] = "StableDiffusion3Pipeline"
    classes: ClassVar[dict[str, str]] = {
        "vae": "diffusers:AutoencoderKL",
        "text_encoder": "transformers:CLIPTextModelWithProjection",
        "text_encoder_2": "transformers:CLIPTextModelWithProjection",
        "text_encoder_3": "transformers:T5EncoderModel",
        "transformer": "diffusers:SD3Transformer2DModel",
    }
    tokenizers: ClassVar[dict[str, str]] = {
        "tokenizer": "transformers:CLIPTokenizer",
        "tokenizer_2": "transformers:CLIPTokenizer",
        "tokenizer_3": "transformers:T5Tokenizer",
    }
    optional: ClassVar[tuple[str, ...]] = ("text_encoder_3", "tokenizer_3")

    def _set_up(self) -> None:
        transformer = self.config("transformer")
        self.process = FlowProcess(shift=float(self.scheduler_config.get("shift", 3.0)))
        self.multiple = self.vae_factor * int(transformer["patch_size"])
        self.default_size = int(transformer["sample_size"]) * self.vae_factor
        self.default_guidance = 7.0

    def _encode(self, prompts: list[str]) -> Conditions:
        parts = self.text_parts()
        # Without a T5 the pipeline puts zeros there and asks the transformer how wide they are.
        pipeline = self.pipeline(only=parts if self.has("text_encoder_3") else (*parts, "transformer"))
        embeds, _, pooled, _ = pipeline.encode_prompt(
            prompts, prompts, prompts, device=self.device, do_classifier_free_guidance=False
        )
        return {"embeds": embeds, "pooled": pooled}  # [b, 77 + 256, d], [b, p]

    def predict(self, noisy: Tensor, times: Tensor, text: Conditions, sizes: Sequence[Size] | None = None) -> Tensor:  # noqa: ARG002
        """See :meth:`Family.predict`. The network counts time from 0 to 1,000."""
        prediction: Tensor = self.part("transformer")(
            hidden_states=noisy.to(self.dtype),
            timestep=times.to(self.device) * 1000,
            encoder_hidden_states=text["embeds"].to(self.dtype),
            pooled_projections=text["pooled"].to(self.dtype),
            return_dict=False,
        )[0]
        return prediction.float()
