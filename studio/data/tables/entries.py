"""Rows of a table as pages show them."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from studio.data.entries import REMOVED, Entry, given
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


def table_entries(folder: Path, part: str) -> list[Entry]:
    """Rows of one split of a finished table, or its removed rows.

    Raises:
        StudioError: a file is missing or damaged.
    """
    if part == REMOVED:
        return [_removed(gone) for gone in read_removed_rows(folder)]
    order = {"target": 0, "feature": 1}
    names = [one["name"] for one in sorted(column_facts(table_record(folder)), key=lambda one: order.get(one["role"], 2))]
    return [_row(line, names) for line in read_table_split(folder, part)[[ID, SOURCE, *names]].to_dict("records")]


def _row(line: dict[Hashable, Any], names: list[str]) -> Entry:
    """A row: its target, what it is predicted from, everything else."""
    facts = {name: _shown(plain(line[name])) for name in names}
    return Entry(str(line[ID]), [], facts | {"source": str(line[SOURCE])})


def _removed(gone: RemovedTableRow) -> Entry:
    """A row that was removed, with the values it had."""
    facts = {"found": gone.value, "allowed": gone.threshold, "repeats": gone.matched}
    values = {name: _shown(value) for name, value in json.loads(gone.row).items()}
    return Entry(gone.id, [], given(facts) | values | {"source": gone.source}, f"{gone.step}: {gone.reason}")


def _shown(value: Any) -> str:
    """A value as people read it; nothing for a missing one, ten digits of a number."""
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)
