"""Values far from the rest of their column: flagged, clipped, or their rows dropped; limits come from training rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from studio.core.telling import counted
from studio.data.split import SPLITS
from studio.data.tables.rows import plain
from studio.data.tables.steps.base import Outcome, TableStep, listed
from studio.data.tables.table import DataTable, TableColumn
from studio.data.verdicts import Drop

FLAG = "outlier"
_FACTORS = {"zscore": 3.0, "boxplot": 1.5}
# Values beyond the limits that the report draws.
_DRAWN = 200


class Outliers(TableStep):
    """See :class:`studio.schema.table_steps.TableOutliersStep`."""

    def __init__(self, columns: list[str], method: str, factor: float | None, action: str, drop_from: str) -> None:
        self._columns, self._method, self._action, self._drop_from = columns, method, action, drop_from
        self._factor = factor or _FACTORS[method]

    def run(self, table: DataTable) -> Outcome:
        """Find values beyond the limits, and do what the recipe says."""
        names = [column.name for column in table.chosen(self._columns, "outliers", types=("number",))]
        train = table.train
        learned = {name: self._limits(table.frame[name].to_numpy()[train]) for name in names}
        limits = {name: found for name, found in learned.items() if found is not None}
        beyond = {name: _beyond(table.frame[name].to_numpy(), *found) for name, found in limits.items()}
        outside = np.logical_or.reduce([np.zeros(len(table), dtype=bool), *beyond.values()])
        outcome = Outcome(table, facts=self._facts(table, limits, beyond), notes=self._note(beyond, outside))
        if self._action == "flag":
            return replace(outcome, table=_flagged(table, outside), changed=int(outside.sum()))
        if self._action == "clip":
            return replace(outcome, table=_clipped(table, limits), changed=int(outside.sum()))
        may_go = outside & (table.split == "train") if self._drop_from == "train" and table.split is not None else outside
        return replace(outcome, drops={place: _drop(table, place, beyond, limits) for place in np.flatnonzero(may_go).tolist()})

    def _limits(self, values: np.ndarray) -> tuple[float, float] | None:
        """Lowest and highest value that is none; None where the values do not spread."""
        there = values[~np.isnan(values)]
        if len(there) < 2:
            return None
        if self._method == "zscore":
            middle, spread = float(there.mean()), float(there.std(ddof=1))
            return (middle - self._factor * spread, middle + self._factor * spread) if spread else None
        low, high = np.quantile(there, [0.25, 0.75])
        spread = float(high - low)
        return (float(low) - self._factor * spread, float(high) + self._factor * spread) if spread else None

    def _note(self, beyond: dict[str, np.ndarray], outside: np.ndarray) -> list[str]:
        """A line on where they are."""
        counts = {name: int(where.sum()) for name, where in beyond.items() if where.any()}
        if not counts:
            return []
        done = {"flag": f"flagged in the column {FLAG!r}", "clip": "set to the limit", "drop": "their rows go"}[self._action]
        if self._action == "drop" and self._drop_from == "train":
            done += " from train; those of other splits stay (drop_from)"
        return [f"{counted(int(outside.sum()))} with values far from the rest: {listed(counts)}; {done}"]

    def _facts(self, table: DataTable, limits: dict[str, tuple[float, float]], beyond: dict[str, np.ndarray]) -> dict[str, Any]:
        """What the report draws: quartiles of training rows, limits, and the values beyond them by split."""
        columns = {}
        for name, (low, high) in limits.items():
            values = table.frame[name].to_numpy()
            inside = values[table.train]
            inside = inside[~np.isnan(inside)]
            within = inside[(inside >= low) & (inside <= high)]
            outside = values[beyond[name]]
            columns[name] = {
                "limits": [low, high],
                "quartiles": np.quantile(inside, [0.25, 0.5, 0.75]).tolist(),
                "whiskers": [float(within.min()), float(within.max())] if len(within) else [low, high],
                "beyond": np.unique(outside)[:: max(1, len(np.unique(outside)) // _DRAWN)].tolist(),
                "counts": {split: int((beyond[name] & (table.split == split)).sum()) for split in SPLITS},
            }
        return {"method": self._method, "factor": self._factor, "action": self._action, "columns": columns}


def _beyond(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which values lie outside the limits, bool [n]; missing ones do not."""
    found: np.ndarray = (values < low) | (values > high)
    return found


def _flagged(table: DataTable, outside: np.ndarray) -> DataTable:
    """The table with a column that says which rows have such a value."""
    table.check_free(FLAG, "outliers")
    frame = table.frame.copy(deep=False)
    before = frame[FLAG].eq("yes").to_numpy() if FLAG in frame else np.zeros(len(table), dtype=bool)
    frame[FLAG] = pd.Series(np.where(outside | before, "yes", "no"), dtype="str")
    about = "whether a number of the row lies far from the rest"
    column = TableColumn(FLAG, "category", about=about, role="ignored", feature=False, made_by="outliers")
    return replace(table, frame=frame, columns={**table.columns, FLAG: column})


def _clipped(table: DataTable, limits: dict[str, tuple[float, float]]) -> DataTable:
    """The table with values at the limit instead of beyond it."""
    frame = table.frame.copy(deep=False)
    for name, (low, high) in limits.items():
        frame[name] = frame[name].clip(low, high)
    return replace(table, frame=frame)


def _drop(table: DataTable, place: int, beyond: dict[str, np.ndarray], limits: dict[str, tuple[float, float]]) -> Drop:
    """The verdict on a row, by the first column in which it lies outside."""
    name = next(name for name, where in beyond.items() if where[place])
    low, high = limits[name]
    return Drop(f"{name} is far from the rest", str(plain(float(table.frame[name].iloc[place]))), f"{low:.6g} to {high:.6g}")
