"""Where the training of a network stands, and its checkpoints. Whole or not there: ``studio.train.checkpoints``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from studio.core.files import write_json
from studio.train.checkpoints import new_checkpoint, rotate_checkpoints

_WEIGHTS, _OPTIMIZER, _STANDING = "network.safetensors", "optimizer.pt", "standing.json"


@dataclass
class Standing:
    """step: steps done. worse: looks at validation in a row without a gain. first_loss: that of the first step."""

    step: int = 0
    best_loss: float | None = None
    best_step: int | None = None
    worse: int = 0
    first_loss: float | None = None


def save_checkpoint(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, standing: Standing, keep: int) -> None:
    """Write ``checkpoint-<step>``; the best one stays, of the others the newest.

    Raises:
        StudioError: the disk is full or cannot be written; older checkpoints stay.
    """
    with new_checkpoint(folder, standing.step) as hidden:
        weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(weights, hidden / _WEIGHTS)
        torch.save(optimizer.state_dict(), hidden / _OPTIMIZER)
        write_json(hidden / _STANDING, asdict(standing))
    rotate_checkpoints(folder, keep=keep, best_step=standing.best_step)


def load_checkpoint(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Standing:
    """Take up a checkpoint of this very run; the optimizer's file is opened as plain data only."""
    load_weights(checkpoint, network)
    optimizer.load_state_dict(torch.load(checkpoint / _OPTIMIZER, map_location="cpu", weights_only=True))
    told: dict[str, Any] = json.loads((checkpoint / _STANDING).read_text(encoding="utf-8"))
    return Standing(**told)


def load_weights(checkpoint: Path, network: nn.Module) -> None:
    """The weights alone."""
    network.load_state_dict(load_file(checkpoint / _WEIGHTS))
