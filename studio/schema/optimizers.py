"""Optimizers of presets: their names, their settings, and what each asks of the rest of a preset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from studio.schema.loading import Settings

ImageOptimizer = Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd", "lion_8bit"]
ChatOptimizer = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_8bit",
    "paged_adamw_8bit",
    "adafactor",
    "sgd",
    "lion_32bit",
    "lion_8bit",
    "ademamix",
    "ademamix_8bit",
    "stable_adamw",
    "schedule_free_adamw",
    "prodigy",
    "muon",
    "galore_adamw",
    "apollo_adamw",
    "apollo_mini",
]

PROJECTING = frozenset({"galore_adamw", "apollo_adamw", "apollo_mini"})
"""Keep their state in a low-rank space of each gradient."""
OF_THE_STUDIO = PROJECTING | {"muon", "prodigy", "schedule_free_adamw", "stable_adamw"}
"""Not made by transformers; each process must hold the whole model."""
_STEADY = frozenset({"constant", "constant_with_warmup"})


class ProjectionSettings(Settings):
    """The low-rank space in which ``galore_adamw``, ``apollo_adamw`` and ``apollo_mini`` keep their moments."""

    rank: Annotated[int, Field(gt=0)] | None = None
    """Rank of a gradient's projection; matrices whose smaller side is not larger keep plain AdamW. None is 128, and 1 for
    ``apollo_mini``."""
    every: Annotated[int, Field(gt=0)] = 200
    """Optimizer steps between two projections: the gradient's singular vectors (GaLore), or new random numbers (APOLLO)."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """Factor on the update of projected matrices. None is the papers' own: 0.25 (GaLore), 1 (APOLLO), the square root of 128
    (APOLLO-Mini)."""


def refuse_optimizer(
    name: str,
    projection: ProjectionSettings,
    *,
    full: bool,
    schedule: str,
    learning_rate: float,
    loraplus: bool,
) -> None:
    """Refuse what cannot work, or would do something else than it says, with an optimizer.

    Args:
        full: every weight trains.
        loraplus: a second learning rate is asked for.
    Raises:
        ValueError: one sentence with the remedy.
    """
    if name in PROJECTING and not full:
        raise ValueError(
            f"'optimizer: {name}' projects the gradients of whole matrices to a low rank, which adapters have already. Use "
            "'method: full' or another optimizer."
        )
    if name not in PROJECTING and projection != ProjectionSettings():
        raise ValueError(
            f"'projection' has no meaning with 'optimizer: {name}'. Remove it, or use {', '.join(sorted(PROJECTING))}."
        )
    if name == "apollo_mini" and projection.rank not in {None, 1}:
        raise ValueError(
            f"'projection.rank: {projection.rank}' cannot be used with 'optimizer: apollo_mini', whose rank is 1. Use "
            "apollo_adamw."
        )
    if name == "schedule_free_adamw" and schedule not in _STEADY:
        raise ValueError(
            f"'optimizer: schedule_free_adamw' averages weights in place of a falling learning rate, and 'schedule: {schedule}' "
            "lowers it. Use 'schedule: constant_with_warmup'."
        )
    if name == "prodigy" and not 0.1 <= learning_rate <= 10:
        raise ValueError(
            f"'optimizer: prodigy' finds the learning rate itself and multiplies it by 'learning_rate: {learning_rate:g}'. "
            "Set it to 1; 0.1 to 10 are allowed."
        )
    if loraplus and name in OF_THE_STUDIO:
        raise ValueError(
            f"'loraplus_ratio' needs a learning rate for each matrix, which 'optimizer: {name}' does not take. Use adamw_torch."
        )
