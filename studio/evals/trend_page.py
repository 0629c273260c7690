"""The page of a trend: a small line chart per metric with its intervals, and every number below it. Opens without a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from studio.core.records import Score, side_names
from studio.evals.numbers import figure, interval_text
from studio.evals.page_templates import page_template
from studio.evals.trend import Evaluation, Followed, Point, Series, Trend, segments

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 150, 52, 10, 10, 22
# With more evaluations than this only some of their numbers stand below the axis.
_NUMBERS = 12


def render_trends(followed: Followed, trends: Sequence[Trend], place: Path) -> str:
    """The whole page as HTML with inline style and charts; names that others wrote are escaped.

    Args:
        place: file it will be written to; links to reports start from there.
    """
    sections = [
        {
            "trend": trend,
            "evaluations": [_evaluation(item, place) for item in trend.evaluations],
            "figures": [_figure(item, trend) for item in trend.series],
            "broken": any(len(segments(item.points)) > 1 for item in trend.series),
        }
        for trend in trends
    ]
    newest = trends[-1].evaluations[-1].record if trends else None
    names = side_names(newest.models if newest is not None else {})
    return _template().render(followed=followed, sections=sections, names=names, runs=len({run for run, _ in followed.runs}))


def _evaluation(item: Evaluation, place: Path) -> dict[str, Any]:
    """One line of the table of evaluations."""
    record = item.record
    return {
        "number": item.number,
        "created": record.created[:16].replace("T", " "),
        "run": item.run,
        "rows": sum(task.rows for task in record.tasks) or record.dataset.get("rows"),
        "dtype": record.models.get("tuned", {}).get("dtype"),
        "gate": gate_text(item),
        "missed": bool(record.gate.get("missed")),
        "link": Path(os.path.relpath(item.folder / "report.html", place.parent)).as_posix(),
    }


def gate_text(item: Evaluation) -> str:
    """How the gate of an evaluation stood, in a few words; a dash without one."""
    gate = item.record.gate
    if not gate.get("thresholds"):
        return "–"
    counts = [(len(gate.get(key, [])), words) for key, words in (("missed", "missed"), ("not_shown", "not shown"))]
    found = [f"{count} {words}" for count, words in counts if count]
    return found[0].replace(" ", f" of {gate['thresholds']} ", 1) + "".join(f", {more}" for more in found[1:]) if found else "met"


def _figure(series: Series, trend: Trend) -> dict[str, Any]:
    """One metric as the template shows it."""
    lines = [
        {"number": point.number, "tuned": _cell(point.tuned, series.unit), "base": _cell(point.base, series.unit)}
        for point in series.points
    ]
    newest = next(point for point in reversed(series.points) if point.tuned is not None and point.tuned.value is not None)
    return {
        "series": series,
        "chart": line_chart(series, len(trend.evaluations)),
        "newest": newest,
        "value": figure(newest.tuned.value, series.unit) if newest.tuned else "–",
        "lines": lines,
        "has_base": any(point.base is not None for point in series.points),
    }


def _cell(score: Score | None, unit: str) -> dict[str, str]:
    """A value with its interval and its number of rows, or why there is none."""
    if score is None:
        return {"value": "–", "note": "not measured"}
    if score.value is None:
        return {"value": "–", "note": score.reason or "not computed"}
    bounds = "" if score.low is None else f"{figure(score.low, unit)} to {figure(score.high, unit)}, "
    return {"value": figure(score.value, unit), "note": f"{bounds}n\u00a0=\u00a0{score.n}"}


def line_chart(series: Series, count: int) -> Markup:
    """Values of a metric over ``count`` evaluations with their intervals: the tuned model's in front, the base's behind.

    Neighbours are joined only where they were measured alike; a dotted line stands where they were not.
    """
    low, high = _scale(series)

    def x(number: int) -> float:
        room = _WIDTH - _LEFT - _RIGHT - 16
        return _LEFT + 8 + (room / 2 if count < 2 else room * (number - 1) / (count - 1))

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    pieces = [_axis(low, high, y, series.unit)]
    if series.ideal is not None:
        pieces.append(_line(_LEFT, y(series.ideal), _WIDTH - _RIGHT, y(series.ideal), "ideal"))
    parts = segments(series.points)
    for before, after in pairwise(parts):
        middle = (x(before[-1].number) + x(after[0].number)) / 2
        pieces.append(_line(middle, _TOP, middle, _HEIGHT - _BOTTOM, "break"))
    for label in ("base", "tuned"):
        for part in parts:
            pieces.append(_path([(x(p.number), score) for p in part if (score := getattr(p, label)) is not None], y, label))
    step = max(1, -(-count // _NUMBERS))
    for number in range(1, count + 1, step):
        pieces.append(_text(x(number), _HEIGHT - 6, str(number), "middle"))
    return Markup('<svg viewBox="0 0 {w} {h}" role="img" aria-label="{told}" class="trend">{pieces}</svg>').format(
        w=_WIDTH, h=_HEIGHT, told=_told(series.points, series.unit), pieces=Markup("").join(pieces)
    )


def _scale(series: Series) -> tuple[float, float]:
    """Lower and upper end of the axis: all values, their intervals and the ideal, with a little room."""
    scores = [score for point in series.points for score in (point.tuned, point.base) if score is not None]
    values = [value for score in scores for value in (score.value, score.low, score.high) if value is not None]
    values += [] if series.ideal is None else [series.ideal]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _axis(low: float, high: float, y: Any, unit: str) -> Markup:
    """Three lines across with what they stand for."""
    pieces = []
    for value in (low, (low + high) / 2, high):
        pieces.append(_line(_LEFT, y(value), _WIDTH - _RIGHT, y(value), "grid"))
        pieces.append(_text(_LEFT - 5, y(value) + 4, figure(value, unit), "end"))
    return Markup("").join(pieces)


def _path(points: Sequence[tuple[float, Score]], y: Any, kind: str) -> Markup:
    """A line through points, with the interval and a dot at each."""
    known = [(place, score) for place, score in points if score.value is not None]
    steps = " ".join(f"{'L' if number else 'M'}{place:.1f} {y(score.value):.1f}" for number, (place, score) in enumerate(known))
    pieces = [Markup('<path d="{d}" class="line {kind}"/>').format(d=steps, kind=kind)] if len(known) > 1 else []
    for place, score in known:
        if score.low is not None and score.high is not None:
            pieces.append(_line(place, y(score.low), place, y(score.high), f"range {kind}"))
        pieces.append(
            Markup('<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" class="{kind}"/>').format(
                x=place, y=y(score.value), r=4 if kind == "tuned" else 3, kind=kind
            )
        )
    return Markup("").join(pieces)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return Markup('<line x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}" class="{kind}"/>').format(
        a=x1, b=y1, c=x2, d=y2, kind=kind
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    """A short text on the chart."""
    return Markup('<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>').format(x=x, y=y, text=text, anchor=anchor)


def _told(points: Sequence[Point], unit: str) -> str:
    """The chart in words, for people who do not see it."""
    said = [
        f"{point.number}: {figure(point.tuned.value, unit)} ({interval_text(point.tuned.low, point.tuned.high)})"
        for point in points
        if point.tuned is not None and point.tuned.value is not None
    ]
    return "; ".join(said)


@cache
def _template() -> Template:
    """The page's template."""
    return page_template("trend.html.j2")
