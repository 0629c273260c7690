"""Predictors that read texts with a network: words or tokens as numbers, numbers as likelihoods of labels.

Legend: n texts, b texts of a batch, s words or tokens, k labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from studio.models.device import pick_device
from studio.models.predictors.base import Predictor, PredictorInfo
from studio.models.predictors.networks import (
    WEIGHTS,
    load_weights,
    probabilities,
    read_settings,
    save_settings,
    slices,
)
from studio.models.predictors.text_layers import TextNetwork, build_word_network, filled_up
from studio.models.predictors.words import WordReader

_AT_ONCE = 32
"""Texts per batch when a predictor is asked."""


class TextReader(Protocol):
    """Texts as numbers, and the pieces that the numbers stand for."""

    max_length: int

    @property
    def padding(self) -> int:
        """The number that fills up."""

    def numbers(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Numbers of each text, at least one, and how many texts were longer than is read."""

    def pieces(self, text: str) -> list[str]:
        """Words or tokens of a text, one for each number where it has any."""

    def write(self, folder: Path) -> None:
        """Write what is needed to read again."""


class TextNetworkPredictor(Predictor):
    """A network over the words or tokens of one column of texts.

    For explanations, ``network.embed`` and ``network.judge`` are the two halves of the way from numbers to logits, and
    ``reader.pieces`` says what each number stands for.
    """

    form = "text-network"

    def __init__(self, info: PredictorInfo, network: TextNetwork, reader: TextReader, settings: dict[str, object]) -> None:
        """``settings``: what :meth:`load` builds the network from again, ``type`` among them."""
        super().__init__(info)
        self.device = pick_device()
        self.network, self.reader, self.settings = network.to(self.device).eval(), reader, settings

    def texts(self, features: pd.DataFrame) -> list[str]:
        """The column that is read; a missing text is an empty one."""
        return texts_of(features[self.info.columns[0].name])

    def tensors(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Numbers int64 [b, s] and mask bool [b, s], on the predictor's device."""
        numbers, mask = filled_up(self.reader.numbers(texts)[0], self.reader.padding)
        return numbers.to(self.device), mask.to(self.device)

    def scores(self, features: pd.DataFrame) -> np.ndarray:
        """See :meth:`studio.models.predictors.base.Predictor.scores`."""
        texts = self.texts(features)
        found = [np.empty((0, len(self.info.labels)))]
        with torch.inference_mode():
            for places in slices(len(texts), _AT_ONCE):
                found.append(probabilities(self.network(*self.tensors([texts[place] for place in places]))))
        return np.concatenate(found)

    def write(self, folder: Path) -> None:
        """Settings, weights, and what reads texts."""
        save_settings(self.settings, folder)
        self.reader.write(folder)
        self.network.write(folder)

    @classmethod
    def load(cls, folder: Path, info: PredictorInfo) -> TextNetworkPredictor:
        """See :meth:`studio.models.predictors.base.Predictor.load`."""
        settings = read_settings(folder)
        if settings["type"] == "bert":
            from studio.models.predictors.encoder import EncoderNetwork, TokenReader

            return cls(info, EncoderNetwork.load(folder, settings), TokenReader.load(folder, settings), settings)
        network = build_word_network(settings)
        load_weights(network, folder / WEIGHTS)
        return cls(info, network, WordReader.load(folder), settings)


def texts_of(values: pd.Series) -> list[str]:
    """A column of texts; a missing one is empty."""
    return ["" if value is None or value != value else str(value) for value in values]
