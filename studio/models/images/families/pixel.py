"""The studio's own small model: text to pixels without VAE or pretrained text encoder, made to be trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from studio.core.errors import UserError
from studio.core.files import write_json
from studio.models.images.families.base import Conditions, Family, Quantization, Size
from studio.models.images.families.quantize import quantize_blocks
from studio.models.images.noise import FlowProcess
from studio.models.images.words import FILE, TABLE_ROWS, Words

PIPELINE = "PixelPipeline"
# Dividing by a vanishing noise level would let nearly clean pictures rule the loss (Back to Basics, arXiv 2511.13720).
_SMALLEST_TIME = 0.05
_GUIDANCE = 2.0


class PixelFamily(Family):
    """Rectified flow in pixel space; the network says the clean picture, from which the flow follows."""

    name: ClassVar[str] = "pixel"
    only_default_size: ClassVar[bool] = True  # places are learned for one size
    lora_targets: ClassVar[dict[str, tuple[str, ...]]] = {
        "attention": ("to_q", "to_k", "to_v", "to_out"),
        "all-linear": ("to_q", "to_k", "to_v", "to_out", "up", "down", "steer", "caption_in.0", "caption_in.2", "patches_out"),
    }

    network: Any
    process: FlowProcess

    def __init__(
        self, network: nn.Module, words: Words, process: FlowProcess, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Use :meth:`open` or :meth:`create`."""
        self.network = network.to(device)
        self.words, self.process, self.device, self.dtype = words, process, device, dtype
        self.default_size = int(self.network.config.resolution)
        self.default_guidance = _GUIDANCE

    @classmethod
    def create(
        cls,
        settings: dict[str, int],
        *,
        resolution: int,
        process: FlowProcess,
        device: torch.device,
        dtype: torch.dtype,
        seed: int,
    ) -> Self:
        """A network with random start values.

        Args:
            settings: fields of :class:`studio.schema.diffusion.PixelNetwork`.
        """
        from studio.models.images.pixel_network import PixelTransformer

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = PixelTransformer(resolution=resolution, table_rows=TABLE_ROWS, **settings)
        return cls(network, Words(max_words=settings["max_words"]), process, device=device, dtype=dtype)

    @classmethod
    def open(cls, folder: Path, *, device: torch.device, dtype: torch.dtype, quantization: Quantization = "none") -> Self:
        """Open what :meth:`save` wrote."""
        from diffusers import FlowMatchEulerDiscreteScheduler

        from studio.models.images.pixel_network import PixelTransformer

        words = Words.load(folder / "words")
        load: Any = PixelTransformer.from_pretrained
        try:
            network = load(folder / "transformer", use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False)
            scheduler: Any = FlowMatchEulerDiscreteScheduler.load_config(folder / "scheduler", local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            line = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{folder} cannot be opened as a pixel model: {line}. Take the whole folder of the model.") from error
        if quantization != "none":
            quantize_blocks(network, quantization, dtype=dtype, device=device)
        process = FlowProcess(shift=float(scheduler.get("shift", 1.0)))
        return cls(network.eval(), words, process, device=device, dtype=dtype)

    def networks(self) -> dict[str, nn.Module]:
        """The transformer."""
        return {"transformer": self.network}

    def encode_text(self, prompts: Sequence[str]) -> Conditions:
        """Rows of the word table and which places hold a word; the network itself embeds them."""
        rows, mask = self.words.encode(prompts)
        return {"word_rows": rows.to(self.device), "word_mask": mask.to(self.device)}

    def predict(self, noisy: Tensor, times: Tensor, text: Conditions, sizes: Sequence[Size] | None = None) -> Tensor:  # noqa: ARG002
        """The flow (z - x) / t that the network's picture x implies."""
        times = times.to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            clean = self.network(noisy, times, text["word_rows"], text["word_mask"])
        flow: Tensor = (noisy - clean.float()) / times.clamp(min=_SMALLEST_TIME).view(-1, 1, 1, 1)
        return flow

    def save(self, folder: Path) -> None:
        """A folder in diffusers' layout: ``model_index.json``, ``transformer/``, ``scheduler/``, and ``words/``."""
        import diffusers

        self.network.save_pretrained(folder / "transformer", safe_serialization=True)
        scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler  # type: ignore[attr-defined]
        scheduler(shift=self.process.shift).save_pretrained(folder / "scheduler")
        self.save_extras(folder / "words")
        index = {
            "_class_name": PIPELINE,
            "_diffusers_version": diffusers.__version__,
            "transformer": ["studio.models.images.pixel_network", "PixelTransformer"],
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
            "words": ["studio.models.images.words", "Words"],
        }
        write_json(folder / "model_index.json", index)

    def unknown_words(self, prompts: Iterable[str]) -> list[str]:
        """Words that stood in no caption of the training."""
        return self.words.unknown(prompts)

    def learn_words(self, captions: Iterable[str]) -> list[str]:
        """Note the words of the captions; the new ones come back."""
        return self.words.learn(captions)

    def save_extras(self, folder: Path) -> None:
        """The words."""
        folder.mkdir(parents=True, exist_ok=True)
        self.words.save(folder)

    def load_extras(self, folder: Path) -> None:
        """The words of an adapter: those of its base and its own."""
        if (folder / FILE).is_file():
            self.words = Words.load(folder)
