"""What is known of each column of a finished table: its range or its values, what is missing, for people and for other stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import DataError
from studio.data.tables.rows import plain
from studio.data.tables.steps.suspicious import skewness_of
from studio.data.tables.table import DataTable, TableColumn
from studio.schema.table_recipe import ValueSettings

# Categories that are written down; the rest is counted.
_KNOWN = 200
# A category with another value in almost every row is the name of the row.
_NAMES = 0.95
_ENOUGH_ROWS = 50


def column_records(table: DataTable) -> list[dict[str, Any]]:
    """Every column as ``dataset.json`` has it; statistics are of training rows, so that nothing of the others is told.

    ``missing``: share of all rows that stay, whose number is ``rows``.
    """
    train = table.frame.iloc[table.train]
    return [
        {
            "name": column.name,
            "type": column.type,
            "unit": column.unit,
            "about": column.about,
            "role": column.role,
            "feature": column.feature,
            "made_by": column.made_by or None,
            "missing": round(float(table.frame[column.name].isna().mean()), 6) if len(table) else 0.0,
            "statistics": statistics(train[column.name], column.type),
        }
        for column in table.columns.values()
    ]


def statistics(values: pd.Series, kind: str) -> dict[str, Any]:
    """Figures of one column, missing values left out; empty where there is no value.

    Numbers: ``minimum``, ``maximum``, ``mean``, ``deviation`` (of a sample), ``quartiles`` (25, 50, 75%), ``skewness`` (of
    Fisher, bias corrected). Categories: ``distinct``, ``values`` (value to rows, the most frequent first, at most 200).
    Texts: ``distinct``, mean ``words``. Times: ``minimum``, ``maximum``.
    """
    there = values.dropna()
    if not len(there):
        return {}
    if kind == "number":
        numbers = there.to_numpy(np.float64)
        skewness = skewness_of(numbers)
        return {
            "minimum": plain(numbers.min()),
            "maximum": plain(numbers.max()),
            "mean": float(numbers.mean()),
            "deviation": float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
            "quartiles": [plain(value) for value in np.quantile(numbers, [0.25, 0.5, 0.75])],
            "skewness": skewness if np.isfinite(skewness) else None,
        }
    if kind == "time":
        return {"minimum": plain(there.min()), "maximum": plain(there.max())}
    if kind == "text":
        return {"distinct": int(there.nunique()), "words": float(there.str.count(r"\S+").mean())}
    counts = there.value_counts()
    ordered = sorted(zip(counts.index.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {"distinct": len(ordered), "values": dict(ordered[:_KNOWN])}


def limit_categories(table: DataTable, settings: ValueSettings, asked: list[str] | None) -> tuple[DataTable, list[str]]:
    """Take columns with too many categories out of those that are predicted from, as the recipe says.

    Args:
        asked: the features that the recipe names, which stay.
    Raises:
        DataError: the recipe refuses them.
    """
    notes, columns = [], dict(table.columns)
    for column in table.columns.values():
        if not column.feature or column.type != "category":
            continue
        reason = _too_many(table.frame[column.name], settings)
        if reason is None:
            continue
        if settings.many_categories == "refuse":
            raise DataError(
                f"{column.name} {reason}. Put it under ignore, fold rare ones (step: rare_categories), or let it pass: "
                "values.many_categories."
            )
        keep = settings.many_categories == "keep" or column.name in (asked or [])
        what = "it is predicted from all the same" if keep else "it is kept and not predicted from (values.many_categories)"
        notes.append(f"{column.name} {reason}: {what}")
        if not keep:
            columns[column.name] = TableColumn(**{**vars(column), "feature": False, "role": "ignored"})
    return DataTable(table.frame, table.ids, table.sources, columns, table.split, table.facts), notes


def _too_many(values: pd.Series, settings: ValueSettings) -> str | None:
    """Why a category has too many values, with examples; None where it has not."""
    there = values.dropna()
    distinct = there.drop_duplicates()
    examples = ", ".join(repr(text[:30]) for text in distinct.head(3))
    if len(distinct) > settings.max_categories:
        return (
            f"has {len(distinct):,} different categories, more than values.max_categories ({settings.max_categories:,}), "
            f"such as {examples}"
        )
    if len(there) >= _ENOUGH_ROWS and len(distinct) >= _NAMES * len(there):
        return f"has another value in almost every row ({len(distinct):,} in {len(there):,}), such as {examples}"
    return None
