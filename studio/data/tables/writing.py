"""The last part of a build: the tables and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from studio.core.files import write_text
from studio.core.records import DatasetRecord
from studio.data.build import peak_bytes
from studio.data.page import REPORT_FILE
from studio.data.parquet import REMOVED_FILE, write_table
from studio.data.split import Division
from studio.data.tables.facts import column_records, limit_categories
from studio.data.tables.report import render_table_report
from studio.data.tables.rows import ID, SOURCE, RemovedTableRow, as_stored, removed_to_table
from studio.data.tables.split import label_shares
from studio.data.tables.steps.leaks import leak_facts
from studio.data.tables.table import DataTable
from studio.schema.table_recipe import TableRecipe


def write_table_dataset(
    place: Path,
    record: DatasetRecord,
    recipe: TableRecipe,
    table: DataTable,
    removed: Sequence[RemovedTableRow],
    division: Division[int],
) -> DatasetRecord:
    """Write the splits, what was removed and the report into a folder; gives back the record with what is known of the columns.

    Raises:
        DataError: a column has too many categories, and the recipe refuses that.
    """
    table, notes = limit_categories(table, recipe.values, recipe.features)
    stored = stored_table(table)
    for split, rows in division.splits.items():
        write_table(stored.take(pa.array(rows)), place / f"{split}.parquet")
    write_table(removed_to_table(removed), place / REMOVED_FILE)
    target = table.of_role("target")
    record = record.model_copy(
        update={
            "columns": column_records(table),
            "target": {"name": target.name, "type": target.type} if target is not None else None,
            "label_shares": label_shares(table),
            "leaks": leak_facts(table),
            "notes": [*(record.model_extra or {})["notes"], *(f"columns: {note}" for note in notes)],
            "peak_bytes": peak_bytes(),
        }
    )
    write_text(place / REPORT_FILE, render_table_report(record, removed, table))
    return record


def stored_table(table: DataTable) -> pa.Table:
    """The whole table as it lies on disk."""
    arrays = {ID: pa.array(table.ids, pa.string()), SOURCE: pa.array(table.sources, pa.string())}
    return pa.table(arrays | {name: as_stored(table.frame[name], column.type) for name, column in table.columns.items()})
