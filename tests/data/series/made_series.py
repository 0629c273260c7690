"""Series with a trend and a season, as people have them in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.series.build import build_series_dataset
from studio.schema.loading import load_value
from studio.schema.series_recipe import SeriesRecipe


def made_frame(
    count: int = 3, length: int = 72, *, start: str = "2015-01-01", frequency: str = "MS", seed: int = 0
) -> pd.DataFrame:
    """Long form: columns time, series, value; levels, slopes and seasons differ."""
    draws = np.random.default_rng(seed)
    stamps = pd.date_range(start, periods=length, freq=frequency)
    parts = []
    for number in range(count):
        places = np.arange(length)
        level = 100 * (number + 1) + draws.uniform(0.5, 2) * places
        season = draws.uniform(5, 20) * np.sin(2 * np.pi * places / 12)
        noise = draws.normal(0, 2, length)
        parts.append(pd.DataFrame({"time": stamps, "series": f"s{number}", "value": (level + season + noise).round(3)}))
    return pd.concat(parts, ignore_index=True)


def written(folder: Path, frame: pd.DataFrame, name: str = "sales.csv", **options: Any) -> Path:
    """The frame as a csv file; days are written as days."""
    path = folder / name
    told = frame.copy()
    if "time" in told and pd.api.types.is_datetime64_any_dtype(told["time"]):
        days = bool((told["time"] == told["time"].dt.normalize()).all())
        told["time"] = told["time"].dt.strftime("%Y-%m-%d" if days else "%Y-%m-%dT%H:%M:%S")
    told.to_csv(path, index=False, **options)
    return path


def build(file: Path, workspace: Workspace, *settings: str, name: str = "sales") -> BuildOutcome:
    """The Dataset of a file, horizon 6, two windows of test and one of validation unless the settings say otherwise."""
    value: dict[str, Any] = {
        "kind": "series",
        "sources": [{"type": "local", "path": str(file), "licence": "own data"}],
        "split": {"horizon": 6, "windows": 2, "validation": 1},
    }
    recipe = load_value(value, SeriesRecipe, settings)
    return build_series_dataset(recipe, workspace, name=name, beside=file.parent)
