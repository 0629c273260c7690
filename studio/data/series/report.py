"""``report.html`` of a Dataset of time series: what went, the gaps, and some series with trend and season."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from studio.core.records import DatasetRecord
from studio.data.page import page_template
from studio.data.series.drawing import Plane, stamp_text, value_text
from studio.data.series.grid import Held
from studio.data.series.rows import RemovedPoint
from studio.models.forecast.panel import Panel, Series, without_gaps
from studio.models.forecast.season import Components, components

# Series that are drawn, and those that have a line in the table; the parquet files hold all.
_DRAWN = 8
_LISTED = 60
_GONE_SHOWN = 20
_GAPS_SHOWN = 30


def render_series_report(
    record: DatasetRecord, removed: Sequence[RemovedPoint], panel: Panel, gaps: Sequence[Any], held: Held
) -> str:
    """The page as text.

    Args:
        panel: every series as written. gaps: runs of stamps without a value.
    """
    extra: dict[str, Any] = record.model_extra or {}
    by_gaps = {one.name: sum(gap.stamps for gap in gaps if gap.series == one.name) for one in panel.series} if gaps else {}
    chosen = _chosen(panel.series, by_gaps)
    shapes = {one.name: _shape(one, panel) for one in [*panel.series[:_LISTED], *chosen]}
    reasons: dict[tuple[str, str], list[RemovedPoint]] = {}
    for gone in removed:
        reasons.setdefault((gone.step, gone.reason), []).append(gone)
    return page_template("series/report.html.j2").render(
        record=record,
        facts=extra["series"],
        notes=extra.get("notes", []),
        kept=sum(record.splits.values()),
        held=held,
        gaps=[(gap.series, stamp_text(gap.first), gap.stamps) for gap in sorted(gaps, key=lambda gap: -gap.stamps)[:_GAPS_SHOWN]],
        gaps_left=max(0, len(gaps) - _GAPS_SHOWN),
        pictures=[_picture(one, panel, shapes[one.name], held) for one in chosen],
        lines=[_line(one, panel, shapes[one.name], by_gaps.get(one.name, 0)) for one in panel.series[:_LISTED]],
        left=max(0, len(panel) - _LISTED),
        reasons=[(step, reason, found[:_GONE_SHOWN], len(found)) for (step, reason), found in reasons.items()],
    )


def _shape(one: Series, panel: Panel) -> Components | None:
    """What a series is made of, with a line over gaps."""
    return components(without_gaps(one.values), panel.calendar.season_length, robust=True)


def _chosen(series: Sequence[Series], gaps: dict[str, int]) -> list[Series]:
    """Series to draw: those with most gaps, the others spread evenly."""
    if len(series) <= _DRAWN:
        return list(series)
    worst = sorted((one for one in series if gaps.get(one.name)), key=lambda one: -gaps[one.name])[: _DRAWN // 4]
    rest = [one for one in series if one not in worst]
    wanted = _DRAWN - len(worst)
    names = {one.name for one in worst} | {rest[place * len(rest) // wanted].name for place in range(wanted)}
    return [one for one in series if one.name in names]


def _picture(one: Series, panel: Panel, shape: Components | None, held: Held) -> dict[str, Any]:
    """A series with its splits, gaps and trend, and its season below."""
    stamps = panel.stamps(one, 0, len(one))
    plane = Plane.around([one.values], 0, len(one) - 1)
    test, validation = len(one) - held.test, len(one) - held.test - held.validation
    # A stretch begins and ends between two stamps.
    parts = [plane.stretch(test - 0.5, len(one) - 1, "test")]
    parts += [plane.stretch(validation - 0.5, test - 0.5, "validation")] if held.validation else []
    missing = np.flatnonzero(~one.seen)
    parts += [plane.stretch(max(0, place - 0.5), min(len(one) - 1, place + 0.5), "gap") for place in missing[:500].tolist()]
    parts.append(plane.line(0, one.values, "values"))
    if shape is not None:
        parts.append(plane.line(0, shape.trend, "trend"))
    ticks = sorted({0, validation if held.validation else test, test, len(one) - 1})
    picture = plane.picture([*parts, plane.frame(stamps, ticks)], f"{one.name}: values, trend and splits")
    season = Markup("")
    if shape is not None:
        below = Plane.around([shape.season], 0, len(one) - 1, height=86)
        label = f"{one.name}: season"
        season = below.picture([below.line(0, shape.season, "season"), below.frame(stamps, [])], label)
    return {"name": one.name, "picture": picture, "season": season, "shape": shape}


def _line(one: Series, panel: Panel, shape: Components | None, gaps: int) -> dict[str, Any]:
    """One line of the table."""
    values = one.values[one.seen]
    return {
        "name": one.name,
        "stamps": len(one),
        "first": stamp_text(one.start),
        "last": stamp_text(pd.Timestamp(panel.stamps(one, len(one) - 1, 1)[0])),
        "gaps": gaps,
        "mean": value_text(float(values.mean())),
        "spread": value_text(float(values.std())),
        "trend": None if shape is None else f"{shape.trend_strength:.2f}",
        "season": None if shape is None else f"{shape.season_strength:.2f}",
        "constant": one.constant,
    }
