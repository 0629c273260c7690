"""Exports of predictors beside their run.

``python -m studio.exports.predictors.comparing RUN_FOLDER ANSWER.json`` times the run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.core.environments import threads
from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.telling import Told
from studio.exports.predictors.form import held_out, open_on_cpu
from studio.exports.timing import Asking, compare_asked
from studio.models.exported import ExportLine, ExportRecord
from studio.models.runtimes.time_program import keep_to, peak_bytes, timed


class AskingPredictors(Asking):
    """Held-out rows, as people give them."""

    runner = "studio.exports.predictors.comparing"
    agrees = True
    asked = "held-out rows from what they are read of to the answer"

    def programs(self, record: ExportRecord) -> dict[str, Path]:
        """See :meth:`Asking.programs`."""
        from studio.models.predictors import programs

        place = Path(programs.__path__[0])
        return {"reading": place / f"{record.extra['reading']['reader']}.py", "predict": place / "predict.py"}

    def given(self, run_folder: Path, record: ExportRecord, place: Path) -> dict[str, Any]:
        """See :meth:`Asking.given`."""
        from studio.exports.predictors.proof import plain_item
        from studio.models.predictors.exported import items_of

        predictor = open_on_cpu(run_folder)
        items = items_of(held_out(run_folder, predictor)[0].features, predictor.info, record.extra["reading"]["reader"])
        path = place / "items.json"
        write_json(path, [plain_item(item) for item in items])
        return {"items": str(path)}


def compare_exports(run_folder: Path, lines: Sequence[ExportLine]) -> Told:
    """See :func:`studio.exports.timing.compare_asked`."""
    return compare_asked(AskingPredictors(), run_folder, lines)


def main() -> None:
    """Ask the run as ``studio predict`` does."""
    keep_to(threads())
    try:
        predictor = open_on_cpu(run_folder := Path(sys.argv[1]))
        features = held_out(run_folder, predictor)[0].features
    except StudioError as error:
        sys.exit(str(error))

    def ask(first: int, end: int) -> None:
        predictor.predict(features.iloc[first:end].reset_index(drop=True))

    found = timed(ask, len(features), AskingPredictors.batch)
    by = "torch" if hasattr(predictor, "network") else "scikit-learn"
    Path(sys.argv[2]).write_text(json.dumps({**found, "peak": peak_bytes(), "note": f"studio, {by}"}), encoding="utf-8")


if __name__ == "__main__":
    main()
