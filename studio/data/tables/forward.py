"""Dividing rows by time: train is what was known, validation and test are what came after, with a gap where one is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from studio.core.errors import DataError
from studio.data.split import rows_of_size
from studio.data.verdicts import Drop
from studio.schema.table_recipe import TableSplitSettings


def divide_by_time(
    moments: np.ndarray, clusters: Sequence[Sequence[int]], settings: TableSplitSettings
) -> tuple[np.ndarray, dict[int, Drop], list[str]]:
    """The split of each row (object [n], None for rows in a gap), the rows in gaps, and notes.

    A cluster stands where its latest row stands, so that no training row is later than the first moment of a later split. Rows of
    one moment are never separated.

    Args:
        moments: datetime64[us] [n], none missing.
        clusters: places of rows that stay together.
    Raises:
        DataError: a split would be empty.
    """
    gap = _gap(settings.gap)
    latest = moments.copy()
    for cluster in clusters:
        if len(cluster) > 1:
            latest[list(cluster)] = moments[list(cluster)].max()
    order = np.sort(latest)
    test, validation = (rows_of_size(size, len(moments)) for size in (settings.test, settings.validation))
    starts = {"test": _start(order, test), "validation": _start(order, test + validation) if validation else None}
    split = np.full(len(moments), "train", dtype=object)
    drops: dict[int, Drop] = {}
    notes = []
    for name, start in (("validation", starts["validation"]), ("test", starts["test"])):
        if start is None:
            continue
        before = (latest >= start - gap) & (latest < start) & (split != None)  # noqa: E711 - an array of objects
        drops |= {
            place: Drop("in the gap before " + name, str(moments[place])[:19], settings.gap)
            for place in np.flatnonzero(before).tolist()
        }
        split[before] = None
        split[latest >= start] = name
        notes.append(f"{name} begins at {pd.Timestamp(start).isoformat(sep=' ')}")
    drops = {place: drop for place, drop in drops.items() if split[place] is None}
    _check(split, {"validation": validation, "test": test}, order)
    return split, drops, notes


def _gap(text: str | None) -> np.timedelta64:
    """A stretch of time."""
    if text is None:
        return np.timedelta64(0, "us")
    try:
        found = pd.Timedelta(text)
    except ValueError:
        raise DataError(f"split.gap: {text!r} is no stretch of time. Write '30 days', '12h' or '90min'.") from None
    return np.timedelta64(found.to_timedelta64(), "us")


def _start(order: np.ndarray, size: int) -> np.datetime64 | None:
    """The first moment of a split that takes the last so many rows; all of a moment go with it."""
    moment: np.datetime64 | None = order[-size] if 0 < size <= len(order) else None
    return moment


def _check(split: np.ndarray, wanted: dict[str, int], order: np.ndarray) -> None:
    """Refuse a division in which a split that is wanted holds nothing."""
    for name in ("train", *(name for name, size in wanted.items() if size)):
        if not (split == name).any():
            raise DataError(
                f"split {name!r} would be empty: {len(split)} rows lie at {len(np.unique(order))} different times from "
                f"{order[0]} to {order[-1]}. Ask for smaller splits (split.test, split.validation), a shorter split.gap, or "
                "add rows."
            )
