"""What a checkpoint of a network holds: weights that train, what the optimizer remembers, and where the training stands.

Whole or not there: :mod:`studio.train.checkpoints`. The order of rows and all that is random follow from the seed and the number
of the step, so neither has to be kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from studio.core.files import disk_errors, write_json
from studio.train.checkpoints import PARTIAL, clear_partial, publish_checkpoint, rotate_checkpoints

WEIGHTS = "trained.safetensors"
_KEPT = 2
"""Checkpoints that stay: the newest, and that of the best epoch."""


@dataclass
class Standing:
    """Where a training stands.

    step: optimizer steps done. epochs: epochs that were done and measured. best_loss, best_step: of the validation. worse: epochs
    in a row without a gain. waited: the same since the learning rate last fell. cuts: how often it fell.
    """

    step: int = 0
    epochs: int = 0
    best_loss: float | None = None
    best_step: int | None = None
    worse: int = 0
    waited: int = 0
    cuts: int = 0


def write_checkpoint(folder: Path, trained: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, standing: Standing) -> None:
    """Write ``checkpoint-<step>`` under ``folder`` and delete those that are not needed any more.

    Raises:
        StudioError: the disk is full or cannot be written; older checkpoints stay.
    """
    clear_partial(folder)
    hidden = folder / PARTIAL / f"checkpoint-{standing.step}"
    with disk_errors(hidden.name, folder):
        hidden.mkdir(parents=True)
        save_file({name: value.detach().cpu().contiguous() for name, value in trained.items()}, hidden / WEIGHTS)
        torch.save(optimizer.state_dict(), hidden / "optimizer.pt")
        write_json(hidden / "standing.json", asdict(standing))
    publish_checkpoint(folder, standing.step)
    rotate_checkpoints(folder, keep=_KEPT, best_step=standing.best_step)


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The weights of a whole checkpoint."""
    return load_file(checkpoint / WEIGHTS)


def read_checkpoint(checkpoint: Path, optimizer: torch.optim.Optimizer) -> Standing:
    """Put back what the optimizer remembered, opened as plain data only; where the training stood."""
    optimizer.load_state_dict(torch.load(checkpoint / "optimizer.pt", map_location="cpu", weights_only=True))
    return Standing(**json.loads((checkpoint / "standing.json").read_text(encoding="utf-8")))
