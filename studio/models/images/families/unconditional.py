"""Unconditional diffusion of pixels: one UNet, no text (DDPM, https://arxiv.org/abs/2006.11239)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from studio.core.errors import UserError
from studio.models.images.families.base import Conditions, Family, Size
from studio.models.images.families.pipeline import PipelineFamily
from studio.models.images.noise import DiscreteProcess


class Unconditional(PipelineFamily):
    """A ``DDPMPipeline`` or ``DDIMPipeline``; captions are not read and every prompt gives a picture of the same kind."""

    name: ClassVar[str] = "unconditional"
    tuned: ClassVar[str] = "unet"
    conditional: ClassVar[bool] = False
    lora_targets: ClassVar[dict[str, tuple[str, ...]]] = {
        "attention": ("to_q", "to_k", "to_v", "to_out.0"),
        "all-linear": ("to_q", "to_k", "to_v", "to_out.0", "time_emb_proj"),
    }
    pipeline_class: ClassVar[str] = "DDPMPipeline"
    classes: ClassVar[dict[str, str]] = {"unet": "diffusers:UNet2DModel"}

    def _set_up(self) -> None:
        config = self.config("unet")
        if config.get("in_channels") != 3:
            raise UserError(f"{self.folder}/unet sees {config.get('in_channels')} channels, but pictures have 3.")
        self.process = DiscreteProcess.from_scheduler(self.scheduler_config)
        self.multiple = int(2 ** (len(config["block_out_channels"]) - 1))
        size = config["sample_size"]
        self.default_size = int(size if isinstance(size, int) else size[0])
        self.default_steps = 100

    def _encode(self, prompts: list[str]) -> Conditions:  # noqa: ARG002 - there is no text
        return {}

    def encode_text(self, prompts: Sequence[str]) -> Conditions:  # noqa: ARG002 - there is no text
        """No conditions."""
        return {}

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """The pixels themselves."""
        return pixels

    def latents(self, moments: Tensor, generator: torch.Generator | None) -> Tensor:
        """The pixels themselves."""
        return Family.latents(self, moments, generator)

    def decode(self, latents: Tensor) -> Tensor:
        """The pixels themselves."""
        return latents

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Three colours and the picture's own size."""
        return 3, height, width

    def predict(self, noisy: Tensor, times: Tensor, text: Conditions, sizes: Sequence[Size] | None = None) -> Tensor:  # noqa: ARG002
        """See :meth:`Family.predict`."""
        prediction: Tensor = self.part("unet")(noisy.to(self.dtype), times.to(self.device), return_dict=False)[0]
        return prediction.float()
