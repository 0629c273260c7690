"""Exports of forecasters beside their run.

``python -m studio.exports.forecast.comparing RUN_FOLDER ANSWER.json`` times the run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.core.environments import threads
from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.telling import Told
from studio.exports.forecast.proof import first_series, plain_series
from studio.exports.timing import Asking, compare_asked
from studio.models.exported import ExportLine, ExportRecord
from studio.models.forecast.network import NetworkForecaster
from studio.models.forecast.opening import open_forecaster
from studio.models.runtimes.time_program import keep_to, peak_bytes, timed

_MOST = 64
"""Series that are asked for."""


class AskingForecasters(Asking):
    """The series of the training, continued from their end."""

    unit = ("series", "series")
    runner = "studio.exports.forecast.comparing"
    asked = "the series of the training continued from their end"

    def programs(self, record: ExportRecord) -> dict[str, Path]:  # noqa: ARG002 - all have the same
        """See :meth:`Asking.programs`."""
        from studio.models.forecast import programs

        return {"predict": Path(programs.__path__[0]) / "predict.py"}

    def given(self, run_folder: Path, record: ExportRecord, place: Path) -> dict[str, Any]:  # noqa: ARG002 - all have the same
        """See :meth:`Asking.given`."""
        forecaster = opened(run_folder)
        panel = first_series(forecaster.histories, _MOST)
        path = place / "items.json"
        write_json(path, [plain_series(one, forecaster, panel) for one in panel.series])
        return {"items": str(path)}


def opened(run_folder: Path) -> NetworkForecaster:
    """The network of a run that was exported."""
    forecaster = open_forecaster(run_folder / "model")
    assert isinstance(forecaster, NetworkForecaster)
    return forecaster


def compare_exports(run_folder: Path, lines: Sequence[ExportLine]) -> Told:
    """See :func:`studio.exports.timing.compare_asked`."""
    return compare_asked(AskingForecasters(), run_folder, lines)


def main() -> None:
    """Ask the run as ``studio predict`` does."""
    keep_to(threads())
    try:
        forecaster = opened(Path(sys.argv[1]))
    except StudioError as error:
        sys.exit(str(error))
    panel = first_series(forecaster.histories, _MOST)

    def ask(first: int, end: int) -> None:
        forecaster.forecast(replace(panel, series=panel.series[first:end]), forecaster.inputs.horizon)

    found = timed(ask, len(panel), AskingForecasters.batch)
    Path(sys.argv[2]).write_text(json.dumps({**found, "peak": peak_bytes(), "note": "studio, torch"}), encoding="utf-8")


if __name__ == "__main__":
    main()
