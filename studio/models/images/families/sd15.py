"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a UNet on latents, noise or v prediction by the scheduler's config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from studio.models.images.families.base import Conditions, Size
from studio.models.images.families.pipeline import PipelineFamily
from studio.models.images.noise import DiscreteProcess

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_LINEAR = (*_ATTENTION, "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")


class LatentUNet(PipelineFamily):
    """A UNet on the latents of a VAE, with the noise levels of the scheduler's configuration: Stable Diffusion up to XL."""

    tuned: ClassVar[str] = "unet"
    lora_targets: ClassVar[dict[str, tuple[str, ...]]] = {"attention": _ATTENTION, "all-linear": _LINEAR}

    def _set_up(self) -> None:
        self.process = DiscreteProcess.from_scheduler(self.scheduler_config)
        self.multiple = self.vae_factor
        self.default_size = int(self.config("unet")["sample_size"]) * self.vae_factor


class StableDiffusion15(LatentUNet):
    """Stable Diffusion 1.5 (https://arxiv.org/abs/2112.10752), and 2.x, which differs in sizes and prediction only."""

    name: ClassVar[str] = "sd15"
    text_networks: ClassVar[tuple[str, ...]] = ("text_encoder",)
    pipeline_class: ClassVar[str] = "StableDiffusionPipeline"
    classes: ClassVar[dict[str, str]] = {
        "vae": "diffusers:AutoencoderKL",
        "text_encoder": "transformers:CLIPTextModel",
        "unet": "diffusers:UNet2DConditionModel",
    }
    tokenizers: ClassVar[dict[str, str]] = {"tokenizer": "transformers:CLIPTokenizer"}
    default_guidance = 7.5

    def _pipeline_extras(self) -> dict[str, Any]:
        return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}

    def _encode(self, prompts: list[str]) -> Conditions:
        pipeline = self.pipeline(only=("text_encoder", "tokenizer"))
        embeds, _ = pipeline.encode_prompt(prompts, self.device, 1, False)
        return {"embeds": embeds}  # [b, 77, d]

    def predict(self, noisy: Tensor, times: Tensor, text: Conditions, sizes: Sequence[Size] | None = None) -> Tensor:  # noqa: ARG002
        """See :meth:`Family.predict`."""
        prediction: Tensor = self.part("unet")(
            noisy.to(self.dtype), times.to(self.device), encoder_hidden_states=text["embeds"].to(self.dtype), return_dict=False
        )[0]
        return prediction.float()
