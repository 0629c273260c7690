"""From the tables of the sources to one table with types and roles; what does not fit is told, and handled as the recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studio.core.errors import DataError, nearest
from studio.data.frames.column_types import Typed, counts_rows, typed_column
from studio.data.sources import READ_STEP
from studio.data.tables.rows import RemovedTableRow, as_json
from studio.data.tables.sources import SourceTable, joined
from studio.data.tables.table import DataTable, Role, TableColumn, check_reserved
from studio.data.verdicts import Drop
from studio.schema.table_recipe import SaidColumn, TableRecipe

_EXAMPLES = 3


@dataclass
class ReadTable:
    """The rows that stay, those that do not, and what a person should know."""

    table: DataTable
    removed: list[RemovedTableRow]
    notes: list[str]


def read_columns(tables: Sequence[SourceTable], names: Sequence[str], recipe: TableRecipe) -> ReadTable:
    """One typed table of all sources.

    Args:
        names: of the sources.
    Raises:
        DataError: a column that the recipe names is not there, a value cannot be read and the recipe refuses that, an id stands
            twice, or the target has one value only.
    """
    raw, source, ids, notes = joined(list(tables), list(names))
    notes = [note for one in tables for note in one.notes] + notes
    check_reserved(list(raw.columns))
    _check_names(recipe, list(raw.columns))
    removed = [
        RemovedTableRow(identity, name, READ_STEP, bad.reason, row=as_json({"text": bad.text}))
        for name, one in zip(names, tables, strict=True)
        for identity, bad in one.bad
    ]
    said = {column.name: column for column in recipe.columns}
    typed = {name: _typed(name, raw[name], said.get(name) or SaidColumn(name=name), recipe) for name in raw.columns}
    notes += [note for one in typed.values() for note in one.notes]
    columns = {name: _column(name, one, said.get(name), recipe, notes) for name, one in typed.items()}
    frame = pd.DataFrame({name: one.values for name, one in typed.items()})
    table = DataTable(frame, np.array(ids, dtype=object), source, columns)
    drops = _handle_trouble(typed, recipe, notes)
    _add_missing_target(table, drops)
    if recipe.id is not None:
        _use_ids(table, recipe.id, drops)
    places = sorted(drops)
    removed += table.gone(places, READ_STEP, [drops[place] for place in places])
    kept = table.part(np.setdiff1d(np.arange(len(table)), places))
    if len(kept):
        _check_target(kept)
    return ReadTable(kept, removed, notes)


def _check_names(recipe: TableRecipe, columns: Sequence[str]) -> None:
    """Refuse names in the recipe that no column has."""
    asked: list[tuple[str, str]] = [("columns", column.name) for column in recipe.columns]
    for place in ("target", "id", "group", "time"):
        asked += [(place, value)] if (value := getattr(recipe, place)) is not None else []
    for place in ("features", "protected", "ignore"):
        asked += [(place, name) for name in getattr(recipe, place) or []]
    for place, name in asked:
        if name not in columns:
            known = ", ".join(columns)
            raise DataError(f"{place}: the table has no column {name!r}.{nearest(name, columns)} Columns: {known}.")


def _typed(name: str, values: pd.Series, said: SaidColumn, recipe: TableRecipe) -> Typed:
    """A column with its type; ids and groups are names even where they look like numbers, the time is one."""
    wanted = {recipe.id: "category", recipe.group: "category", recipe.time: "time"}.get(name)
    if said.type is None and wanted is not None:
        said = said.model_copy(update={"type": wanted})
    return typed_column(name, values, said, recipe.values)


def _column(name: str, typed: Typed, said: SaidColumn | None, recipe: TableRecipe, notes: list[str]) -> TableColumn:
    """What a column is for."""
    role: Role = "feature"
    for asked, value in (("id", recipe.id), ("group", recipe.group), ("time", recipe.time), ("target", recipe.target)):
        role = asked if value == name else role  # type: ignore[assignment]
    role = "protected" if name in recipe.protected and role == "feature" else role
    role = "ignored" if name in recipe.ignore and role == "feature" else role
    feature = name in recipe.features if recipe.features is not None else role == "feature"
    kind = typed.type
    if role == "target":
        kind = _target_type(name, typed, said, notes)
    elif feature and recipe.features is None and kind == "number" and counts_rows(typed.values):
        role, feature = "ignored", False
        notes.append(f"{name}: counts the rows; it is kept and not predicted from (name it under features to change that)")
    elif feature and not typed.values.notna().any():
        role, feature = "ignored", False
        notes.append(f"{name}: has no value in any row; it is not predicted from")
    about = (said.unit, said.about) if said is not None else (None, None)
    return TableColumn(name, kind, about[0], about[1], role, feature)  # type: ignore[arg-type]


def _target_type(name: str, typed: Typed, said: SaidColumn | None, notes: list[str]) -> str:
    """A target is a label or a number."""
    if typed.type == "time":
        raise DataError(f"target: {name!r} is a time, and what is predicted is a label or a number. Choose another column.")
    if typed.type == "number" and (said is None or said.type is None) and typed.values.nunique() <= 2:
        values = typed.values.dropna()
        whole = values == np.floor(values)
        labels = values.map(lambda value: f"{value:.0f}" if whole.all() else repr(float(value)))
        typed.values = labels.reindex(typed.values.index).astype("str")
        notes.append(f"{name}: a target with two different numbers was taken for labels (say type: number to change it)")
        return "category"
    return "category" if typed.type == "text" else typed.type


def _handle_trouble(typed: dict[str, Typed], recipe: TableRecipe, notes: list[str]) -> dict[int, Drop]:
    """Values that do not fit their column: told, and made missing, dropped or refused."""
    drops: dict[int, Drop] = {}
    for name, one in typed.items():
        for reason, places in one.trouble.items():
            seen = one.seen[reason]
            examples = ", ".join(repr(text[:40]) for text in list(dict.fromkeys(seen))[:_EXAMPLES])
            count = f"{len(places):,} value{'s' if len(places) > 1 else ''}"
            what = f"{name}: {count} of a column of type {one.type} {_plural(reason, len(places))} ({examples})"
            if recipe.values.unreadable == "refuse":
                raise DataError(f"{what}. Mend them, or let them be missing or their rows be dropped: values.unreadable.")
            if recipe.values.unreadable == "drop":
                for place, text in zip(places.tolist(), seen, strict=True):
                    drops.setdefault(place, Drop(f"{name} {reason}", text, one.type))
            done = "made missing" if recipe.values.unreadable == "missing" else "their rows were removed"
            notes.append(f"{what}: {done} (values.unreadable)")
    return drops


def _plural(reason: str, count: int) -> str:
    """``is no number`` of one, ``are no number`` of several."""
    return reason.replace("is ", "are ", 1) if count > 1 and reason.startswith("is ") else reason


def _add_missing_target(table: DataTable, drops: dict[int, Drop]) -> None:
    """Rows without a target, or without the time that divides them."""
    for role, reason in (("target", "the target is missing"), ("time", "the time is missing")):
        column = table.of_role(role)  # type: ignore[arg-type]
        if column is not None:
            for place in np.flatnonzero(table.frame[column.name].isna().to_numpy()).tolist():
                drops.setdefault(place, Drop(reason, None, f"a value in {column.name}"))


def _use_ids(table: DataTable, name: str, drops: dict[int, Drop]) -> None:
    """The rows' own identities; one that stands twice is refused."""
    texts = table.frame[name]
    doubled = texts[texts.duplicated() & texts.notna()]
    if len(doubled):
        raise DataError(
            f"id: {name!r} does not tell rows apart: {doubled.iloc[0]!r} stands in "
            f"{int((texts == doubled.iloc[0]).sum()):,} rows. If it names what several rows belong to, say group: {name}."
        )
    for place in np.flatnonzero(texts.isna().to_numpy()).tolist():
        drops.setdefault(place, Drop("the id is missing", None, f"a value in {name}"))
    named = texts.fillna("").to_numpy(object)
    table.ids[:] = [
        f"{source}/{value}" if value else identity
        for source, value, identity in zip(table.sources, named, table.ids, strict=True)
    ]


def _check_target(table: DataTable) -> None:
    """Refuse a target that says nothing."""
    target = table.of_role("target")
    if target is None:
        return
    values = table.frame[target.name]
    if target.type == "category" and values.nunique() == len(values) > 2:
        raise DataError(
            f"target: {target.name!r} has another label in every row, such as {values.iloc[0]!r}, so nothing can be learned "
            "of any. Choose another column, or say its type under 'columns' (number)."
        )
    if values.nunique() < 2:
        raise DataError(
            f"target: {target.name!r} is {values.iloc[0]!r} in all {len(values):,} rows, so there is nothing to predict. "
            "Choose another column, or add rows with other values."
        )
