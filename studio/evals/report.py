"""Writing a Report: ``scores.json``, ``examples.parquet`` and ``report.html`` in one finished folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.core.files import new_folder, write_json, write_text
from studio.core.records import ReportRecord
from studio.evals.metrics.base import Metric
from studio.evals.page import render_page
from studio.schema.suite import Suite

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def write_report(
    run_folder: Path, record: ReportRecord, lines: Sequence[dict[str, Any]], metrics: Sequence[Metric], suite: Suite
) -> Path:
    """Write the Report of a run; nothing is seen of it until it is whole.

    Args:
        lines: one per example, from :func:`studio.evals.scoring.example_table`.
    Returns:
        ``<run>/evals/<suite>/<time>/``.
    """
    folder = _free_name(run_folder / "evals" / record.suite / datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
    with new_folder(folder) as temporary:
        pq.write_table(examples_to_table(lines, record), temporary / "examples.parquet", compression="zstd")
        write_text(temporary / "report.html", render_page(record, lines, metrics, suite))
        # Last, because a folder with a scores.json is a whole Report.
        write_json(temporary / "scores.json", record.model_dump(mode="json"))
    return folder


def examples_to_table(lines: Sequence[dict[str, Any]], record: ReportRecord) -> pa.Table:
    """Arrow table of the examples: text columns, then one number per model and metric."""
    fields = [("id", pa.string()), ("prompt", _MESSAGES), ("reference", pa.string())]
    for label in record.scores:
        fields += [(f"{label}_answer", pa.string()), (f"{label}_stopped_by_limit", pa.bool_())]
    for label, scores in record.scores.items():
        fields += [(f"{label}_{score.metric}", pa.float64()) for score in scores]
    return pa.Table.from_pylist(list(lines), schema=pa.schema(fields))


def newest_report(run_folder: Path, suite: str | None = None) -> Path | None:
    """Folder of the newest whole Report of a run, of one suite or of any."""
    found = [file.parent for file in (run_folder / "evals").glob(f"{suite or '[!.]*'}/[!.]*/scores.json")]
    return max(found, key=lambda folder: folder.name, default=None)


def _free_name(folder: Path) -> Path:
    """The folder, or the first free one with a number behind: two reports may be written within one second."""
    candidate, number = folder, 2
    while candidate.exists():
        candidate, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return candidate
