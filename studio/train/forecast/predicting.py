"""Forecasts of a trained Run for people: from the end of the training, or from the end of newer rows of the same columns."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError, nearest
from studio.data.series.grid import by_series, on_grid, one_per_stamp, times_of
from studio.data.series.reading import Read, read_file_points
from studio.data.series.rows import Point
from studio.models.exported import is_export
from studio.models.forecast.exported import open_exported
from studio.models.forecast.forecaster import Forecaster
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.network import NetworkForecaster
from studio.models.forecast.opening import open_forecaster
from studio.models.forecast.panel import Panel, Series, continued
from studio.schema.series_recipe import SeriesColumns
from studio.train.kinds import Answers
from studio.train.opening import Say

OPTIONS = {"horizon": "stamps ahead", "series": "names of series, with commas"}


def predict_series(folder: Path, source: str | None, *, options: dict[str, str], say: Say) -> Answers:
    """Continue every series that the Run knows, or those of a file.

    Args:
        folder: of the Run, or of an export of it.
        source: a csv, xlsx, parquet or json file with the columns of the training, ``-`` for csv on standard input, None for the
            end of the training. Its rows go on where the training ended, or begin anywhere before; stamps without a value are the
            future of known covariates.
        options: ``horizon`` and ``series``.
    Raises:
        UserError: an option or the file is not what the Run takes.
    """
    horizon, wanted = _asked(options)
    forecaster = _opened(folder, source)
    panel, notes = (forecaster.histories, []) if source is None else _continued(forecaster, source)
    panel = _chosen(panel, wanted)
    ahead = horizon or forecaster.info.horizon
    forecasts = forecaster.forecast(panel, ahead)
    notes += [*forecaster.notes, *_uncertain(panel, ahead), *(_short(panel, forecaster) if is_export(folder) else [])]
    for note in notes:
        say(note)
    return Answers(_table(panel, forecasts, ahead, forecaster), notes=tuple(notes))


def _opened(folder: Path, source: str | None) -> Forecaster:
    """The forecaster of a Run, or of a folder that ``studio export`` wrote.

    Raises:
        UserError: the Run is not finished; an export is to go on from the end of the training, whose series are not in it.
    """
    if not is_export(folder):
        return open_forecaster(folder / "model")
    forecaster = open_exported(folder)
    if source is None:
        columns = forecaster.info.columns
        names = [columns["time"], *([columns["series"]] if columns["series"] else []), *columns["values"]]
        raise UserError(
            f"{folder} holds no series, so it has nothing to continue. Give a file with their past, columns {', '.join(names)}; "
            "or ask the run it was written of."
        )
    return forecaster


def _asked(options: dict[str, str]) -> tuple[int | None, list[str] | None]:
    """Stamps ahead, and names of series; None for all.

    Raises:
        UserError: an option is unknown, or the horizon is no whole number above 0.
    """
    unknown = next((name for name in options if name not in OPTIONS), None)
    if unknown is not None:
        raise UserError(
            f"forecasts have no option {unknown!r}.{nearest(unknown, OPTIONS)} Options: "
            f"{', '.join(f'{name} ({about})' for name, about in OPTIONS.items())}."
        )
    text = options.get("horizon")
    if text is not None and (not text.isdigit() or int(text) == 0):
        raise UserError(f"horizon={text}: the stamps ahead are a whole number above 0.")
    names = options.get("series")
    wanted = [name.strip() for name in names.split(",") if name.strip()] if names else None
    return int(text) if text is not None else None, wanted


def _chosen(panel: Panel, wanted: list[str] | None) -> Panel:
    """The series that are asked for."""
    if wanted is None:
        return panel
    unknown = next((name for name in wanted if name not in panel.names), None)
    if unknown is not None:
        raise UserError(f"there is no series {unknown!r}.{nearest(unknown, panel.names)} Known: {', '.join(panel.names[:8])}.")
    return replace(panel, series=[one for one in panel.series if one.name in wanted])


def _continued(forecaster: Forecaster, source: str) -> tuple[Panel, list[str]]:
    """The series of a file, each behind what the Run knows of it.

    Raises:
        DataError, UserError: the file cannot be read, lacks a column, or holds nothing.
    """
    info, known = forecaster.info, {one.name: one for one in forecaster.histories.series}
    read = _read(forecaster, source, alone=next(iter(known)) if len(known) == 1 else Path(source).stem)
    points, doubled, notes = one_per_stamp(read.points, "remove")
    notes = [*read.notes, *notes]
    gone = [*read.removed, *doubled]
    series: list[Series] = []
    for name, rows in by_series(points).items():
        new, beside = _series(name, rows, [point for point in read.empty if point.series == name], forecaster)
        notes += [f"{name}: {_rows(beside)} left out, beside the grid {info.frequency}"] if beside else []
        if new is not None:
            series.append(continued(known[name], new, forecaster.histories.calendar) if name in known else new)
    reasons = pd.Series([item.reason for item in gone], dtype="object").value_counts()
    notes += [f"{_rows(int(count))} left out: {reason}" for reason, count in reasons.items()]
    if not series:
        raise UserError(f"{source} holds no row that can be forecast from: {'; '.join(notes) or 'it is empty'}.")
    missing = [name for name in known if name not in {one.name for one in series}]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5:,} more" if len(missing) > 5 else "")
        notes.append(f"{len(missing):,} series of the training are not in the file and were not forecast: {shown}")
    return replace(forecaster.histories, series=series), notes


def _rows(count: int) -> str:
    """``1 row was``, ``3 rows were``."""
    return "1 row was" if count == 1 else f"{count:,} rows were"


def _read(forecaster: Forecaster, source: str, alone: str) -> Read:
    """Observations of a file with the columns of the training."""
    info, columns = forecaster.info, forecaster.info.columns
    values = columns["values"]
    said = SeriesColumns(
        time=columns["time"],
        series=columns["series"],
        value=values[0] if len(values) == 1 else list(values),
        known=columns["known"],
        past=columns["past"],
    )

    def read(path: Path, label: str) -> Read:
        return read_file_points(
            path, "file", label, said, form=info.form, time_format=info.time_format, alone=alone, prefix="file"
        )

    if source != "-":
        return read(Path(source).expanduser(), source)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "stdin.csv"
        file.write_bytes(sys.stdin.buffer.read())
        return read(file, "standard input")


def _series(name: str, rows: Sequence[Point], future: Sequence[Point], forecaster: Forecaster) -> tuple[Series | None, int]:
    """Rows of a file as a series on the Run's grid, and how many lie beside it."""
    calendar, panel = forecaster.histories.calendar, forecaster.histories
    found = on_grid(rows, calendar)
    if found is None:
        return None, len(rows)
    start, places = found
    kept = places >= 0
    count = int(places.max()) + 1
    values = np.full(count, np.nan)
    values[places[kept]] = np.array([point.value for point in rows])[kept]
    ahead = calendar.places(start, times_of(future)) if future else np.empty(0, dtype=np.int64)
    further = max(count, int(ahead.max(initial=-1)) + 1)
    covariates = np.full((further, len(panel.known) + len(panel.past)), np.nan)
    for place, point in [*zip(places.tolist(), rows, strict=True), *zip(ahead.tolist(), future, strict=True)]:
        if place >= 0:
            covariates[place] = point.covariates
    known, past = covariates[:, : len(panel.known)], covariates[:count, len(panel.known) :]
    return Series(name, start, values, np.isfinite(values), known, past), int((~kept).sum())


def _uncertain(panel: Panel, ahead: int) -> list[str]:
    """What a reader has to know of the covariates' future."""
    if not panel.known:
        return []
    short = sum(len(one.known) < len(one) + ahead for one in panel.series)
    return [
        f"{short:,} series have no {', '.join(panel.known)} for all of the {ahead} stamps ahead, so the last known value counts. "
        "Add rows with them and without a value to the file"
    ] * bool(short)


def _short(panel: Panel, forecaster: Forecaster) -> list[str]:
    """An export knows no more of a series than the file: what a reader has to know where that is less than it looks at."""
    assert isinstance(forecaster, NetworkForecaster)
    wanted = forecaster.inputs.context
    short = [one.name for one in panel.series if len(one) < wanted]
    if not short:
        return []
    shown = ", ".join(short[:5]) + (f" and {len(short) - 5:,} more" if len(short) > 5 else "")
    return [
        f"the network looks at {wanted} stamps, and {len(short):,} series have fewer in the file ({shown}). Give more of them"
    ]


def _table(panel: Panel, forecasts: Sequence[Forecast], ahead: int, forecaster: Forecaster) -> pd.DataFrame:
    """Series, time, forecast, and both bounds of each level."""
    told: dict[pd.Timestamp, np.ndarray] = {}
    stamps = []
    for one in panel.series:
        after = panel.stamps(one, len(one), ahead)
        if after[0] not in told:
            days = bool((after == after.normalize()).all())
            told[after[0]] = after.strftime("%Y-%m-%d" if days else "%Y-%m-%dT%H:%M:%S").to_numpy()
        stamps.append(told[after[0]])
    columns: dict[str, Any] = {"series": np.repeat(panel.names, ahead), "time": np.concatenate(stamps)}
    columns["forecast"] = np.concatenate([made.point for made in forecasts])
    for level in forecaster.info.levels:
        columns[f"lower_{level}"] = np.concatenate([made.lower[level] for made in forecasts])
        columns[f"upper_{level}"] = np.concatenate([made.upper[level] for made in forecasts])
    return pd.DataFrame(columns)
