"""What a training of a predictor takes, before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.workspace import Workspace
from studio.train.kinds import PlanWish
from studio.train.opening import named_dataset

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset


def plan_training(
    preset: AnyPredictorPreset,
    workspace: Workspace,
    wish: PlanWish,  # noqa: ARG001 - nothing depends on it yet
) -> tuple[list[tuple[str, object]], Callable[[], None]]:
    """Rows of a plan, and the check that it fits."""
    from studio.train.predictors.checks import check_data
    from studio.train.predictors.job import read_rows

    folder: Path = workspace.find_dataset(named_dataset(preset.data, workspace))
    check_data(preset, folder)
    [train] = read_rows(folder, preset, ("train",))
    assert train is not None
    size = int(train.features.memory_usage(deep=True).sum())
    rows: list[tuple[str, object]] = [
        ("estimator", preset.estimator.type),
        ("rows", f"{len(train):,}, {len(train.columns)} columns"),
        ("memory of the rows", f"{size / 2**20:.1f} MiB"),
    ]
    return rows, lambda: None
