"""Whether an exported forecaster is the run: the same windows asked of both, and of the program beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.exports.formatted import ask_program
from studio.exports.writing import hold
from studio.models.exported import ExportRecord
from studio.models.forecast.exported import SessionNetwork
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.network import NetworkForecaster
from studio.models.forecast.panel import Panel, Series
from studio.models.runtimes.sessions import open_session

EXACT = 1e-3
"""Most that a bound may differ by, in units of the spread of its window."""
_SERIES, _PROGRAM_SERIES = 64, 3


def prove(forecaster: NetworkForecaster, folder: Path, record: ExportRecord) -> tuple[dict[str, Any], dict[str, float]]:
    """Figures of the proof, and what they were held to: forecasts from the end of each series, one horizon before it, and of
    single series.

    Raises:
        StudioError: the export does not say what the run says.
    """
    panel = first_series(forecaster.histories, _SERIES)
    other = NetworkForecaster(
        forecaster.info, forecaster.histories, SessionNetwork(open_session(folder, record)), forecaster.inputs
    )
    ahead = forecaster.inputs.horizon
    earlier = panel.cut([max(1, len(one) - ahead) for one in panel.series], ahead)
    panels = [panel, earlier, *(first_series(part, 1) for part in (panel, earlier))]
    worst = max(_difference(forecaster.forecast(one, ahead), other.forecast(one, ahead), one) for one in panels)
    hold("the largest difference of a bound", worst, EXACT, form=record.form)
    shown = first_series(panel, _PROGRAM_SERIES)
    by_program = _difference(forecaster.forecast(shown, ahead), _program(forecaster, folder, record, shown), shown)
    hold("the largest difference of predict.py", by_program, EXACT, form=record.form)
    proof = {"windows": len(panel) + len(earlier), "horizon": ahead, "difference": worst, "program": by_program}
    return proof, {"difference": EXACT, "program": EXACT}


def words_of_proof(proof: dict[str, Any], limits: dict[str, float]) -> list[tuple[str, str]]:
    """The proof for people."""
    unit = "of the spread of the series"
    return [
        ("windows asked of both", f"{proof['windows']}, {proof['horizon']} stamps ahead"),
        ("largest difference of a bound", f"{proof['difference']:.1e} {unit} (at most {limits['difference']:.0e})"),
        ("largest difference of predict.py", f"{proof['program']:.1e} {unit} (at most {limits['program']:.0e})"),
    ]


def first_series(panel: Panel, count: int) -> Panel:
    """The first series of a panel."""
    return Panel(panel.calendar, panel.series[:count], panel.known, panel.past, panel.unit)


def _difference(truth: list[Forecast], found: list[Forecast], panel: Panel) -> float:
    """Largest difference of a median or bound, in units of its series' spread."""
    worst = 0.0
    for said, other, one in zip(truth, found, panel.series, strict=True):
        spread = float(np.nanstd(one.values)) or float(np.nanmax(np.abs(one.values))) or 1.0
        pairs = zip(said.quantiles().values(), other.quantiles().values(), strict=True)
        worst = max(worst, *(float(np.max(np.abs(mine - theirs))) / spread for mine, theirs in pairs))
    return worst


def _program(forecaster: NetworkForecaster, folder: Path, record: ExportRecord, panel: Panel) -> list[Forecast]:
    """What the program beside an export says, in a process of its own, as people will ask it.

    Raises:
        StudioError: it fails.
    """
    given = json.dumps([plain_series(one, forecaster, panel) for one in panel.series])
    found = []
    for answer in ask_program(folder, record.form, given):
        bounds = [{int(level): np.array(values) for level, values in answer[side].items()} for side in ("lower", "upper")]
        found.append(Forecast(np.array(answer["median"]), *bounds))
    return found


def plain_series(one: Series, forecaster: NetworkForecaster, panel: Panel) -> dict[str, Any]:
    """A series as the program takes it."""
    reference = pd.Timestamp(forecaster.inputs.reference)
    first, last = min(one.start, reference), max(one.start, reference)
    apart = int(panel.calendar.places(first, pd.DatetimeIndex([last]))[0])
    return {
        "values": [None if value != value else float(value) for value in one.values],
        "seen": one.seen.tolist(),
        "first": apart if one.start >= reference else -apart,
        "known": [[None if value != value else float(value) for value in row] for row in one.known],
        "past": [[None if value != value else float(value) for value in row] for row in one.past],
    }
