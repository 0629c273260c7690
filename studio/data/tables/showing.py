"""Rows of a table on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from studio.core.telling import Hint, Pairs, Table, Told
from studio.data.kinds import Wanted
from studio.data.page import REPORT_FILE
from studio.data.showing import choose, next_page
from studio.data.tables.rows import (
    ID,
    SOURCE,
    RemovedTableRow,
    column_facts,
    plain,
    read_removed_rows,
    read_table_split,
    table_record,
)

PAGE = 10
# Columns beside each other on a terminal; one row alone shows all of them below each other.
_WIDE = 8
_SHOWN = 30


def show_rows(folder: Path, wanted: Wanted) -> Told:
    """Rows of one split, or removed rows; of a single row all columns, with what they mean.

    Raises:
        UserError: no such split, row, id or page.
    """
    record = table_record(folder)
    places = Pairs([("folder", folder), ("report", folder / REPORT_FILE)])
    if wanted.removed:
        removed = read_removed_rows(folder)
        gone, first = choose(removed, wanted, page=PAGE, id_of=lambda item: item.id)
        document = [{"row": first + offset, **asdict(item), "values": json.loads(item.row)} for offset, item in enumerate(gone)]
        table = _removed(gone, first, record.name)
        return Told((table, places, *next_page(wanted, first, len(gone), len(removed))), document)
    frame = read_table_split(folder, wanted.split)
    lines = [{str(name): plain(value) for name, value in line.items()} for line in frame.to_dict("records")]
    chosen, first = choose(lines, wanted, page=PAGE, id_of=lambda item: str(item[ID]))
    facts = column_facts(record)
    document = [{"row": first + offset, **line} for offset, line in enumerate(chosen)]
    if wanted.row is not None or wanted.identity is not None:
        return Told((_one(chosen[0], facts), places), document)
    table, hidden = _several(chosen, first, facts)
    hints = [Hint(f"{hidden} more columns; all of a row: --row NUMBER")] if hidden else []
    return Told((table, *hints, places, *next_page(wanted, first, len(chosen), len(lines))), document)


def _several(lines: Sequence[dict[str, Any]], first: int, facts: Sequence[dict[str, Any]]) -> tuple[Table, int]:
    """Rows with the target and the first columns, and how many columns are not shown."""
    order = sorted(facts, key=lambda one: {"target": 0, "group": 1, "time": 1, "protected": 2}.get(one["role"], 3))
    names = [one["name"] for one in order[:_WIDE]]
    rows = [[first + offset, line[ID], *(_cut(line[name]) for name in names)] for offset, line in enumerate(lines)]
    right = ["row", *(one["name"] for one in order[:_WIDE] if one["type"] == "number")]
    return Table(["row", "id", *names], rows, right=right), len(order) - len(names)


def _one(line: dict[str, Any], facts: Sequence[dict[str, Any]]) -> Table:
    """Every column of a row."""
    rows = [[one["name"], line[one["name"]], one["unit"], one["type"], one["role"], one["about"]] for one in facts]
    return Table(["column", "value", "unit", "type", "role", "meaning"], [["source", line[SOURCE], None, "", "", None], *rows])


def _removed(rows: Sequence[RemovedTableRow], first: int, name: str) -> Table:
    """Removed rows with the reason."""
    return Table(
        ["row", "id", "step", "reason", "value", "matched", "values"],
        [
            [first + offset, gone.id, gone.step, gone.reason, _cut(gone.value), gone.matched or "", _cut(gone.row, 60)]
            for offset, gone in enumerate(rows)
        ],
        right=["row"],
        empty=f"{name}: nothing was removed.",
    )


def _cut(value: Any, size: int = _SHOWN) -> Any:
    """A cell of a table."""
    return f"{value[: size - 1]}…" if isinstance(value, str) and len(value) > size else value
