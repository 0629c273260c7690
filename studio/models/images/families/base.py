"""What the training loop, the sampler and the adapters need to know of a family of diffusion models, and nothing else.

A family is one module in this folder, a class below :class:`Family` and a line in ``FAMILIES``.
Legend: b pictures, c channels, h and w the size of what the network sees (pixels, or latents of a VAE).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from studio.core.errors import UserError
from studio.core.registry import Registry
from studio.models.images.noise import NoiseProcess

Quantization = Literal["none", "nf4", "int8"]
Conditions = dict[str, Tensor]
"""What text becomes: tensors whose first dimension is b and whose other dimensions never depend on the caption, so that rows can
be cached one by one and joined in any order."""

FAMILIES = Registry(
    "family of image models",
    {
        "pixel": "studio.models.images.families.pixel:PixelFamily",
        "sd15": "studio.models.images.families.sd15:StableDiffusion15",
        "sdxl": "studio.models.images.families.sdxl:StableDiffusionXL",
        "sd3": "studio.models.images.families.sd3:StableDiffusion3",
        "flux": "studio.models.images.families.flux:Flux",
        "unconditional": "studio.models.images.families.unconditional:Unconditional",
        "vae": "studio.models.images.families.labelled:LabelVae",
        "gan": "studio.models.images.families.labelled:LabelGan",
    },
)


@dataclass(frozen=True)
class Size:
    """Where a training picture comes from, in pixels, for families that are told (SDXL).

    original: height and width of the file. crop: top and left of what is shown. target: height and width of what is shown.
    """

    original: tuple[int, int]
    crop: tuple[int, int]
    target: tuple[int, int]


@dataclass(frozen=True)
class Drawing:
    """How a batch of pictures is drawn.

    height, width: in pixels.
    guidance: classifier-free guidance (arXiv 2207.12598): u + guidance (c - u). 1 is plain and half the work.
    advance: called with 1 after every step.
    """

    height: int
    width: int
    steps: int
    guidance: float
    advance: Callable[[int], None] | None = None


class Family(ABC):
    """An opened base model: its networks on one device, and the few things that differ between families."""

    name: ClassVar[str]
    # What it is told in place of a caption, where it reads none.
    labels: Sequence[str] = ()
    tuned: ClassVar[str] = "transformer"
    """Component that predicts, by diffusers' name: ``unet`` or ``transformer``. Its LoRA keys start with it."""
    text_networks: ClassVar[tuple[str, ...]] = ()
    """Components that encode text and can be tuned too."""
    lora_targets: ClassVar[dict[str, tuple[str, ...]]] = {}
    """PEFT target modules behind the words ``attention`` and ``all-linear``; the latter may be left to PEFT by leaving it out."""
    text_lora_targets: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj", "out_proj")
    multiple: int = 1
    """Sides of a picture must be multiples of this many pixels."""
    only_default_size: ClassVar[bool] = False
    """True where the network knows one size of picture only."""
    conditional: ClassVar[bool] = True
    """False for families without text; captions are then not read."""

    process: NoiseProcess
    device: torch.device
    dtype: torch.dtype
    default_size: int
    """Side in pixels that the base was made for."""
    default_steps: int = 30
    default_guidance: float = 1.0

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, *, device: torch.device, dtype: torch.dtype, quantization: Quantization = "none") -> Self:
        """Open a base folder in diffusers' layout; networks in evaluation mode, nothing trains.

        Raises:
            UserError: the folder is not of this family, or damaged.
        """

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Every network by its component name; :attr:`tuned` among them."""

    @abstractmethod
    def encode_text(self, prompts: Sequence[str]) -> Conditions:
        """Captions as the network takes them; the empty caption is the unconditional one.

        Differentiable where a text network trains.
        """

    @abstractmethod
    def predict(self, noisy: Tensor, times: Tensor, text: Conditions, sizes: Sequence[Size] | None = None) -> Tensor:
        """What the process's ``target`` is compared with, float32 [b, c, h, w].

        Args:
            times: [b] as the process draws them.
            sizes: one per picture; None means whole pictures of the default size.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the whole base in diffusers' layout (safetensors and JSON), such that :meth:`open` takes it."""

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """What may be cached of pictures [b, 3, H, W] in -1..1: the moments of a VAE, or the pixels themselves."""
        return pixels

    def latents(self, moments: Tensor, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002 - nothing to draw in pixels
        """A draw [b, c, h, w] from what :meth:`encode_pixels` gave; with generator None its mean."""
        return moments

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures [b, 3, H, W] in -1..1 (not clamped) from latents."""
        return latents

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """c, h and w for a picture of this size."""
        return 3, height, width

    def release(self, names: Iterable[str]) -> None:  # noqa: B027 - most families have nothing to drop
        """Drop components that are needed no more (a VAE or text encoder whose output is cached) to free memory."""

    def unknown_words(self, prompts: Iterable[str]) -> list[str]:  # noqa: ARG002 - most families take any text
        """Words of the prompts that this model never saw in a caption, where it can tell; each once, in order."""
        return []

    def learn_words(self, captions: Iterable[str]) -> list[str]:  # noqa: ARG002 - most families keep no vocabulary
        """Note the words of captions that are trained on; the new ones come back, where a family keeps a vocabulary."""
        return []

    def save_extras(self, folder: Path) -> None:  # noqa: B027 - most families have none
        """Write what belongs to an adapter besides its weights (a vocabulary, learned tokens) into the adapter's folder."""

    def load_extras(self, folder: Path) -> None:  # noqa: B027
        """Take up what :meth:`save_extras` wrote."""

    def sample(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        height: int,
        width: int,
        steps: int,
        guidance: float,
        advance: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Pictures for prompts, one batch: float32 [b, 3, H, W] in 0..1 on the CPU. See :class:`Drawing`.

        Each picture's noise comes from its own seed, drawn on the CPU, so it depends neither on its neighbours nor the device.
        """
        return self.draw(prompts, seeds, Drawing(height, width, steps, guidance, advance))

    @torch.inference_mode()
    def draw(self, prompts: Sequence[str], seeds: Sequence[int], wanted: Drawing) -> Tensor:
        """What :meth:`sample` gives: from noise to pictures, step by step."""
        shape = self.latent_shape(wanted.height, wanted.width)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        z = torch.stack(noise).to(self.device)
        guided = wanted.guidance != 1.0 and self.conditional
        text = self.encode_text([*prompts, *([""] * len(prompts))] if guided else list(prompts))
        levels = self.process.levels(wanted.steps).to(self.device)
        for time, following in itertools.pairwise(levels):
            rows = torch.cat([z, z]) if guided else z
            prediction = self.predict(rows, time.expand(len(rows)), text)
            if guided:
                conditional, unconditional = prediction.chunk(2)
                prediction = unconditional + wanted.guidance * (conditional - unconditional)
            z = self.process.step(z, prediction, time.expand(len(z)), following.expand(len(z)))
            if wanted.advance:
                wanted.advance(1)
        return (self.decode(z).float().clamp(-1, 1) / 2 + 0.5).cpu()


def open_family(
    name: str, folder: Path, *, device: torch.device, dtype: torch.dtype, quantization: Quantization = "none"
) -> Family:
    """Open a base folder with the family of this name.

    Raises:
        UserError: no such family, or the folder is not one of its bases.
    """
    family: type[Family] = FAMILIES.get(name)
    return family.open(folder, device=device, dtype=dtype, quantization=quantization)


def family_of(folder: Path) -> str:
    """The family of a base folder, from the class named in its ``model_index.json``.

    Raises:
        UserError: there is none, or no family knows the class.
    """
    import json

    path = folder / "model_index.json"
    if not path.is_file():
        raise UserError(f"{folder} is no image model: model_index.json is missing. Give a folder saved with save_pretrained.")
    try:
        name: Any = json.loads(path.read_text(encoding="utf-8")).get("_class_name")
    except ValueError as error:
        raise UserError(f"{path} is cut off or damaged ({error}). Fetch the model again.") from error
    if name not in PIPELINES:
        raise UserError(f"{folder} is a {name}, which no family trains. Known: {', '.join(sorted(PIPELINES))}.")
    return PIPELINES[name]


PIPELINES: dict[str, str] = {
    "PixelPipeline": "pixel",
    "StableDiffusionPipeline": "sd15",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "FluxPipeline": "flux",
    "DDPMPipeline": "unconditional",
    "DDIMPipeline": "unconditional",
    "LabelVae": "vae",
    "LabelGan": "gan",
}
"""Class named in ``model_index.json`` to family."""
