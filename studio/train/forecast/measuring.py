"""How good a Run of forecasts is, cell by cell: on its rehearsal, which saw nothing of what it forecast, or on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.core.files import disk_errors
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, run_dataset
from studio.data.parquet import read_whole_dataset
from studio.data.series.rows import facts_of, read_panel
from studio.models.forecast.errors import scale_of
from studio.models.forecast.forecasts import Window, roll
from studio.models.forecast.opening import open_forecaster
from studio.models.forecast.panel import Panel
from studio.train.measuring import Measured, mean_of

BACKTEST = "backtest.parquet"


def write_backtest(run_folder: Path, panel: Panel, windows: Sequence[Window], season: int) -> None:
    """Keep every cell of the rehearsal beside the model: what was said, what came, the scaled error."""
    if windows:
        with disk_errors(BACKTEST, run_folder):
            cells_of(panel, windows, season).to_parquet(run_folder / BACKTEST, index=False)


def cells_of(panel: Panel, windows: Sequence[Window], season: int) -> pd.DataFrame:
    """One line per cell. error: absolute, in units of the seasonal naive error before the first window; nan without a scale."""
    by_name = {one.name: one for one in panel.series}
    first = {name: min(window.origin for window in windows if window.series == name) for name in by_name}
    scales = {name: scale_of(one, first[name], season).absolute for name, one in by_name.items()}
    parts = []
    for window in windows:
        horizon = len(window.truth)
        scale = scales[window.series]
        part = {
            "id": [f"{window.series}/{window.number}/{step}" for step in range(1, horizon + 1)],
            "series": [window.series] * horizon,
            "window": [window.number] * horizon,
            "step": range(1, horizon + 1),
            "time": panel.stamps(by_name[window.series], window.origin, horizon),
            "truth": window.truth,
            "forecast": window.forecast.point,
        }
        for level in window.forecast.lower:
            part |= {f"lower_{level}": window.forecast.lower[level], f"upper_{level}": window.forecast.upper[level]}
        error = np.abs(window.truth - window.forecast.point)
        parts.append(pd.DataFrame({**part, "error": np.full(horizon, np.nan) if scale is None else error / scale}))
    return pd.concat(parts, ignore_index=True)


def measure_forecaster(run_folder: Path, record: RunRecord, split: str) -> Measured:
    """MASE, cell by cell; a series is one group.

    Args:
        split: ``validation`` is the rehearsal, ``test`` the windows of the test split.
    Raises:
        UserError: there was no rehearsal, or no cell has a scale.
    """
    cells = _rehearsed(run_folder) if split == "validation" else _tested(run_folder, record)
    cells = cells[np.isfinite(cells["error"])]
    if cells.empty:
        raise UserError(f"no value of the {split} windows could be scored: nothing was seen, or the series never changed before.")
    title, unit = "MASE", "times the seasonal naive error of the past"
    measure = mean_of("mase", title, unit, "lower", cells["error"].tolist())
    return Measured((measure,), tuple(cells["id"]), tuple(cells["series"]))


def _rehearsed(run_folder: Path) -> pd.DataFrame:
    """Cells of the back-test."""
    if not (run_folder / BACKTEST).is_file():
        raise UserError(
            f"{run_folder.parent.name}/{run_folder.name} had no back-test, so that nothing is known of it before the test split. "
            "Train with --set backtest.windows=3 on series that are long enough."
        )
    return pd.read_parquet(run_folder / BACKTEST)


def _tested(run_folder: Path, record: RunRecord) -> pd.DataFrame:
    """Cells of the test split."""
    folder = run_dataset(record, Workspace.around(run_folder))
    found = read_whole_dataset(folder)
    facts = facts_of(found)
    panel = read_panel(folder, list(found.splits))
    forecaster = open_forecaster(run_folder / "model")
    horizon = forecaster.info.horizon
    windows = facts["horizon"] * facts["windows"] // horizon
    return cells_of(panel, roll(forecaster.forecast, panel, horizon, windows), facts["season_length"])
