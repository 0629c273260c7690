"""A recipe for a table: its columns as the reader types them, and the column that is most likely predicted."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.workspace import Workspace
from studio.data.frames import FRAMES
from studio.data.frames.queries import query_sqlite
from studio.data.memo import HashMemo
from studio.data.proposals import (
    Proposal,
    Refusal,
    beginning_of,
    local_source,
    log_settings,
    split_for,
    steps_of,
    too_wide,
)
from studio.data.readers.packed import ARCHIVE, kind_of
from studio.data.tables.build import TableBuilder
from studio.data.tables.table import DataTable
from studio.schema.table_recipe import TableRecipe

_STEPS = ("exact_duplicates", "missing", "outliers", "constant_columns", "suspicious_numbers", "leaks")
_LIMIT = 5_000
_SURE_LOG = 0.7
_TARGETS = ("target", "label", "class", "y", "outcome", "result", "churn", "survived", "species", "diagnosis", "price", "rating")
_DATABASES = frozenset({".sqlite", ".sqlite3", ".db", ".db3"})
_NAMED_ON_TOP = frozenset({".csv", ".tsv", ".xlsx"})
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?")
_MAGIC = b"SQLite format 3\x00"


def propose_table(path: Path) -> Proposal | Refusal | None:
    """A recipe of a table; None where nothing has an ending that is known."""
    if path.is_file() and path.suffix.lower() in _DATABASES:
        return _of_database(path)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    log, choices = log_settings(path)
    if not log and not any(kind_of(file) in {*FRAMES, ARCHIVE} for file in files):
        return None
    source = local_source(path) | log | ({"damaged": "keep"} if log else {})
    try:
        if wide := too_wide(path):
            return Refusal("table", wide)
        with beginning_of(path) as first:
            tried = source | {"path": str(first), "limit": _LIMIT}
            table = _read(tried)
            if path.suffix.lower() in _NAMED_ON_TOP and _headless(table):
                source |= {"header": [f"column {number}" for number in range(1, len(table.columns) + 1)]}
                table = _read(tried | source | {"path": str(first)})
        found = _proposal(path, source, table)
    except StudioError as error:
        return Refusal("table", str(error))
    return replace(found, choices=(*choices, *found.choices), likeness=max(found.likeness, _SURE_LOG)) if log else found


def _headless(table: DataTable) -> bool:
    """True where most names of columns are numbers: the first row was taken for names."""
    return 2 * sum(_NUMBER.fullmatch(name) is not None for name in table.columns) > len(table.columns)


def _of_database(path: Path) -> Proposal | Refusal | None:
    """A recipe for the first table of an SQLite file; None for any other file."""
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            return None
    try:
        listed = query_sqlite(
            path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        )
        names = [str(name) for name in listed.columns["name"]]
        quoted = names[0].replace('"', '""')
        source = {"type": "sqlite", "path": str(path.resolve()), "query": f'SELECT * FROM "{quoted}"', "licence": "own data"}
        found = _proposal(path, source, _read(source | {"limit": _LIMIT}))
    except StudioError as error:
        return Refusal("table", str(error))
    others = (f"The file has the tables {', '.join(names)}; query chooses.",) if len(names) > 1 else ()
    return Proposal(found.kind, found.likeness, found.what, found.recipe, (*found.choices, *others), found.shown)


def _read(source: dict[str, Any]) -> DataTable:
    """The first rows of a source, with the types of its columns."""
    recipe = TableRecipe.model_validate({"kind": "table", "sources": [source]})
    with tempfile.TemporaryDirectory() as place:
        builder = TableBuilder(recipe, Workspace.open(place), Path.cwd(), lambda _: None)
        builder.read(builder.resolve(HashMemo(Path(place) / "memo.json")))
        return builder.table


def _proposal(path: Path, source: dict[str, Any], table: DataTable) -> Proposal:
    """The recipe that read the table."""
    named, target = _target(table)
    types = ", ".join(f"{column.name} ({column.type})" for column in list(table.columns.values())[:12])
    recipe: dict[str, Any] = {"kind": "table", "description": f"The table {path.name}.", "sources": [source]}
    recipe |= {"target": target} if target else {}
    recipe |= {"steps": steps_of(_STEPS if target else _STEPS[:-1]), "split": split_for(len(table), 0.1, 0.2)}
    sure = "by its name" if named else "it is only a guess"
    choice = f"Check target: {target} ({sure})." if target else "No column looks like what is predicted; target: names one."
    other = f"Or another of: {', '.join(table.columns)}."
    enough = len(table.columns) > 1 and len(table) > 1
    likeness = (0.65 if named else 0.5) if enough else 0.1
    return Proposal("table", likeness, f"a table of {len(table.columns):,} columns: {types}", recipe, (choice, other))


def _target(table: DataTable) -> tuple[bool, str | None]:
    """The column that is most likely predicted, and whether its name says so."""
    usable = [
        column for column in table.columns.values() if column.type in {"category", "number"} and _varies(table, column.name)
    ]
    by_name = {column.name.casefold(): column.name for column in usable}
    known = next((by_name[name] for name in _TARGETS if name in by_name), None)
    if known:
        return True, known
    labels = [column.name for column in usable if column.type == "category"]
    return False, _last(labels) or _last([column.name for column in usable])


def _varies(table: DataTable, name: str) -> bool:
    """True for a column whose values repeat or are numbers, and are not all one."""
    values = table.frame[name]
    distinct = values.nunique()
    return distinct > 1 and (distinct < len(values) or values.dtype.kind == "f") and values.notna().mean() > 0.5


def _last(names: Sequence[str]) -> str | None:
    """The last of some names: what is predicted usually stands there."""
    return names[-1] if names else None
