"""Measuring forecasts: ask for every window, hold what was said against what came, beside naive forecasts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from studio.core.records import GroupScores, Score
from studio.data.series.drawing import stamp_text
from studio.evals.forecast.asking import MARKS, Asked, ask, window_stamps
from studio.evals.forecast.measures import Cells, Measure, measures_of
from studio.evals.forecast.page import beside_panel, windows_panel
from studio.evals.forecast.remarks import lead, limits, remarks
from studio.evals.pieces import Floats
from studio.evals.scoring import differences, score
from studio.evals.task import TaskContext, TaskResult
from studio.models.forecast.errors import scale_of
from studio.schema.forecast_scores import ForecastTask

# Series that have a group of their own; a page of thousands is not read, and the table of cells holds all.
_SERIES_TOLD = 200


def run(context: TaskContext[ForecastTask]) -> TaskResult:
    """Score the forecasts of every model.

    Raises:
        NotComputedError, UserError: as :func:`studio.evals.forecast.asking.ask`.
    """
    task = context.task
    asked = ask(context)
    season = asked.facts["season_length"]
    scales = {one.name: scale_of(one, len(one) - asked.reach, season) for one in asked.panel.series}
    cells = {label: Cells.of(windows, scales) for label, windows in asked.windows.items()}
    clusters = [window.series for window in asked.windows["tuned"] for _ in window.truth]
    measures = measures_of(task.metric_names(), asked.panel.unit)
    metrics = {name: measure.metric for name, measure in measures.items()}
    measured = {label: {name: measure.statistic(found) for name, measure in measures.items()} for label, found in cells.items()}
    draws = {"resamples": context.resamples, "seed": context.seed}
    scores = {
        label: [score(metric, measured[label][name], clusters=clusters, **draws) for name, metric in metrics.items()]
        for label in cells
    }
    table = cells_table(asked)
    return TaskResult(
        scores={label: scores[label] for label in context.labels},
        differences=differences(metrics, measured, resamples=context.resamples, seed=context.seed, clusters=clusters),
        examples=table,
        groups=_groups(context, asked, cells, measures, clusters, table),
        notes=remarks(asked, scales, scores),
        limits=limits(asked),
        data=asked.data,
        rows=len(clusters),
        title="Forecasts",
        marks={label: scores[label] for label in MARKS},
        lead=lead(asked, scores),
        panels=[beside_panel(scores, list(metrics.values())), *windows_panel(asked, scales, task)],
        about=asked.about,
    )


def cells_table(asked: Asked) -> pd.DataFrame:
    """One line per cell: series, window, step, stamp, what came, what each model said."""
    windows = asked.windows["tuned"]
    by_name = {one.name: one for one in asked.panel.series}
    stamps = [asked.panel.stamps(by_name[window.series], window.origin, asked.horizon) for window in windows]
    steps = np.tile(np.arange(1, asked.horizon + 1), len(windows))
    table = pd.DataFrame(
        {
            "id": [f"{window.series}/{window.number}/{step}" for window in windows for step in range(1, asked.horizon + 1)],
            "series": [window.series for window in windows for _ in range(asked.horizon)],
            "window": [window.number for window in windows for _ in range(asked.horizon)],
            "step": steps,
            "time": np.concatenate([part.to_numpy() for part in stamps]),
            "truth": np.concatenate([window.truth for window in windows]),
        }
    )
    for label, found in asked.windows.items():
        name = label.replace(" ", "_")
        table[f"{name}_forecast"] = np.concatenate([window.forecast.point for window in found])
        for level in found[0].forecast.lower:
            table[f"{name}_lower_{level}"] = np.concatenate([window.forecast.lower[level] for window in found])
            table[f"{name}_upper_{level}"] = np.concatenate([window.forecast.upper[level] for window in found])
    return table


def _groups(
    context: TaskContext[ForecastTask],
    asked: Asked,
    cells: dict[str, Cells],
    measures: dict[str, Measure],
    clusters: Sequence[str],
    table: pd.DataFrame,
) -> list[GroupScores]:
    """Errors by step and by series; coverage of the widest interval by window and by step."""
    told = {label: cells[label] for label in context.labels}
    error = next((measures[name] for name in ("mase", "mae") if name in measures), None)
    held = next(
        (measures[f"coverage_{level}"] for level in sorted(context.task.levels, reverse=True) if f"coverage_{level}" in measures),
        None,
    )
    firsts = window_stamps(asked)
    windows = {
        f"window {number}" + (f", from {stamp_text(first)}" if first is not None else ""): (table["window"] == number).to_numpy()
        for number, first in enumerate(firsts, start=1)
    }
    steps = {f"{step} ahead": (table["step"] == step).to_numpy() for step in range(1, asked.horizon + 1)}
    series = {name: (table["series"] == name).to_numpy() for name in asked.panel.names[:_SERIES_TOLD]}

    def group(measure: Measure, by: str, places: dict[str, np.ndarray], explains: str) -> GroupScores:
        return _group(context, measure, told, by, places, clusters, explains)

    found = []
    if error is not None:
        if len(windows) > 1:
            found.append(group(error, "window", windows, "Each window is forecast from what lies before it."))
        found.append(group(error, "stamps ahead", steps, "How errors grow with the distance."))
        if len(series) > 1:
            left = len(asked.panel) - len(series)
            more = f" {left:,} more series are in the table of cells." if left > 0 else ""
            found.append(
                group(error, "series", series, f"A series alone is one independent example, so it has no interval.{more}")
            )
    if held is not None:
        if len(windows) > 1:
            found.append(
                group(held, "window", windows, "A mean over all windows may hide one in which hardly any interval held.")
            )
        found.append(group(held, "stamps ahead", steps, "Whether intervals grow as errors do."))
    return found


def _group(
    context: TaskContext[ForecastTask],
    measure: Measure,
    cells: dict[str, Cells],
    by: str,
    places: dict[str, np.ndarray],
    clusters: Sequence[str],
    explains: str,
) -> GroupScores:
    """One measure for each part of the cells."""
    metric = measure.metric

    def of(found: Cells, name: str, chosen: np.ndarray) -> Score:
        kept = np.flatnonzero(chosen).tolist()
        statistic = measure.statistic(_part(found, kept))
        owners = [clusters[place] for place in kept]
        told = score(metric, statistic, resamples=context.resamples, seed=context.seed, clusters=owners)
        return told.model_copy(update={"metric": name, "title": name})

    return GroupScores(
        title=f"{metric.title} by {by}",
        unit=metric.unit,
        ideal=metric.ideal,
        explains=explains,
        scores={label: [of(found, name, chosen) for name, chosen in places.items()] for label, found in cells.items()},
    )


def _part(cells: Cells, places: list[int]) -> Cells:
    """Some of the cells."""

    def take(values: Floats) -> Floats:
        return np.asarray(values[places], dtype=np.float64)

    return Cells(
        take(cells.truth),
        take(cells.point),
        {share: take(values) for share, values in cells.quantiles.items()},
        {level: take(values) for level, values in cells.lower.items()},
        {level: take(values) for level, values in cells.upper.items()},
        take(cells.absolute),
        take(cells.squared),
    )
