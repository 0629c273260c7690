"""Texts and pictures as a pretrained network sees them: one row of numbers of length 1 for each.

Legend: n values, b of a batch, s tokens of the longest text or side of a picture, e numbers that the network gives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from studio.models.clusters.space import unit
from studio.models.device import pick_device
from studio.models.predictors.encoder import ENCODER, TokenReader, load_encoder, load_encoder_tokenizer, mean_of
from studio.models.predictors.networks import WEIGHTS, load_weights, read_settings, save_settings, save_weights, slices
from studio.models.predictors.picture_layers import PictureNetwork, build_picture_network
from studio.models.predictors.picture_network import normalised, read_pixels
from studio.models.predictors.text_layers import filled_up
from studio.models.quiet import quiet_transformers

_AT_ONCE = 32
_KEPT = 50_000
"""Values whose numbers are remembered: rows that are shuffled hold the same ones again."""


class Embedding(ABC):
    """A network that turns values of one type of column into numbers; it is never trained here."""

    type: ClassVar[str]
    """The type of column that it takes."""

    def __init__(self) -> None:
        """Nothing is remembered yet."""
        self._known: dict[str | None, np.ndarray] = {}

    def rows(self, values: Sequence[str | None]) -> np.ndarray:
        """Values as float64 [n, e] of length 1.

        Raises:
            DataError: a picture is missing or cannot be opened.
        """
        wanted = list(dict.fromkeys(values))
        if len(self._known) > _KEPT:
            self._known.clear()
        new = [value for value in wanted if value not in self._known]
        with torch.inference_mode():
            for places in slices(len(new), _AT_ONCE):
                part = [new[place] for place in places]
                self._known |= dict(zip(part, unit(self.numbers(part).double().cpu().numpy()), strict=True))
        return np.stack([self._known[value] for value in values]) if len(values) else np.zeros((0, 0))

    @abstractmethod
    def numbers(self, values: Sequence[str | None]) -> torch.Tensor:
        """A batch of values to [b, e]."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Write all of it into a folder, in a form that runs no code when it is opened."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Embedding:
        """What :meth:`write` wrote.

        Raises:
            StudioError: a file is missing or damaged.
        """


class TextEmbedding(Embedding):
    """An encoder: the mean of what it gives for the tokens of a text (https://arxiv.org/abs/1908.10084)."""

    type = "text"

    def __init__(self, encoder: Any, reader: TokenReader) -> None:
        """``encoder``: of transformers; ``reader``: its tokens."""
        super().__init__()
        self.device = pick_device()
        self.encoder, self.reader = encoder.to(self.device).eval(), reader

    def numbers(self, values: Sequence[str | None]) -> torch.Tensor:
        """See :meth:`Embedding.numbers`; a missing text is an empty one."""
        read, _ = self.reader.numbers([value or "" for value in values])
        tokens, mask = (part.to(self.device) for part in filled_up(read, self.reader.padding))
        return mean_of(self.encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state, mask)

    def write(self, folder: Path) -> None:
        """See :meth:`Embedding.write`."""
        with quiet_transformers():
            self.encoder.save_pretrained(folder / ENCODER)
        self.reader.write(folder)
        save_settings({"type": self.type, "max_length": self.reader.max_length}, folder)

    @classmethod
    def load(cls, folder: Path) -> TextEmbedding:
        """See :meth:`Embedding.load`."""
        tokenizer = load_encoder_tokenizer(folder / ENCODER)
        return cls(load_encoder(folder / ENCODER), TokenReader(tokenizer, read_settings(folder)["max_length"]))


class PictureEmbedding(Embedding):
    """A picture network without its head."""

    type = "picture"

    def __init__(self, network: PictureNetwork, settings: dict[str, Any]) -> None:
        """``settings``: what the network is built from, and ``size``, ``mean`` and ``std`` of what it looks at."""
        super().__init__()
        self.device = pick_device()
        self.network, self.settings = network.to(self.device).eval(), settings

    def numbers(self, values: Sequence[str | None]) -> torch.Tensor:
        """See :meth:`Embedding.numbers`."""
        raw = torch.stack([read_pixels(path, self.settings["size"]) for path in values])
        return self.network.read(normalised(raw, self.settings["mean"], self.settings["std"]).to(self.device))

    def write(self, folder: Path) -> None:
        """See :meth:`Embedding.write`."""
        save_settings(self.settings, folder)
        save_weights(self.network, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> PictureEmbedding:
        """See :meth:`Embedding.load`."""
        settings = read_settings(folder)
        network = build_picture_network(settings)
        load_weights(network, folder / WEIGHTS)
        return cls(network, settings)


def load_embedding(folder: Path) -> Embedding:
    """The embedding of a folder.

    Raises:
        StudioError: a file is missing or damaged.
    """
    kind: type[Embedding] = TextEmbedding if read_settings(folder)["type"] == TextEmbedding.type else PictureEmbedding
    return kind.load(folder)
