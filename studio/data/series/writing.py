"""The last part of a build: filling gaps, the tables, what there is to know of the series, the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from studio.core.files import write_text
from studio.core.records import DatasetRecord
from studio.data.build import peak_bytes
from studio.data.page import REPORT_FILE
from studio.data.parquet import REMOVED_FILE, write_table
from studio.data.series.drawing import stamp_text
from studio.data.series.grid import Held, by_series, times_of
from studio.data.series.report import render_series_report
from studio.data.series.rows import ROW_SCHEMA, Point, RemovedPoint, removed_to_table
from studio.data.series.split import Ends
from studio.data.split import Division
from studio.models.forecast.calendar import Calendar
from studio.models.forecast.panel import Panel, Series
from studio.schema.series_recipe import SeriesRecipe

_NAMED = 5
_BEGINNING = pd.Timestamp("0001-01-01")


@dataclass(frozen=True)
class Gap:
    """Stamps in a row without a value. first: the first of them."""

    series: str
    first: pd.Timestamp
    stamps: int


def write_series(
    place: Path,
    record: DatasetRecord,
    recipe: SeriesRecipe,
    columns: dict[str, Any],
    removed: Sequence[RemovedPoint],
    division: Division[Point],
    calendar: Calendar,
    held: Held,
    ends: Ends,
) -> DatasetRecord:
    """Write splits, removed rows and the report into a folder; gives back the record with what is known of the series.

    Args:
        columns: which column held what.
    """
    names = [*columns["known"], *columns["past"]]
    every = [point for part in division.splits.values() for point in part]
    whole = {name: _grid(name, rows, calendar, pd.Timestamp(ends["test"][name])) for name, rows in by_series(every).items()}
    gaps = [gap for one in whole.values() for gap in _gaps(one, calendar)]
    filled = {name: _filled(one, recipe.fill, calendar, [ends[split][name] for split in ends]) for name, one in whole.items()}
    splits = dict.fromkeys(division.splits, 0)
    for split, table in _tables(division, filled, calendar, ends, names).items():
        write_table(table, place / f"{split}.parquet")
        splits[split] = table.num_rows
    write_table(removed_to_table(removed), place / REMOVED_FILE)
    facts = _facts(recipe, columns, calendar, held, ends, whole, gaps)
    notes = [*(record.model_extra or {})["notes"], *_notes(gaps, facts["constant"], filled, recipe, every, names)]
    added = sum(splits.values()) - sum(record.splits.values())
    update = {"splits": splits, "rows_added": added, "series": facts, "notes": notes, "peak_bytes": peak_bytes()}
    record = record.model_copy(update=update)
    panel = Panel(calendar, list(filled.values()), unit=recipe.unit)
    write_text(place / REPORT_FILE, render_series_report(record, removed, panel, gaps, held))
    return record


def _facts(
    recipe: SeriesRecipe,
    columns: dict[str, Any],
    calendar: Calendar,
    held: Held,
    ends: Ends,
    whole: dict[str, Series],
    gaps: Sequence[Gap],
) -> dict[str, Any]:
    """What ``dataset.json`` says of the series; the contract is ``docs/artefacts.md``."""
    return {
        "count": len(whole),
        "frequency": calendar.frequency,
        "season_length": calendar.season_length,
        "horizon": held.horizon,
        "windows": recipe.split.windows,
        "validation": recipe.split.validation,
        "unit": recipe.unit,
        "columns": columns,
        "time_format": recipe.time_format,
        "form": recipe.form,
        "known": columns["known"],
        "past": columns["past"],
        "gaps": {"stamps": sum(gap.stamps for gap in gaps), "longest": max((gap.stamps for gap in gaps), default=0)},
        "constant": [name for name, one in whole.items() if one.constant],
        "ends": ends,
    }


def _grid(name: str, rows: Sequence[Point], calendar: Calendar, end: pd.Timestamp) -> Series:
    """A series on its grid up to its last stamp; covariates are left out."""
    start = pd.Timestamp(rows[0].time)
    places = calendar.places(start, times_of(rows))
    values = np.full(int(calendar.places(start, pd.DatetimeIndex([end]))[0]) + 1, np.nan)
    values[places] = [point.value for point in rows]
    return Series.of(name, start, values)


def _gaps(one: Series, calendar: Calendar) -> list[Gap]:
    """Runs of stamps without a value."""
    missing = np.flatnonzero(np.isnan(one.values))
    if not len(missing):
        return []
    stamps = calendar.stamps(one.start, len(one))
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1)
    return [Gap(one.name, stamps[run[0]], len(run)) for run in runs]


def _filled(one: Series, how: str, calendar: Calendar, ends: Sequence[str]) -> Series:
    """Values in the gaps, split by split, so that nothing after the end of a split is in it; ``seen`` says which were there."""
    if how == "none" or bool(one.seen.all()):
        return one
    values = one.values.copy()
    if how == "zero":
        values[np.isnan(values)] = 0.0
        return replace(one, values=values)
    first = 0
    for end in calendar.places(one.start, pd.DatetimeIndex([pd.Timestamp(text) for text in ends])) + 1:
        part = pd.Series(values[max(0, first - 1) : end])
        if how == "linear":
            # Beyond the last value of the split there is no line, and the last value stays.
            part = part.interpolate(limit_area="inside")
        values[max(0, first - 1) : end] = part.ffill().to_numpy()
        first = int(end)
    return replace(one, values=values)


def _tables(
    division: Division[Point], filled: dict[str, Series], calendar: Calendar, ends: Ends, names: Sequence[str]
) -> dict[str, pa.Table]:
    """The table of each split, filled stamps among the rows."""
    tables = {}
    borders = dict.fromkeys(filled, _BEGINNING)
    for split, points in division.splits.items():
        groups = by_series(points)
        parts = []
        for name, one in filled.items():
            rows = groups.get(name, [])
            parts.append(_part(one, rows, calendar, borders[name], pd.Timestamp(ends[split][name]), names))
            borders[name] = pd.Timestamp(ends[split][name])
        frame = pd.concat(parts, ignore_index=True)
        schema = pa.schema([*ROW_SCHEMA, *((name, pa.float64()) for name in names)])
        tables[split] = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    return tables


def _part(
    one: Series, rows: Sequence[Point], calendar: Calendar, after: pd.Timestamp, end: pd.Timestamp, names: Sequence[str]
) -> pd.DataFrame:
    """Rows of one series in one split: those that were read, and those that were filled in."""
    stamps = calendar.stamps(one.start, len(one))
    there = {pd.Timestamp(point.time): point for point in rows}
    source = rows[0].source if rows else ""
    lines = []
    for stamp, value in zip(stamps, one.values.tolist(), strict=True):
        if not after < stamp <= end or np.isnan(value):
            continue
        point = there.get(stamp)
        identity = point.id if point else f"{one.name}/{stamp.isoformat()}/filled"
        covariates = point.covariates if point else (np.nan,) * len(names)
        lines.append([identity, one.name, stamp, value, point is None, point.source if point else source, *covariates])
    return pd.DataFrame(lines, columns=[*ROW_SCHEMA.names, *names])


def _notes(
    gaps: Sequence[Gap],
    constant: Sequence[str],
    filled: dict[str, Series],
    recipe: SeriesRecipe,
    points: Sequence[Point],
    names: Sequence[str],
) -> list[str]:
    """Gaps, constant series, covariates without a value."""
    notes = []
    if gaps:
        stamps, longest = sum(gap.stamps for gap in gaps), max(gaps, key=lambda gap: gap.stamps)
        left = sum(int(np.isnan(one.values).sum()) for one in filled.values())
        how = (
            "left empty"
            if recipe.fill == "none"
            else f"filled ({recipe.fill})" + (f", {left:,} of them could not be" if left else "")
        )
        notes.append(
            f"gaps: {stamps:,} stamps in {len({gap.series for gap in gaps}):,} series have no value, the longest gap "
            f"{longest.stamps:,} from {stamp_text(longest.first)} in {longest.series}; {how}, and never scored"
        )
    if constant:
        shown = ", ".join(constant[:_NAMED]) + (f" and {len(constant) - _NAMED:,} more" if len(constant) > _NAMED else "")
        notes.append(f"constant: {shown} never changed; scaled errors have no scale there and are left out")
    for place, name in enumerate(names):
        missing = sum(bool(np.isnan(point.covariates[place])) for point in points)
        if missing:
            notes.append(f"covariates: {missing:,} rows have no value of {name}; the last one before counts")
    return notes
