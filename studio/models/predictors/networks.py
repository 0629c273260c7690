"""What networks of predictors share: weights as safetensors, settings as JSON, activations by name, probabilities."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from studio.core.errors import StudioError
from studio.core.files import write_json

WEIGHTS, SETTINGS = "model.safetensors", "network.json"

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def activation(name: str) -> nn.Module:
    """What bends between layers, by its name in a preset."""
    return _ACTIVATIONS[name]()


def save_weights(network: nn.Module, path: Path) -> None:
    """Every parameter and buffer of a network in one safetensors file."""
    save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Put saved weights into a network of the same shape.

    Raises:
        StudioError: the file is missing, damaged, or of another shape.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StudioError(f"{path} cannot be opened ({str(error).splitlines()[0]}). Train the run again.") from error


def save_settings(settings: dict[str, Any], folder: Path) -> None:
    """Write what a network is built from."""
    write_json(folder / SETTINGS, settings)


def read_settings(folder: Path) -> dict[str, Any]:
    """What :func:`save_settings` wrote.

    Raises:
        StudioError: it is missing or damaged.
    """
    path = folder / SETTINGS
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudioError(f"{path} cannot be read ({error}). Train the run again.") from error
    return found


def probabilities(logits: Tensor) -> np.ndarray:
    """Shares of the labels float64 [n, k] from what a network gives [n, k]; each row sums to 1."""
    shares: np.ndarray = torch.softmax(logits.double(), dim=1).cpu().numpy()
    return shares


def slices(count: int, size: int) -> Iterator[list[int]]:
    """The numbers 0 … count-1 in runs of ``size``."""
    for first in range(0, count, size):
        yield list(range(first, min(first + size, count)))
