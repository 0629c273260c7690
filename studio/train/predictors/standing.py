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

from studio.core.files import write_json
from studio.train.checkpoints import new_checkpoint, rotate_checkpoints

WEIGHTS, BEST = "trained.safetensors", "best.safetensors"
_KEPT = 2
"""Checkpoints that stay: the newest, and one in case it is damaged."""


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


def write_checkpoint(
    folder: Path,
    trained: Mapping[str, Tensor],
    best: Mapping[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
    standing: Standing,
) -> None:
    """Write ``checkpoint-<step>`` under ``folder`` and delete those that are not needed any more.

    Args:
        best: the weights of the best epoch so far, None where there is none yet or it is where the training stands.
    Raises:
        StudioError: the disk is full or cannot be written; older checkpoints stay.
    """
    with new_checkpoint(folder, standing.step) as hidden:
        for name, values in ((WEIGHTS, trained), (BEST, best)):
            if values is not None:
                save_file({key: value.detach().cpu().contiguous() for key, value in values.items()}, hidden / name)
        torch.save(optimizer.state_dict(), hidden / "optimizer.pt")
        write_json(hidden / "standing.json", asdict(standing))
    rotate_checkpoints(folder, keep=_KEPT, best_step=None)


def read_checkpoint(
    checkpoint: Path, optimizer: torch.optim.Optimizer
) -> tuple[Standing, dict[str, Tensor], dict[str, Tensor] | None]:
    """Put back what the optimizer remembered, opened as plain data only.

    Returns:
        where the training stood, its weights, and those of the best epoch where they are others.
    """
    optimizer.load_state_dict(torch.load(checkpoint / "optimizer.pt", map_location="cpu", weights_only=True))
    standing = Standing(**json.loads((checkpoint / "standing.json").read_text(encoding="utf-8")))
    best = checkpoint / BEST
    return standing, load_file(checkpoint / WEIGHTS), load_file(best) if best.is_file() else None
