"""Rows of a table that people label: the label is the target, or a column of its own; and how an edited copy is written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from studio.core.errors import DataError
from studio.core.files import write_text
from studio.core.records import DatasetRecord
from studio.data.annotations.base import AnnotatedRows, Edit, Item
from studio.data.page import REPORT_FILE
from studio.data.parquet import REMOVED_FILE, read_split_table, write_table
from studio.data.tables.facts import column_records
from studio.data.tables.report import render_table_report
from studio.data.tables.rows import ID, SOURCE, column_facts, plain, read_removed_rows, read_table_split, table_record
from studio.data.tables.split import label_shares
from studio.data.tables.table import DataTable, TableColumn, as_read
from studio.data.tables.writing import stored_table

LABEL = "annotation"
"""Column of the label, where the table has no target of labels or numbers."""
_MADE_BY = "annotations"
_MARKS = ("annotation_before", "annotated_by", "annotation_status", "annotated_at")
_TARGETS = ("category", "number")


class AnnotatedTable(AnnotatedRows):
    """Rows of a table."""

    def items(self, folder: Path, split: str) -> list[Item]:
        """See :meth:`studio.data.annotations.base.AnnotatedRows.items`."""
        record = table_record(folder)
        label, own = _label_column(record), {LABEL, *_MARKS}
        found = []
        for line in read_table_split(folder, split).to_dict("records"):
            values = {str(name): plain(value) for name, value in line.items() if name not in {ID, SOURCE}}
            given = values.pop(label, None)
            shown = {name: value for name, value in values.items() if name not in own}
            found.append(Item(str(line[ID]), split, label=None if given is None else str(given), fields=shown))
        return found

    def write(self, folder: Path, place: Path, record: DatasetRecord, edits: Mapping[str, Edit]) -> DatasetRecord:
        """See :meth:`studio.data.annotations.base.AnnotatedRows.write`."""
        table = _edited(_table(folder, table_record(folder)), _label_column(record), edits)
        stored, split = stored_table(table), table.split
        assert split is not None
        for name in dict.fromkeys(split.tolist()):
            write_table(stored.take(pa.array(np.flatnonzero(split == name))), place / f"{name}.parquet")
        shutil.copyfile(folder / REMOVED_FILE, place / REMOVED_FILE)
        record = record.model_copy(update={"columns": column_records(table), "label_shares": label_shares(table)})
        write_text(place / REPORT_FILE, render_table_report(record, read_removed_rows(folder), table))
        return record


def _label_column(record: DatasetRecord) -> str:
    """The column that a label is for."""
    target = (record.model_extra or {}).get("target")
    return str(target["name"]) if target and target["type"] in _TARGETS else LABEL


def _table(folder: Path, record: DatasetRecord) -> DataTable:
    """A finished table as the steps have it."""
    names = [split for split, rows in record.splits.items() if rows]
    parts = [read_split_table(folder, record, split) for split in names]
    whole = pa.concat_tables(parts, promote_options="permissive")
    columns = {facts["name"]: _column(facts) for facts in column_facts(record)}
    split = np.concatenate([np.full(len(part), name, dtype=object) for name, part in zip(names, parts, strict=True)])
    frame = pd.DataFrame({name: as_read(whole.column(name), column.type) for name, column in columns.items()})
    ids, sources = (whole.column(name).to_numpy(zero_copy_only=False) for name in (ID, SOURCE))
    return DataTable(frame, ids, sources, columns, split)


def _column(facts: dict[str, Any]) -> TableColumn:
    """A column out of what ``dataset.json`` says of it."""
    known = {name: facts[name] for name in ("name", "type", "unit", "about", "role", "feature")}
    return TableColumn(**known, made_by=facts.get("made_by") or "")


def _edited(table: DataTable, label: str, edits: Mapping[str, Edit]) -> DataTable:
    """The table after the edits; columns that mark the rows are added, and nothing is predicted from them.

    Raises:
        DataError: a label of a number is none, or the person's table has a column of these names.
    """
    frame, columns = table.frame.copy(), dict(table.columns)
    for name in (LABEL, *_MARKS):
        if name in columns and columns[name].made_by != _MADE_BY and (name != LABEL or name == label):
            raise DataError(
                f"the table has a column {name!r} of its own, and annotations need that name. Give it another in the recipe: "
                f"rename: {{{name}: NAME}}."
            )
    added = _MARKS if label in columns else (LABEL, *_MARKS)
    for name in added:
        if name not in columns:
            columns[name] = TableColumn(name, "category", role="ignored", feature=False, made_by=_MADE_BY)
            frame[name] = pd.Series([None] * len(frame), dtype="str")
    places = {identity: place for place, identity in enumerate(table.ids)}
    cells: dict[str, dict[int, Any]] = {name: {} for name in (label, *_MARKS)}
    for row, edit in edits.items():
        _take(edit, places[row], frame[label].iloc[places[row]], columns[label], cells, row)
    for name, values in cells.items():
        if values:
            column = frame[name].copy()
            column.iloc[list(values)] = list(values.values())
            frame[name] = column
    return DataTable(frame, table.ids, table.sources, columns, table.split, table.facts)


def _take(edit: Edit, place: int, before: Any, column: TableColumn, cells: dict[str, dict[int, Any]], row: str) -> None:
    """Note the cells of one row that change."""
    cells["annotated_by"][place] = ", ".join(edit.by)
    cells["annotation_status"][place] = edit.status
    if edit.at:
        cells["annotated_at"][place] = edit.at
    if edit.label is None:
        return
    value: Any = edit.label
    if column.type == "number":
        try:
            value = float(edit.label)
        except ValueError:
            raise DataError(
                f"row {row}: the label {edit.label!r} is no number, and the target {column.name!r} holds numbers. "
                "Mend it in the file."
            ) from None
    old = plain(before)
    if old is not None and str(old) != str(plain(value)):
        cells["annotation_before"][place] = str(old)
    cells[column.name][place] = value


TABLE_ROWS = AnnotatedTable()
