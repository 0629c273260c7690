"""What the families that come as a diffusers pipeline share: parts loaded when they are needed, a VAE, a folder of safetensors.

Legend: b pictures, c latent channels, H and W pixels, h and w latents.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from studio.core.errors import UserError
from studio.core.files import sha256_json
from studio.models.images.families.base import Conditions, Drawing, Family, Quantization
from studio.models.images.families.quantize import quantize_blocks
from studio.models.weights import PICKLES, cached_sha256, check_safetensors, weight_files

# Pictures are drawn and decoded together up to this many pixels; a grid of sixteen at 1,024 px would fill any card.
_PIXELS_AT_ONCE = 2 * 1024 * 1024

# Prompts whose embeddings are kept on the CPU, so that sample grids need no text encoder once it is released.
_REMEMBERED = 512


class PipelineFamily(Family):
    """A base in diffusers' layout. A part is read from the folder when it is first used, and again after a release."""

    pipeline_class: ClassVar[str]
    """Name of the pipeline in ``diffusers``."""
    classes: ClassVar[dict[str, str]]
    """Networks by component, as ``library:Class``; the folder must hold each."""
    tokenizers: ClassVar[dict[str, str]] = {}
    """Tokenizers by component, as ``library:Class``."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Components that a base may leave out (SD3's T5)."""

    def __init__(self, folder: Path, *, device: torch.device, dtype: torch.dtype, quantization: Quantization = "none") -> None:
        """Read the small files; see :meth:`open`."""
        self.folder, self.device, self.dtype, self.quantization = folder, device, dtype, quantization
        self.index: dict[str, Any] = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        self._parts: dict[str, Any] = {}
        self._released: set[str] = set()
        self._remembered: dict[str, Conditions] = {}
        self.scheduler_config = _config(folder / "scheduler" / "scheduler_config.json")
        self._set_up()

    @classmethod
    def open(cls, folder: Path, *, device: torch.device, dtype: torch.dtype, quantization: Quantization = "none") -> Self:
        """See :meth:`Family.open`. Configurations and weight headers are checked here; weights are read when first needed."""
        for name in cls.classes:
            part = folder / name
            if name in cls.optional and not part.is_dir():
                continue
            if not (part / "config.json").is_file():
                raise UserError(f"{folder} is no whole {cls.name} base: {name}/config.json is missing. Fetch the model again.")
            for file in _weights(part):
                check_safetensors(file)
        missing = [name for name in cls.tokenizers if name not in cls.optional and not (folder / name).is_dir()]
        if missing:
            raise UserError(f"{folder} is no whole {cls.name} base: {missing[0]} is missing. Fetch the model again.")
        return cls(folder, device=device, dtype=dtype, quantization=quantization)

    @abstractmethod
    def _set_up(self) -> None:
        """Set the noise process, the default size and the multiple from the configurations."""

    @abstractmethod
    def _encode(self, prompts: list[str]) -> Conditions:
        """Captions through the text networks, as the pipeline does it."""

    def part(self, name: str) -> Any:
        """A component, read from the folder if it is not in memory; None for an optional one the base lacks."""
        if name not in self._parts:
            kind = {**self.classes, **self.tokenizers}[name]
            if name in self.optional and not (self.folder / name).is_dir():
                return None
            # Samples are drawn in inference mode, and what is read there for the first time must still be able to train.
            with torch.inference_mode(False):
                self._parts[name] = _network(self, name, kind) if name in self.classes else _tokenizer(self.folder / name, kind)
        return self._parts[name]

    def identity(self, names: Sequence[str]) -> str:
        """Hash of everything that decides what these components give: their files, the number type, the family's own choices."""
        files = {
            file.relative_to(self.folder).as_posix(): cached_sha256(file)
            for name in names
            for file in sorted((self.folder / name).rglob("*"))
            if file.is_file()
        }
        return sha256_json([self.name, str(self.dtype), files, self._pipeline_extras()])

    def text_parts(self) -> tuple[str, ...]:
        """Everything that turns a caption into conditions, the encoders that are never tuned included."""
        return tuple(name for name in (*self.classes, *self.tokenizers) if name.startswith(("text_", "token")))

    def config(self, name: str) -> dict[str, Any]:
        """A component's ``config.json``, without loading its weights."""
        return _config(self.folder / name / "config.json")

    def has(self, name: str) -> bool:
        """Whether the base holds this component."""
        return (self.folder / name).is_dir()

    def networks(self) -> dict[str, nn.Module]:
        """Every network that was not released."""
        return {name: self.part(name) for name in self.classes if name not in self._released and self.has(name)}

    def release(self, names: Iterable[str]) -> None:
        """Forget networks; one that is needed again (a grid's decoder) is read from the folder for as long as it is used."""
        for name in names:
            self._released.add(name)
            self._parts.pop(name, None)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @contextmanager
    def borrowed(self, *names: str) -> Iterator[None]:
        """Have components in memory for a while; what was released before is released again afterwards."""
        before = {name for name in names if name in self._released}
        self._released -= before  # so that a block inside this one does not release them early
        try:
            yield
        finally:
            if before:
                self.release(before)

    def encode_text(self, prompts: Sequence[str]) -> Conditions:
        """See :meth:`Family.encode_text`. What a frozen text network said of a prompt is remembered."""
        tuned = any(
            parameter.requires_grad or "lora_" in name
            for part in self.text_networks
            if isinstance(self._parts.get(part), nn.Module)
            for name, parameter in self._parts[part].named_parameters()
        )
        if tuned:
            return self._encode(list(prompts))
        if len(self._remembered.keys() | set(prompts)) > _REMEMBERED:
            self._remembered.clear()
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._remembered]
        if new:
            with self.borrowed(*self.text_parts()), torch.inference_mode(False), torch.no_grad():
                found = {name: value.cpu() for name, value in self._encode(new).items()}
            for row, prompt in enumerate(new):
                self._remembered[prompt] = {name: value[row] for name, value in found.items()}
        rows = [self._remembered[prompt] for prompt in prompts]
        return {name: torch.stack([row[name] for row in rows]).to(self.device) for name in rows[0]} if rows else {}

    def forget_text(self) -> None:
        """Forget remembered embeddings, because a text encoder or its tokenizer has changed."""
        self._remembered.clear()

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Mean and log-variance of the VAE's posterior, stacked along the channels, [b, 2c, h, w], in the VAE's number type."""
        with self.borrowed("vae"), torch.no_grad():
            vae = self.part("vae")
            moments: Tensor = vae.encode(pixels.to(self.device, vae.dtype)).latent_dist.parameters
        return moments

    def latents(self, moments: Tensor, generator: torch.Generator | None) -> Tensor:
        """A draw from the posterior, shifted and scaled as the network knows it, float32 [b, c, h, w]."""
        mean, log_variance = moments.float().chunk(2, dim=1)
        if generator is not None:
            # The bounds are those of diffusers' DiagonalGaussianDistribution.
            noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean.device)
            mean = mean + torch.exp(0.5 * log_variance.clamp(-30.0, 20.0)) * noise
        scale, shift = self._latent_scale()
        return (mean - shift) * scale

    def decode(self, latents: Tensor) -> Tensor:
        """Through the VAE's decoder."""
        scale, shift = self._latent_scale()
        with self.borrowed("vae"):
            vae = self.part("vae")
            rows = (latents / scale + shift).to(vae.dtype).split(self._at_once(*latents.shape[2:], factor=self.vae_factor))
            return torch.cat([vae.decode(some, return_dict=False)[0] for some in rows])

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], wanted: Drawing) -> Tensor:
        """See :meth:`Family.draw`. Large pictures are drawn a few at a time; ``advance`` counts the steps of each few."""
        few = self._at_once(wanted.height, wanted.width)
        with self.borrowed("vae"):
            drawn = [
                super(PipelineFamily, self).draw(prompts[first : first + few], seeds[first : first + few], wanted)
                for first in range(0, len(prompts), few)
            ]
        return torch.cat(drawn)

    def _at_once(self, height: int, width: int, *, factor: int = 1) -> int:
        """Pictures of this size (in units of ``factor`` pixels) that go through the networks together."""
        return max(1, _PIXELS_AT_ONCE // (height * width * factor * factor))

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """c, h and w of the VAE's latents."""
        return self.config("vae")["latent_channels"], height // self.vae_factor, width // self.vae_factor

    @property
    def vae_factor(self) -> int:
        """Pixels along a side of one latent."""
        return int(2 ** (len(self.config("vae")["block_out_channels"]) - 1))

    def _latent_scale(self) -> tuple[float, float]:
        """The VAE's scaling and shift factors."""
        config = self.config("vae")
        return float(config.get("scaling_factor") or 1.0), float(config.get("shift_factor") or 0.0)

    def pipeline(self, *, only: Sequence[str] | None = None) -> Any:
        """A diffusers pipeline of the parts in memory (and those named), None in the place of the others."""
        import diffusers

        scheduler = getattr(diffusers, self.index["scheduler"][1]).from_config(self.scheduler_config)
        names = [*self.classes, *self.tokenizers]
        parts = {name: self.part(name) if only is None or name in only else None for name in names}
        return getattr(diffusers, self.pipeline_class)(**parts, scheduler=scheduler, **self._pipeline_extras())

    def _pipeline_extras(self) -> dict[str, Any]:
        """Arguments of the pipeline that are neither networks nor tokenizers."""
        return {}

    def save(self, folder: Path) -> None:
        """See :meth:`Family.save`."""
        with self.borrowed(*self._released):
            self.pipeline().save_pretrained(folder, safe_serialization=True)


def _config(path: Path) -> dict[str, Any]:
    """A JSON object of a base.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Fetch the model again.") from error
    return value


def _weights(part: Path) -> list[Path]:
    """Safetensors of a component; pickles are refused by name."""
    found = sorted(path for path in part.glob("*.safetensors") if ".fp16." not in path.name and ".ema" not in path.name)
    if found:
        return found
    pickled = [path.name for path in part.iterdir() if path.suffix in PICKLES]
    if pickled:
        raise UserError(
            f"{part} has only pickled weights ({pickled[0]}), which can run code when opened and are never loaded. "
            "Use a safetensors version of the model."
        )
    return weight_files(part, str(part))


def _class(kind: str) -> Any:
    """The class behind ``library:Class``; only names written in this package come here."""
    import importlib

    library, _, name = kind.partition(":")
    return getattr(importlib.import_module(library), name)


def _network(family: PipelineFamily, name: str, kind: str) -> Any:
    """Load a network: frozen, in evaluation mode, on the device; the tuned one quantised where that was asked."""
    # A VAE that overflows in half precision says so in its configuration (SDXL's).
    dtype = torch.float32 if name == "vae" and family.config("vae").get("force_upcast") else family.dtype
    keyword = "torch_dtype" if kind.startswith("diffusers") else "dtype"
    try:
        network = _class(kind).from_pretrained(
            family.folder / name, local_files_only=True, use_safetensors=True, **{keyword: dtype}
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"{family.folder / name} cannot be loaded ({error}). Fetch the model again.") from error
    network.requires_grad_(False).eval()
    if name == family.tuned and family.quantization != "none":
        quantize_blocks(network, family.quantization, dtype=dtype, device=family.device)
    if name == "vae":
        # Nothing but convolutions: about a tenth faster on CPUs with channels last, where the UNet gains nothing (docs/log.md).
        network.to(memory_format=torch.channels_last)
    return network.to(family.device)


def _tokenizer(folder: Path, kind: str) -> Any:
    """Load a tokenizer from its folder alone."""
    try:
        return _class(kind).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} cannot be loaded as a tokenizer ({error}). Fetch the model again.") from error
