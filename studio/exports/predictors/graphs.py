"""Predictors as graphs: what goes in is what ``programs`` read from rows, what comes out are probabilities or numbers.

Legend: b rows, s words or tokens of the longest text, k labels, f prepared features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from studio.exports.graph import Graph, Port, Road
from studio.exports.predictors.recurrent import NamedLayers, PlainLayers, TextGraph, onnx_translations
from studio.models.predictors.base import Predictor, PredictorInfo
from studio.models.predictors.column_network import ColumnNetworkPredictor
from studio.models.predictors.picture_network import PictureNetworkPredictor
from studio.models.predictors.pipeline import PipelinePredictor
from studio.models.predictors.text_layers import RecurrentNetwork, TextNetwork
from studio.models.predictors.text_network import TextNetworkPredictor

_SAMPLE = (2, 7)
"""Rows and words of the tensors that a graph with sizes that may change is followed with."""


def graph_of(predictor: Predictor, road: Road) -> Graph:
    """The graph of an opened predictor, on the CPU."""
    if isinstance(predictor, TextNetworkPredictor):
        return _text(predictor, road)
    rows: int | str = 1 if road == "fixed" else "batch"
    count = 1 if road == "fixed" else _SAMPLE[0]
    if isinstance(predictor, PictureNetworkPredictor):
        side = int(predictor.settings["size"])
        meaning = "pictures, red, green and blue, scaled to the side and normalised with mean and std"
        port = Port("pixels", "float32", (rows, 3, side, side), meaning)
        module: nn.Module = Shares(predictor.network.cpu().eval())
        return Graph((port,), (_answer(predictor.info, rows),), module, (torch.zeros(count, 3, side, side),))
    meaning = "columns prepared as preparation.json says"
    if isinstance(predictor, ColumnNetworkPredictor):
        features = int(predictor.settings["features"])
        port = Port("features", "float32", (rows, features), meaning)
        network = predictor.network.cpu().eval()
        module = Shares(network) if predictor.info.task == "labels" else Numbers(network, predictor.settings, predictor.info)
        return Graph((port,), (_answer(predictor.info, rows),), module, (torch.zeros(count, features),))
    assert isinstance(predictor, PipelinePredictor)
    from studio.exports.predictors.estimators import estimator_dtype, estimator_onnx

    estimator, info = predictor.pipeline[-1], predictor.info
    port = Port("features", estimator_dtype(estimator), (rows, int(estimator.n_features_in_)), meaning)
    return Graph((port,), (_answer(info, rows),), onnx=lambda: estimator_onnx(estimator, info))


def _answer(info: PredictorInfo, rows: int | str) -> Port:
    """What comes out."""
    if info.task == "numbers":
        return Port("value", "float32", (rows,), f"{info.target}{f' in {info.unit}' if info.unit else ''}")
    meaning = f"probability of each label of {info.target}, in the order of labels in predictor.json"
    return Port("probabilities", "float32", (rows, len(info.labels)), meaning)


def _text(predictor: TextNetworkPredictor, road: Road) -> Graph:
    """A network that reads texts."""
    network: Any = predictor.network.cpu().eval()
    recurrent = isinstance(network, RecurrentNetwork)
    if recurrent:
        layers = NamedLayers if road == "onnx" else PlainLayers
        network = TextGraph(network, layers(network.recurrent)).eval()
    longest = predictor.reader.max_length
    rows: int | str = 1 if road == "fixed" else "batch"
    length: int | str = longest if road == "fixed" or (recurrent and road == "exported") else "length"
    sizes = 1 if road == "fixed" else _SAMPLE[0], longest if length == longest else _SAMPLE[1]
    shape: tuple[int | str, ...] = (rows, length)
    what = "numbers of words (vocabulary.json)" if not isinstance(predictor.network, _encoders()) else "numbers of tokens"
    inputs = (
        Port("input_ids", "int64", shape, f"{what}, filled up on the right"),
        Port("attention_mask", "int64", shape, "1 where a number stands, 0 where it was filled up"),
    )
    sample = torch.ones(sizes, dtype=torch.int64), torch.ones(sizes, dtype=torch.int64)
    sample[1][-1, sizes[1] // 2 + 1 :] = 0
    return Graph(inputs, (_answer(predictor.info, rows),), TextShares(network), sample, translations=onnx_translations)


def _encoders() -> type[TextNetwork]:
    """The class of pretrained encoders; imported late, for it brings transformers."""
    from studio.models.predictors.encoder import EncoderNetwork

    return EncoderNetwork


class Shares(nn.Module):
    """Probabilities [b, k] of what a network says for each label."""

    def __init__(self, network: nn.Module) -> None:
        """``network`` gives logits."""
        super().__init__()
        self.network = network

    def forward(self, given: Tensor) -> Tensor:
        """Softmax."""
        return torch.softmax(self.network(given), dim=1)


class TextShares(nn.Module):
    """The same of a network that reads texts."""

    def __init__(self, network: nn.Module) -> None:
        """``network`` takes numbers int64 and a mask bool, both [b, s]."""
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [b, s] twice to [b, k]."""
        return torch.softmax(self.network(input_ids, attention_mask > 0), dim=1)


class Numbers(nn.Module):
    """Numbers [b] in the unit of the target, of a network that was trained on scaled ones."""

    def __init__(self, network: nn.Module, settings: dict[str, Any], info: PredictorInfo) -> None:
        """``settings``: with ``center`` and ``spread``."""
        super().__init__()
        self.network, self.center, self.spread = network, float(settings["center"]), float(settings["spread"])
        self.logarithm = bool(info.extra.get("log_target"))

    def forward(self, features: Tensor) -> Tensor:
        """[b, f] to [b]."""
        numbers: Tensor = self.network(features)[:, 0] * self.spread + self.center
        return numbers.exp() if self.logarithm else numbers
