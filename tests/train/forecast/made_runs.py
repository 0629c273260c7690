"""Runs of forecasts as the command line makes them."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import call_studio
from tests.data.series.made_series import made_frame, written

RECIPE = """kind: series
sources:
  - {type: local, path: sales.csv, licence: own data}
split: {horizon: 6, windows: 2, validation: 2}
"""
SMALL = [
    "estimator.steps=60",
    "estimator.eval_every=10",
    "estimator.width=8",
    "estimator.batch_size=16",
    "estimator.patience=null",
]


def make_space(folder: Path, count: int = 3, length: int = 84) -> Path:
    """A workspace with the Dataset ``sales`` built in it."""
    written(folder, made_frame(count, length))
    (folder / "sales.yaml").write_text(RECIPE)
    assert call_studio("data", "build", folder / "sales.yaml", "--workspace", folder / "space") == 0
    return folder / "space"


def train(space: Path, preset: str, *settings: str, name: str | None = None) -> int:
    """Exit code of a training of ``sales``."""
    told = [part for setting in settings for part in ("--set", setting)]
    return call_studio("train", f"forecast/{preset}", "--data", "sales", "--name", name or preset, *told, "--workspace", space)
