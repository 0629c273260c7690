"""``report.html`` of a table: what its columns hold, how rows were divided, what gives the target away, in one offline file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from studio.core.records import DatasetRecord
from studio.core.telling import cell_text
from studio.data.page import page_template
from studio.data.split import SPLITS
from studio.data.tables.plots import box, distribution, heat_map
from studio.data.tables.rows import RemovedTableRow
from studio.data.tables.table import DataTable, TableColumn

# What a page shows of many; dataset.json and the parquet files hold all.
_COLUMNS, _CORRELATED, _REMOVED, _LABELS, _BOXES, _PAIRS = 200, 25, 12, 20, 40, 8
_VALUES = 6


@dataclass(frozen=True)
class ColumnLine:
    """A column of the table of columns. score: what it alone says of the target, None where that was not measured."""

    column: TableColumn
    plot: Markup
    figures: str
    missing: str
    score: float | None


def render_table_report(record: DatasetRecord, removed: Sequence[RemovedTableRow], table: DataTable) -> str:
    """The page as text; distributions, correlations and figures are those of training rows.

    Args:
        table: the rows that stay, with their split.
    """
    extra: dict[str, Any] = record.model_extra or {}
    leaks = extra.get("leaks") or {}
    train = table.frame.iloc[table.train]
    names, matrix = _correlations(table, train)
    outliers = [facts for facts in table.facts.get("outliers", []) if facts["columns"]]
    return page_template("tables/report.html.j2").render(
        record=record,
        extra=extra,
        notes=extra.get("notes", []),
        clusters=extra.get("clusters", {}),
        kept=len(table),
        columns=list(table.columns.values())[:_COLUMNS],
        lines=_lines(table, train, extra["columns"], leaks.get("scores", {})),
        features=sum(column.feature for column in table.columns.values()),
        balance=_balance(extra.get("label_shares", {})),
        target=_target(table, record),
        missing=_missing(table),
        whole_rows=_whole_rows(table),
        correlations=heat_map(names, matrix) if len(names) > 1 else None,
        pairs=_strongest(names, matrix),
        outliers=outliers,
        boxes=_boxes(outliers),
        leaks=leaks,
        scores=_scores(leaks),
        reasons=_reasons(removed),
    )


def _lines(
    table: DataTable, train: pd.DataFrame, records: Sequence[Mapping[str, Any]], scores: Mapping[str, float]
) -> list[ColumnLine]:
    """The columns, the target first, those that are not predicted from last."""
    order = {"target": 0, "feature": 1}
    facts = {one["name"]: one for one in records}
    ranked = sorted(table.columns.values(), key=lambda column: order.get(column.role, 2))
    return [
        ColumnLine(
            column,
            distribution(train[column.name], column.type, column.name),
            _figures(facts[column.name]["statistics"], column.type),
            _share(facts[column.name]["missing"]),
            scores.get(column.name),
        )
        for column in ranked[:_COLUMNS]
    ]


def _figures(known: Mapping[str, Any], kind: str) -> str:
    """A column in a few words."""
    if not known:
        return "–"
    if kind == "number":
        low, middle, high = (cell_text(value) for value in (known["minimum"], known["quartiles"][1], known["maximum"]))
        return f"{low} to {high}, {middle} in the middle"
    if kind == "time":
        return f"{known['minimum']} to {known['maximum']}"
    if kind == "text":
        return f"{known['distinct']:,} different, {known['words']:.1f} words each"
    shown = ", ".join(f"{label[:24]} ({count:,})" for label, count in list(known["values"].items())[:3])
    more = f", … {known['distinct']:,} values" if known["distinct"] > 3 else ""
    return shown + more


def _share(share: float) -> str:
    """A share in percent; nothing for none."""
    return "" if not share else f"{100 * share:.1f}%" if share >= 0.001 else "< 0.1%"


def _balance(shares: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Labels with their rows and share in each split; rare ones beyond the first together."""
    if not shares:
        return []
    labels = list(shares["train"])
    totals = {split: sum(counts.values()) for split, counts in shares.items()}
    lines = []
    for label in labels[:_LABELS]:
        parts = [(split, counts[label], 100 * counts[label] / totals[split]) for split, counts in shares.items()]
        lines.append({"label": label, "parts": parts})
    if len(labels) > _LABELS:
        parts = []
        for split, counts in shares.items():
            rest = sum(counts[label] for label in labels[_LABELS:])
            parts.append((split, rest, 100 * rest / totals[split]))
        lines.append({"label": f"{len(labels) - _LABELS:,} others", "parts": parts})
    return lines


def _target(table: DataTable, record: DatasetRecord) -> dict[str, Any] | None:
    """Figures of a target of numbers by split."""
    target = table.of_role("target")
    if target is None or target.type != "number" or table.split is None:
        return None
    lines = []
    for split in record.splits:
        values = table.frame[target.name][table.split == split]
        figures = [values.mean(), values.std(), values.min(), values.median(), values.max()]
        lines.append((split, len(values), [cell_text(float(figure)) for figure in figures]))
    return {"name": target.name, "unit": target.unit, "lines": lines}


def _missing(table: DataTable) -> list[dict[str, Any]]:
    """Columns that lack values, with the share in each split, those that lack most first."""
    shares = table.frame.isna().mean().sort_values(ascending=False, kind="stable")
    lines = []
    for name, share in shares[shares > 0].items():
        parts = {split: table.frame[name][table.split == split].isna() for split in SPLITS}
        told = [(split, _share(float(gone.mean()))) for split, gone in parts.items() if len(gone)]
        count = int(table.frame[name].isna().sum())
        lines.append({"name": name, "count": count, "width": max(1.0, 100 * share), "parts": told})
    return lines


def _whole_rows(table: DataTable) -> int:
    """Rows that lack nothing of what is predicted from."""
    names = [column.name for column in table.columns.values() if column.feature]
    return int(table.frame[names].notna().all(axis=1).sum())


def _correlations(table: DataTable, train: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """Spearman's rank correlations between the first columns of numbers, the target among them; ranks are among all known
    values.
    """
    numbers = [
        column for column in table.columns.values() if column.type == "number" and (column.feature or column.role == "target")
    ]
    names = [column.name for column in sorted(numbers, key=lambda column: column.role != "target")][:_CORRELATED]
    matrix = train[names].rank().corr(min_periods=10).to_numpy() if len(names) > 1 else np.zeros((0, 0))
    return names, matrix


def _strongest(names: Sequence[str], matrix: np.ndarray) -> list[tuple[str, str, float]]:
    """The pairs that go together most."""
    pairs = [
        (names[row], names[column], float(matrix[row, column]))
        for row in range(len(matrix))
        for column in range(row)
        if not np.isnan(matrix[row, column])
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[2]))[:_PAIRS]


def _boxes(outliers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Box plots of the columns with values beyond the limits, those with most first."""
    found = [(name, facts) for one in outliers for name, facts in one["columns"].items() if facts["beyond"]]
    found.sort(key=lambda item: -sum(item[1]["counts"].values()))
    return [
        {
            "name": name,
            "plot": box(name, facts),
            "limits": [cell_text(value) for value in facts["limits"]],
            "ends": [
                cell_text(min([facts["whiskers"][0], *facts["beyond"]])),
                cell_text(max([facts["whiskers"][1], *facts["beyond"]])),
            ],
            "counts": facts["counts"],
        }
        for name, facts in found[:_BOXES]
    ]


def _scores(leaks: Mapping[str, Any]) -> list[tuple[str, float, bool]]:
    """What single columns say of the target, the most telling first, and whether that is too much."""
    ranked = sorted(leaks.get("scores", {}).items(), key=lambda item: -item[1])
    return [(name, max(0.0, score), name in leaks["leaking"]) for name, score in ranked[: _VALUES * 2]]


def _reasons(removed: Sequence[RemovedTableRow]) -> list[dict[str, Any]]:
    """Removed rows by step and reason, with some examples."""
    grouped: dict[tuple[str, str], list[RemovedTableRow]] = {}
    for gone in removed:
        grouped.setdefault((gone.step, gone.reason), []).append(gone)
    return [
        {
            "step": step,
            "reason": reason,
            "count": len(rows),
            "threshold": rows[0].threshold,
            "rows": [(row, _short(row.row)) for row in rows[:_REMOVED]],
        }
        for (step, reason), rows in grouped.items()
    ]


def _short(row: str) -> str:
    """The first values of a row."""
    values = [f"{name}: {value}" for name, value in json.loads(row).items() if value is not None]
    return ", ".join(values[:_VALUES])[:220] + (" …" if len(values) > _VALUES else "")
