"""The forecast parts of the report: every measure beside the naive ones, and windows of some series as they came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from studio.core.records import Score
from studio.data.series.drawing import Plane
from studio.evals.forecast.asking import Asked
from studio.evals.metrics.base import Metric
from studio.evals.numbers import figure
from studio.evals.task import Panel
from studio.models.forecast.errors import Scale
from studio.models.forecast.forecasts import Window
from studio.schema.forecast_scores import ForecastTask

_STYLE = Markup(
    "<style>svg.series { width:100%; height:auto; display:block } svg.series .line { fill:none; stroke-width:1.8; "
    "stroke-linejoin:round } svg.series .values { stroke:var(--ink) } svg.series .said { stroke:var(--tuned); stroke-width:2.2 } "
    "svg.series .other { stroke:var(--even); stroke-dasharray:5 4 } svg.series .band { fill:var(--tuned) } svg.series .wide "
    "{ opacity:.13 } svg.series .narrow { opacity:.2 } svg.series .axis { fill:none; stroke:var(--line) } svg.series "
    ".stretch.odd { fill:var(--tint) } svg.series .stretch.even { fill:none } "
    "svg.series text { fill:var(--soft); font-size:12px } svg.series text.value "
    "{ text-anchor:end } svg.series text.stamp { text-anchor:middle } .windows figure { margin:0 0 16px } .windows figcaption "
    "{ display:flex; justify-content:space-between; gap:12px; flex-wrap:wrap } .dash { display:inline-block; width:20px; "
    "border-top:3px solid var(--ink); vertical-align:middle; margin:0 5px 0 12px } .dash.said { border-color:var(--tuned) } "
    ".dash.other { border-color:var(--even); border-top-style:dashed } .ground { display:inline-block; width:14px; height:11px; "
    "background:var(--tuned); opacity:.3; margin:0 5px 0 12px }</style>"
)
# Horizons of the past that stand before the first window.
_PAST = 3
_TITLES = {"naive": "Naive", "seasonal naive": "Seasonal naive", "base": "Baseline", "tuned": "Model"}


def beside_panel(scores: Mapping[str, Sequence[Score]], metrics: Sequence[Metric]) -> Panel:
    """Every measure of the models beside those of the naive forecasts, with intervals."""
    same = scores.get("base") is not None and [item.value for item in scores["base"]] == [
        item.value for item in scores["seasonal naive"]
    ]
    labels = [label for label in _TITLES if label in scores and not (label == "base" and same)]
    head = Markup("").join(Markup('<th class="n">{}</th>').format(_TITLES[label]) for label in labels)
    lines = []
    for place, metric in enumerate(metrics):
        cells = Markup("").join(_cell(scores[label][place], label) for label in labels)
        better = f"ideal {figure(metric.ideal, metric.unit)}" if metric.ideal is not None else f"{metric.better} is better"
        lines.append(Markup("<tr><td>{}<small>{}, {}</small></td>{}</tr>").format(metric.title, metric.unit, better, cells))
    table = Markup('<table class="scores"><thead><tr><th>Measure</th>{}</tr></thead><tbody>{}</tbody></table>')
    return Panel("Beside naive forecasts", table.format(head, Markup("").join(lines)))


def _cell(score: Score, label: str) -> Markup:
    """A value with its interval."""
    told = Markup("")
    if score.low is not None and score.high is not None:
        told = Markup("<small>{} to {}</small>").format(figure(score.low, score.unit), figure(score.high, score.unit))
    form = Markup('<td class="n" data-label="{}">{}{}</td>')
    return form.format(_TITLES[label], figure(score.value, score.unit) if score.value is not None else "–", told)


def windows_panel(asked: Asked, scales: Mapping[str, Scale], task: ForecastTask) -> list[Panel]:
    """Windows of some series: what came before, what was said with its intervals, what came; nothing where none are asked for."""
    errors = {one.name: _error(asked, one.name, scales) for one in asked.panel.series}
    chosen = _chosen(errors, task.series_shown)
    if not chosen:
        return []
    pictures = [_picture(asked, name, errors[name], task.levels) for name in chosen]
    key = Markup(
        '<p class="soft"><span class="dash"></span>what came<span class="dash said"></span>model<span class="ground"></span>its '
        '{} intervals<span class="dash other"></span>seasonal naive. Each shaded stretch is one window, forecast from what lies '
        "before it. {}</p>"
    ).format(
        " and ".join(f"{level}%" for level in sorted(task.levels)),
        f"Shown are {len(chosen)} of {len(asked.panel)} series: those of the smallest, middle and largest errors."
        if len(chosen) < len(asked.panel)
        else "",
    )
    html = Markup('{}{}<div class="windows">{}</div>').format(_STYLE, key, Markup("").join(pictures))
    return [Panel("Window by window", html)]


def _error(asked: Asked, name: str, scales: Mapping[str, Scale]) -> float | None:
    """Mean absolute scaled error of the model on one series; None where there is no scale or nothing was seen."""
    scale = scales[name].absolute
    cells = np.concatenate([np.abs(w.truth - w.forecast.point) for w in asked.windows["tuned"] if w.series == name])
    return None if scale is None or not np.isfinite(cells).any() else float(np.nanmean(cells)) / scale


def _chosen(errors: Mapping[str, float | None], count: int) -> list[str]:
    """Names spread over the order of errors, both ends among them, the smallest first; those without an error at the end."""
    order = sorted(errors, key=lambda name: (errors[name] is None, errors[name] or 0.0, name))
    if count >= len(order):
        return order
    places = sorted({round(place) for place in np.linspace(0, len(order) - 1, count).tolist()})
    return [order[place] for place in places]


def _picture(asked: Asked, name: str, error: float | None, levels: Sequence[int]) -> Markup:
    """One series."""
    one = next(one for one in asked.panel.series if one.name == name)
    windows = [window for window in asked.windows["tuned"] if window.series == name]
    plain = [window for window in asked.windows["seasonal naive"] if window.series == name]
    first = max(0, len(one) - asked.reach - _PAST * asked.horizon)
    widest = max(levels)
    shown = [one.values[first:], *(part for w in windows for part in _bounded(w, widest, one.values[first:]))]
    plane = Plane.around([*shown, *(w.forecast.point for w in plain)], first, len(one) - 1, height=190)
    parts = [
        plane.stretch(w.origin - 0.5, min(w.origin + asked.horizon - 0.5, len(one) - 1), "odd" if w.number % 2 else "even")
        for w in windows
    ]
    for window in windows:
        for level in sorted(levels, reverse=True):
            kind = "wide" if level == widest else "narrow"
            parts.append(plane.band(window.origin, window.forecast.lower[level], window.forecast.upper[level], kind))
    parts += [plane.line(w.origin, w.forecast.point, "other") for w in plain]
    parts.append(plane.line(first, one.values[first:], "values"))
    parts += [plane.line(w.origin, w.forecast.point, "said") for w in windows]
    stamps = asked.panel.stamps(one, first, len(one) - first)
    ticks = [0, *(w.origin - first for w in windows), len(one) - 1 - first]
    parts.append(plane.frame(stamps, ticks[:8], shift=first))
    told = "no scale" if error is None else f"MASE {figure(error, '')}"
    caption = Markup('<figcaption><strong>{}</strong><span class="soft">{}</span></figcaption>').format(name, told)
    return Markup("<figure>{}{}</figure>").format(caption, plane.picture(parts, f"{name}: forecasts of {len(windows)} windows"))


def _bounded(window: Window, level: int, seen: np.ndarray) -> list[np.ndarray]:
    """Bounds for the height of the picture; intervals that are far wider than the series would press it flat."""
    known = seen[np.isfinite(seen)]
    middle, room = float(known.mean()), 3 * float(np.ptp(known)) or 1.0
    return [
        np.clip(bound, middle - room, middle + room) for bound in (window.forecast.lower[level], window.forecast.upper[level])
    ]
