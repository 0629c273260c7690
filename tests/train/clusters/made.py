"""Rows for groups: real ones of scikit-learn, made ones with and without structure, and presets by their settings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from studio.data.examples import Examples
from studio.schema.clusters import ClustersPreset
from studio.schema.columns import Column
from studio.schema.loading import load_value
from studio.train.clusters.run import Grouped, group_rows

# Enough to see what is said, quickly.
QUICK = ("choosing.references=10", "choosing.refits=4")


def preset(estimator: str, *settings: str) -> ClustersPreset:
    """A preset of an estimator with everything else as it is without being told."""
    return load_value({"kind": "clusters", "estimator": {"type": estimator}}, ClustersPreset, settings)


def numbers(matrix: np.ndarray, names: Sequence[str] | None = None) -> Examples:
    """Rows of a matrix as examples of columns of numbers."""
    names = names or [f"column {place}" for place in range(matrix.shape[1])]
    columns = tuple(Column(name=name, type="number") for name in names)
    return Examples([str(row) for row in range(len(matrix))], columns, pd.DataFrame(matrix.astype(float), columns=list(names)))


def values(**columns: tuple[str, Sequence[object]]) -> Examples:
    """Rows of columns that are given with their type."""
    table = {name: np.array(held, dtype=np.float64 if kind == "number" else object) for name, (kind, held) in columns.items()}
    count = len(next(iter(table.values())))
    described = tuple(Column.model_validate({"name": name, "type": kind}) for name, (kind, _) in columns.items())
    nothing = pd.DataFrame(index=range(count))
    return Examples([str(row) for row in range(count)], described, pd.DataFrame(table), others=nothing)


def grouped(rows: Examples, estimator: str, *settings: str) -> Grouped:
    """Groups of rows."""
    return group_rows(preset(estimator, *settings), rows, "made")


def blobs(count: int = 240, groups: int = 4, seed: int = 0) -> np.ndarray:
    """Round groups on a circle, far apart."""
    drawn = np.random.default_rng(seed)
    angles = 2 * np.pi * (np.arange(count) % groups) / groups + 0.3
    middles: np.ndarray = 8 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return middles + drawn.normal(size=(count, 2))
