"""Writing a Report: ``scores.json``, ``report.html`` and the examples in one finished folder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.core.files import new_folder, write_json, write_text
from studio.core.records import ReportRecord
from studio.evals.page import render_page
from studio.evals.task import TaskResult
from studio.schema.suite import Suite


def write_report(root: Path, record: ReportRecord, results: Mapping[str, TaskResult], suite: Suite) -> Path:
    """Write a Report; nothing is seen of it until it is whole.

    Args:
        root: the run's ``evals/``, or another folder of reports.
        results: by name of the task. The examples of the short form go to ``examples.parquet``, those of tasks to
            ``examples/<task>.parquet``.
    Returns:
        ``<root>/<suite>/<time>/``.
    """
    folder = _free_name(root / record.suite / datetime.now(UTC).strftime("%Y%m%d-%H%M%S"))
    with new_folder(folder) as temporary:
        for name, result in results.items():
            if result.write_files is not None:
                result.write_files(temporary)
            if result.examples.empty:
                continue
            path = temporary / ("examples.parquet" if suite.short else f"examples/{name}.parquet")
            path.parent.mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pandas(result.examples, preserve_index=False), path, compression="zstd")
        cards = {name: result.cards for name, result in results.items()}
        panels = {name: result.panels for name, result in results.items()}
        write_text(temporary / "report.html", render_page(record, cards, suite, panels))
        # Last, because a folder with a scores.json is a whole Report.
        write_json(temporary / "scores.json", record.model_dump(mode="json"))
    return folder


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
