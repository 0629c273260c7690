"""Rows of a table as pages show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studio.data.entries import REMOVED, Entry, facts_of, given
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
    facts = column_facts(table_record(folder))
    target = next((one["name"] for one in facts if one["role"] == "target"), None)
    features = [one["name"] for one in facts if one["feature"] and one["name"] != target]
    lines = read_table_split(folder, part).to_dict("records")
    return [_row({str(name): plain(value) for name, value in line.items()}, target, features) for line in lines]


def _row(line: dict[str, Any], target: str | None, features: list[str]) -> Entry:
    """A row: what is predicted from, what is predicted, and everything else."""
    said = ", ".join(f"{name}: {line[name]}" for name in features if line[name] is not None)
    turns = [{"role": "user", "content": said}]
    turns += [{"role": "target", "content": f"{line[target]}"}] if target is not None else []
    left = {name: value for name, value in line.items() if name not in {*features, target, ID, SOURCE}}
    return Entry(str(line[ID]), turns, facts_of(left) | {"source": str(line[SOURCE])})


def _removed(gone: RemovedTableRow) -> Entry:
    """A row that was removed."""
    facts = {"found": gone.value, "allowed": gone.threshold, "repeats": gone.matched, "source": gone.source}
    said = ", ".join(f"{name}: {value}" for name, value in json.loads(gone.row).items() if value is not None)
    return Entry(gone.id, [{"role": "user", "content": said}], given(facts), f"{gone.step}: {gone.reason}")
