"""What a checkpoint of an image training holds, and taking it up again. Whole or not there: ``studio.train.checkpoints``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from studio.core.files import write_json
from studio.train.checkpoints import new_checkpoint
from studio.train.images.loop import Learner
from studio.train.images.trained import Ema, Trained

WEIGHTS, AVERAGE = "trained.safetensors", "average.safetensors"


@dataclass
class Standing:
    """Where a training stands besides its weights. worse: held-out losses in a row that were not better than the best."""

    step: int = 0
    best_loss: float | None = None
    best_step: int | None = None
    worse: int = 0


def unwritten(run_folder: Path, standing: Standing) -> Callable[[], str]:
    """What could not be written to where, once the disk is full; see :func:`studio.train.ending.plain_words`."""
    return lambda: f"what belongs to step {standing.step} could not be written to {run_folder}"


def save_checkpoint(folder: Path, learner: Learner, standing: Standing) -> None:
    """Write a checkpoint of a diffusion training; see :func:`write_checkpoint`."""
    state = {"optimizer": learner.optimizer.state_dict(), "schedule": learner.schedule.state_dict()}
    write_checkpoint(folder, learner.trained, learner.ema, state, standing)


def load_checkpoint(checkpoint: Path, learner: Learner) -> Standing:
    """Put a whole checkpoint of this very run back."""
    standing, state = read_checkpoint(checkpoint, learner.trained, learner.ema)
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.schedule.load_state_dict(state["schedule"])
    return standing


def write_checkpoint(folder: Path, trained: Trained, ema: Ema | None, state: Any, standing: Standing) -> None:
    """Write ``checkpoint-<step>`` under ``folder``: trained weights, their average, what optimizers remember, standing.

    Args:
        state: of optimizers and schedules, as plain data.
    Raises:
        StudioError: the disk is full or cannot be written; older checkpoints stay.
    """
    with new_checkpoint(folder, standing.step) as hidden:
        save_file({name: value.contiguous() for name, value in trained.state().items()}, hidden / WEIGHTS)
        if ema is not None:
            save_file({name: value.cpu().contiguous() for name, value in ema.values.items()}, hidden / AVERAGE)
        torch.save(state, hidden / "optimizer.pt")
        write_json(hidden / "standing.json", asdict(standing))


def read_checkpoint(checkpoint: Path, trained: Trained, ema: Ema | None) -> tuple[Standing, Any]:
    """Put weights and average back; where the training stood, and the state, whose file is opened as plain data only."""
    trained.load(load_file(checkpoint / WEIGHTS))
    if ema is not None:
        device = next(iter(trained.parameters.values())).device
        ema.values = {name: value.to(device) for name, value in load_file(checkpoint / AVERAGE).items()}
    state = torch.load(checkpoint / "optimizer.pt", map_location="cpu", weights_only=True)
    return Standing(**json.loads((checkpoint / "standing.json").read_text(encoding="utf-8"))), state


def saved_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights that count in a checkpoint: the average where there is one."""
    average = checkpoint / AVERAGE
    return load_file(average if average.is_file() else checkpoint / WEIGHTS)
