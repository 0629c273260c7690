"""Exports of encoders beside their run.

``python -m studio.exports.embed.comparing RUN_FOLDER ANSWER.json`` times the run.
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
from studio.core.workspace import read_run
from studio.exports.timing import Asking, compare_asked
from studio.models.exported import ExportLine, ExportRecord
from studio.models.runtimes.time_program import keep_to, peak_bytes, timed


class AskingEncoders(Asking):
    """Held-out passages, or pairs with their questions."""

    unit = ("text", "texts")
    runner = "studio.exports.embed.comparing"
    asked = "held-out texts from their letters to the answer"

    def programs(self, record: ExportRecord) -> dict[str, Path]:  # noqa: ARG002 - all have the same
        """See :meth:`Asking.programs`."""
        from studio.models.embed import programs

        place = Path(programs.__path__[0])
        return {"reading": place / "texts.py", "predict": place / "predict.py"}

    def given(self, run_folder: Path, record: ExportRecord, place: Path) -> dict[str, Any]:
        """See :meth:`Asking.given`."""
        write_json(place / "items.json", _items(run_folder, record.kind))
        return {"items": str(place / "items.json")}


def _items(run_folder: Path, kind: str) -> list[Any]:
    """What is asked."""
    from studio.exports.embed.proof import held_out

    texts, _ = held_out(run_folder)
    return [list(pair) for pair in texts.pairs] if kind == "reranker" else list(texts.passages)


def compare_exports(run_folder: Path, lines: Sequence[ExportLine]) -> Told:
    """See :func:`studio.exports.timing.compare_asked`."""
    return compare_asked(AskingEncoders(), run_folder, lines)


def main() -> None:
    """Ask the run as ``studio eval`` does."""
    from studio.exports.embed.graphs import open_run
    from studio.models.embed.opening import PASSAGE, fits, vectors

    keep_to(threads())
    run_folder = Path(sys.argv[1])
    try:
        kind, model = read_run(run_folder).kind, open_run(run_folder)
        items = _items(run_folder, kind)
    except StudioError as error:
        sys.exit(str(error))

    def ask(first: int, end: int) -> object:
        some = items[first:end]
        return fits(model, some) if kind == "reranker" else vectors(model, some, PASSAGE)

    found = timed(ask, len(items), AskingEncoders.batch)
    note = "studio, sentence-transformers"
    Path(sys.argv[2]).write_text(json.dumps({**found, "peak": peak_bytes(), "note": note}), encoding="utf-8")


if __name__ == "__main__":
    main()
