"""VAE and GAN as families: they draw a picture from noise and a label in one pass, so that samplers, scores and apps treat them
like the diffusion models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from studio.core.errors import UserError
from studio.core.files import write_json
from studio.models.images.families.base import Conditions, Drawing, Family, Quantization, Size
from studio.models.images.label_networks import Generator, Vae
from studio.models.weights import check_safetensors

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


class LabelledFamily(Family):
    """A network from latent and label to picture, in one folder ``network/`` beside ``model_index.json``."""

    tuned: ClassVar[str] = "network"
    network_class: ClassVar[type[Vae] | type[Generator]]
    only_default_size: ClassVar[bool] = True

    def __init__(self, network: nn.Module, config: dict[str, Any], *, device: torch.device, dtype: torch.dtype) -> None:
        """``config``: size, width, latent, labels (names in the order of their numbers) and captions (caption to label)."""
        self.network, self.config, self.device, self.dtype = network.to(device), config, device, dtype
        self.default_size, self.default_steps = int(config["size"]), 1
        self.labels: list[str] = list(config["labels"])

    @classmethod
    def build(cls, config: dict[str, Any], *, device: torch.device, dtype: torch.dtype) -> Self:
        """A new network with random weights."""
        return cls(cls.network_class(**_shape(config)), config, device=device, dtype=dtype)

    @classmethod
    def open(cls, folder: Path, *, device: torch.device, dtype: torch.dtype, quantization: Quantization = "none") -> Self:  # noqa: ARG003
        """See :meth:`Family.open`."""
        from safetensors.torch import load_file

        try:
            config = json.loads((folder / "network" / _CONFIG).read_text(encoding="utf-8"))
            family = cls.build(config, device=device, dtype=dtype)
            check_safetensors(folder / "network" / _WEIGHTS)
            family.network.load_state_dict(load_file(folder / "network" / _WEIGHTS))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(f"{folder} is no whole {cls.name} ({error}). Train it again.") from error
        family.network.requires_grad_(False).eval()
        return family

    def networks(self) -> dict[str, nn.Module]:
        """The one network."""
        return {"network": self.network}

    def label_of(self, prompt: str) -> int:
        """The label meant by a prompt: a caption that was trained on, a label's name, or one that occurs in the prompt.

        A prompt that names none gets the number after the last label, "no label".
        """
        words = prompt.strip().lower()
        caption = self.config.get("captions", {}).get(words)
        if caption is not None:
            return int(caption)
        names = [label.lower() for label in self.labels]
        if words in names:
            return names.index(words)
        inside = [number for number, name in enumerate(names) if name in words]
        return inside[0] if len(inside) == 1 else len(names)

    def encode_text(self, prompts: Sequence[str]) -> Conditions:
        """Labels, int64 [b]."""
        return {"label": torch.tensor([self.label_of(prompt) for prompt in prompts], device=self.device)}

    def predict(self, noisy: Tensor, times: Tensor, text: Conditions, sizes: Sequence[Size] | None = None) -> Tensor:  # noqa: ARG002
        """Not a diffusion model.

        Raises:
            UserError: always.
        """
        raise UserError(f"a {self.name} draws in one pass and cannot be tuned as a diffusion model. Take a diffusion base.")

    def save(self, folder: Path) -> None:
        """See :meth:`Family.save`."""
        from safetensors.torch import save_file

        (folder / "network").mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, folder / "network" / _WEIGHTS, metadata={"format": "pt"})
        write_json(folder / "network" / _CONFIG, self.config)
        write_json(folder / "model_index.json", {"_class_name": type(self).__name__, "network": ["studio", self.name]})

    @torch.inference_mode()
    def draw(self, prompts: Sequence[str], seeds: Sequence[int], wanted: Drawing) -> Tensor:
        """See :meth:`Family.draw`; one pass, and nothing to guide.

        Raises:
            UserError: another size than the network's was asked for.
        """
        side = self.default_size
        if (wanted.height, wanted.width) != (side, side):
            raise UserError(
                f"this {self.name} draws {side} x {side} pixels only, but {wanted.width} x {wanted.height} were asked for."
            )
        latent = int(self.config["latent"])
        noise = torch.stack([torch.randn(latent, generator=torch.Generator().manual_seed(seed)) for seed in seeds])  # [b, d]
        pixels = self.network(noise.to(self.device), self.encode_text(prompts)["label"])
        if wanted.advance:
            wanted.advance(1)
        found: Tensor = (pixels.float().clamp(-1, 1) / 2 + 0.5).cpu()
        return found


class LabelVae(LabelledFamily):
    """The VAE of :mod:`studio.models.images.label_networks`."""

    name: ClassVar[str] = "vae"
    network_class = Vae


class LabelGan(LabelledFamily):
    """The generator of a GAN; the discriminator is kept in checkpoints only."""

    name: ClassVar[str] = "gan"
    network_class = Generator


def _shape(config: dict[str, Any]) -> dict[str, int]:
    """Arguments of the networks."""
    return {
        "size": int(config["size"]),
        "width": int(config["width"]),
        "latent": int(config["latent"]),
        "labels": len(config["labels"]),
    }
