"""The ``model/`` folder of a Run of forecasts: written once, opened without running anything that stands in it.

``forecaster.json`` says what was learnt, ``history.npz`` holds the series (opened with pickles off), ``network.safetensors`` the
weights of a network.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import StudioError, UserError
from studio.core.files import write_json
from studio.models.forecast.calendar import Calendar
from studio.models.forecast.forecaster import Forecaster, ForecasterInfo, LocalForecaster, is_local
from studio.models.forecast.local import Learnt
from studio.models.forecast.panel import Panel, Series

FORMAT = 1
INFO, HISTORY = "forecaster.json", "history.npz"


def save_forecaster(forecaster: Forecaster, folder: Path) -> None:
    """Write all that forecasts need into a folder that is there."""
    panel = forecaster.histories
    arrays: dict[str, Any] = {}
    lines: list[dict[str, Any]] = []
    for number, one in enumerate(panel.series):
        arrays |= {f"{name}_{number}": getattr(one, name) for name in ("values", "seen", "known", "past")}
        line: dict[str, Any] = {"name": one.name, "start": one.start.isoformat(), "stamps": len(one)}
        if isinstance(forecaster, LocalForecaster):
            line |= asdict(forecaster.learnt[one.name])
        lines.append(line)
    if not isinstance(forecaster, LocalForecaster):
        from studio.models.forecast.network import NetworkForecaster

        assert isinstance(forecaster, NetworkForecaster)
        forecaster.save_weights(folder)
    np.savez_compressed(folder / HISTORY, **arrays)
    write_json(folder / INFO, {"format": FORMAT, **asdict(forecaster.info), "series": lines})


def open_forecaster(folder: Path) -> Forecaster:
    """Open a saved forecaster.

    Args:
        folder: ``model/`` of a Run.
    Raises:
        UserError: the Run has no finished model. StudioError: a file is damaged, or a newer studio wrote it.
    """
    if not (folder / INFO).is_file():
        raise UserError(f"{folder.parent} has no finished forecaster. Train it to the end: studio train --resume {folder.parent}")
    try:
        told = json.loads((folder / INFO).read_text(encoding="utf-8"))
        if told["format"] > FORMAT:
            raise StudioError(f"{folder / INFO} was written in format {told['format']}, this studio knows {FORMAT}. Update it.")
        info = info_of(told)
        with np.load(folder / HISTORY, allow_pickle=False) as arrays:
            series = [_series(line, number, arrays) for number, line in enumerate(told["series"])]
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise StudioError(f"{folder} is damaged ({error}). Train the run again.") from error
    calendar = Calendar(info.frequency, info.season_length)
    panel = Panel(calendar, series, tuple(info.columns.get("known", ())), tuple(info.columns.get("past", ())), info.unit)
    if not is_local(info.type):
        from studio.models.forecast.network import NetworkForecaster

        return NetworkForecaster.open(info, panel, folder)
    names = Learnt.__dataclass_fields__
    learnt = {line["name"]: Learnt(**{name: line[name] for name in names}) for line in told["series"]}
    return LocalForecaster(info, panel, learnt)


def info_of(told: dict[str, Any]) -> ForecasterInfo:
    """Settings, with levels as numbers again."""
    given = {name: told[name] for name in ForecasterInfo.__dataclass_fields__}
    given["levels"] = tuple(given["levels"])
    given["factors"] = {int(level): factor for level, factor in given["factors"].items()}
    return ForecasterInfo(**given)


def _series(line: dict[str, Any], number: int, arrays: Any) -> Series:
    """One series of the history."""
    parts = {name: arrays[f"{name}_{number}"] for name in ("values", "seen", "known", "past")}
    return Series(line["name"], pd.Timestamp(line["start"]), **parts)
