"""Predictors that look at pictures with a network: files to pixels, pixels to likelihoods of labels.

Legend: n pictures, b pictures of a batch, s side in pixels, k labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from studio.core.errors import DataError
from studio.models.device import pick_device
from studio.models.pictures import open_picture
from studio.models.predictors.base import Predictor, PredictorInfo
from studio.models.predictors.networks import (
    WEIGHTS,
    load_weights,
    probabilities,
    read_settings,
    save_settings,
    save_weights,
    slices,
)
from studio.models.predictors.picture_layers import PictureNetwork, build_picture_network

_AT_ONCE = 32
"""Pictures per batch when a predictor is asked."""


class PictureNetworkPredictor(Predictor):
    """A network that looks at one column of picture files.

    For explanations, ``network.maps`` gives the last maps of ``pixels``, and ``network.head(network.pooled(maps))`` the logits.
    """

    form = "picture-network"

    def __init__(self, info: PredictorInfo, network: PictureNetwork, settings: dict[str, Any]) -> None:
        """``settings``: what the network is built from, and ``size``, ``mean`` and ``std`` of what it looks at."""
        super().__init__(info)
        self.device = pick_device()
        self.network, self.settings = network.to(self.device).eval(), settings

    def pixels(self, paths: Sequence[object]) -> Tensor:
        """Picture files as the network takes them: float32 [b, 3, s, s], on the predictor's device.

        Raises:
            DataError: a picture is missing or cannot be opened.
        """
        raw = torch.stack([read_pixels(path, self.settings["size"]) for path in paths])
        return normalised(raw, self.settings["mean"], self.settings["std"]).to(self.device)

    def scores(self, features: pd.DataFrame) -> np.ndarray:
        """See :meth:`studio.models.predictors.base.Predictor.scores`."""
        paths = features[self.info.columns[0].name].tolist()
        found = [np.empty((0, len(self.info.labels)))]
        with torch.inference_mode():
            for places in slices(len(paths), _AT_ONCE):
                found.append(probabilities(self.network(self.pixels([paths[place] for place in places]))))
        return np.concatenate(found)

    def write(self, folder: Path) -> None:
        """Settings and weights."""
        save_settings(self.settings, folder)
        save_weights(self.network, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, info: PredictorInfo) -> PictureNetworkPredictor:
        """See :meth:`studio.models.predictors.base.Predictor.load`."""
        settings = read_settings(folder)
        network = build_picture_network(settings)
        load_weights(network, folder / WEIGHTS)
        return cls(info, network, settings)


def read_pixels(path: object, size: int) -> Tensor:
    """A picture file scaled to a square, whatever its shape: uint8 [3, s, s].

    Raises:
        DataError: it is missing or cannot be opened.
    """
    if not isinstance(path, str):
        raise DataError("a row has no picture, and this network looks at nothing else. Leave the row out.")
    picture = open_picture(path)
    if picture.size != (size, size):
        picture = picture.resize((size, size))  # bicubic; what shrinks is averaged
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def normalised(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 or float32 in 0..255 [b, 3, s, s] to float32 of about mean 0 and variance 1, by the network's own mean and spread."""
    centre, spread = (torch.tensor(values, dtype=torch.float32)[None, :, None, None] for values in (mean, std))
    return (pixels.float() / 255 - centre) / spread
