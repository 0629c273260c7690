"""Every score of a conversation task once more for some of its rows: those of one language, those with one value in a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.errors import UserError, nearest
from studio.core.records import GroupScores, Score
from studio.data.chat.rows import ChatRow
from studio.evals.evidence import Evidence
from studio.evals.metrics.base import Metric
from studio.evals.scoring import score, without_value
from studio.evals.slicing import FEW, places_by_value
from studio.evals.task import TaskContext


def column_of(rows: Sequence[ChatRow], name: str, setting: str) -> list[str | None]:
    """What stands in a column of the rows, None where nothing does.

    Args:
        setting: in which the name stands.
    Raises:
        UserError: no row has such a column (the nearest name is offered).
    """
    columns = sorted({key for row in rows for key in row.meta})
    if name not in columns:
        known = f"Columns: {', '.join(columns)}." if columns else "The rows have no columns beside their turns."
        raise UserError(f"{setting}: no row has a column '{name}'.{nearest(name, columns)} {known}")
    return [None if row.meta.get(name) in (None, "") else str(row.meta[name]) for row in rows]


def clusters_of(rows: Sequence[ChatRow], name: str | None) -> list[str] | None:
    """The cluster of each row; a row without one stands for itself. None where no column is named."""
    if name is None:
        return None
    return [
        value if value is not None else f"\0{row.id}" for row, value in zip(rows, column_of(rows, name, "cluster"), strict=True)
    ]


def slices_by_column(rows: Sequence[ChatRow], name: str) -> dict[str, list[int]]:
    """Places of the rows with each value of a column, the commonest first.

    Raises:
        UserError: no row has it, or its values are no slices.
    """
    return places_by_value(name, column_of(rows, name, "slices"))


def by_column(
    names: Sequence[str],
    rows: Sequence[ChatRow],
    metrics: Sequence[Metric],
    evidence: Mapping[str, Sequence[Evidence]],
    context: TaskContext[Any],
    clusters: Sequence[str] | None,
) -> list[GroupScores]:
    """Every metric for the rows with each value of each column that is named."""
    return [
        group
        for name in names
        for group in by_slice(
            f"by {name}", f"The rows with each value of the column '{name}'.", slices_by_column(rows, name), metrics, evidence,
            context, clusters=clusters,
        )
    ]  # fmt: skip


def by_slice(
    title: str,
    explains: str,
    slices: Mapping[str, Sequence[int]],
    metrics: Sequence[Metric],
    evidence: Mapping[str, Sequence[Evidence]],
    context: TaskContext[Any],
    *,
    titles: Mapping[str, str] | None = None,
    clusters: Sequence[str] | None = None,
) -> list[GroupScores]:
    """Every metric for each slice.

    Args:
        slices: name of each to the places of its rows. titles: names for people, where they differ.
        clusters: of all rows, where they are not independent.
    """
    named = titles or {}
    return [
        GroupScores(
            title=f"{metric.title} {title}",
            unit=metric.unit,
            explains=explains,
            scores={
                label: [
                    _slice(
                        metric, name, [items[place] for place in places], context, clusters and [clusters[p] for p in places]
                    ).model_copy(update={"title": named.get(name, name)})
                    for name, places in slices.items()
                ]
                for label, items in evidence.items()
            },
        )
        for metric in metrics
    ]


def _slice(
    metric: Metric, name: str, items: Sequence[Evidence], context: TaskContext[Any], clusters: Sequence[str] | None
) -> Score:
    """One metric on some rows, cut into words as their language is."""
    cut = metric.for_texts(items)
    if cut.missing is not None:
        found = without_value(cut, cut.missing, len(items))
    else:
        found = score(cut, cut.measure(items), resamples=context.resamples, seed=context.seed, clusters=clusters)
    return found.model_copy(update={"metric": name, "note": "few rows" if len(items) < FEW else None})
