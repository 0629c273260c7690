"""Predictors that are a plain network on prepared columns: preparation as skops, weights as safetensors.

Legend: n rows, b rows of a batch, f prepared features, k labels (1 for a number).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from studio.models.device import pick_device
from studio.models.predictors.base import Predictor, PredictorInfo, turned_back
from studio.models.predictors.features import plain_features
from studio.models.predictors.networks import (
    WEIGHTS,
    activation,
    load_weights,
    probabilities,
    read_settings,
    save_settings,
    save_weights,
    slices,
)
from studio.models.predictors.saved import open_skops, write_skops

PREPARATION = "preparation.skops"
_AT_ONCE = 1024
"""Rows per batch when a predictor is asked."""


class ColumnNetwork(nn.Module):
    """Hidden layers of one width, each with what bends and dropout behind it. [b, f] to [b, k]."""

    def __init__(self, *, features: int, outputs: int, depth: int, width: int, activation_name: str, dropout: float) -> None:
        """Random weights."""
        super().__init__()
        layers: list[nn.Module] = []
        for before in [features] + [width] * (depth - 1):
            layers += [nn.Linear(before, width), activation(activation_name), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Logits, or scaled numbers."""
        outputs: Tensor = self.layers(features)
        return outputs


class ColumnNetworkPredictor(Predictor):
    """A fitted preparation of plain columns, and a network on what it gives."""

    form = "column-network"

    def __init__(self, info: PredictorInfo, preparation: Any, network: ColumnNetwork, settings: dict[str, Any]) -> None:
        """``preparation``: a fitted transformer of scikit-learn. ``settings``: what the network is built from; for a number also
        ``center`` and ``spread``, by which the network's answers are scaled back.
        """
        super().__init__(info)
        self.device = pick_device()
        self.preparation, self.network, self.settings = preparation, network.to(self.device).eval(), settings

    def scores(self, features: pd.DataFrame) -> np.ndarray:
        """See :meth:`studio.models.predictors.base.Predictor.scores`."""
        labels = self.info.task == "labels"
        if not len(features):
            return np.empty((0, len(self.info.labels)) if labels else (0,))
        matrix = self.preparation.transform(plain_features(features, self.info.columns))
        with torch.inference_mode():
            outputs = torch.cat(
                [self.network(dense_rows(matrix, places).to(self.device)) for places in slices(len(features), _AT_ONCE)]
            )
        if labels:
            return probabilities(outputs)
        numbers = outputs[:, 0].double().cpu().numpy() * self.settings["spread"] + self.settings["center"]
        return turned_back(numbers, self.info)

    def write(self, folder: Path) -> None:
        """Settings, preparation and weights."""
        save_settings(self.settings, folder)
        write_skops(self.preparation, folder / PREPARATION)
        save_weights(self.network, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, info: PredictorInfo) -> ColumnNetworkPredictor:
        """See :meth:`studio.models.predictors.base.Predictor.load`."""
        settings = read_settings(folder)
        network = build_column_network(settings)
        load_weights(network, folder / WEIGHTS)
        return cls(info, open_skops(folder / PREPARATION), network, settings)


def build_column_network(settings: dict[str, Any]) -> ColumnNetwork:
    """A network with random weights from what its predictor keeps."""
    return ColumnNetwork(**{name: value for name, value in settings.items() if name not in {"type", "center", "spread"}})


def dense_rows(matrix: Any, places: Sequence[int]) -> Tensor:
    """Rows of a matrix of numpy or scipy, zeros filled in: float32 [b, f]."""
    rows = matrix[places]
    plain = rows.toarray() if hasattr(rows, "toarray") else rows
    return torch.from_numpy(np.ascontiguousarray(plain, dtype=np.float32))
