"""What is measured: the series of a Dataset, the forecasters that continue them, the windows that they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from studio.core.errors import UserError
from studio.core.workspace import read_run
from studio.data.parquet import read_whole_dataset
from studio.data.series.rows import facts_of, read_panel
from studio.evals.targets import Target
from studio.evals.task import NotComputedError, TaskContext
from studio.models.forecast.forecaster import Forecaster, baseline
from studio.models.forecast.forecasts import Window, roll
from studio.models.forecast.opening import open_forecaster
from studio.models.forecast.panel import Panel
from studio.schema.forecast_scores import ForecastTask

KIND = "forecast"
MARKS = {"seasonal naive": "seasonal-naive", "naive": "naive"}


@dataclass
class Asked:
    """What came of asking. windows: label (``tuned``, ``base``, ``naive`` …) to its windows, all in the same order.

    reach: stamps of the windows together, at the end of each series. notes: what the reader has to know.
    """

    panel: Panel
    facts: dict[str, Any]
    data: dict[str, Any]
    horizon: int
    count: int
    windows: dict[str, list[Window]] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    forecasters: dict[str, Forecaster] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def reach(self) -> int:
        """See above."""
        return self.horizon * self.count


def ask(context: TaskContext[ForecastTask]) -> Asked:
    """Forecast every window of the test split with every model and both naive ones.

    Raises:
        NotComputedError: a model makes no forecasts, or not of such series, horizon or levels.
        UserError: the Dataset holds no series, or what is tested was trained on.
    """
    task = context.task
    folder = context.dataset_folder(task.dataset)
    record = read_whole_dataset(folder)
    facts = facts_of(record)
    panel = read_panel(folder, list(record.splits))
    if task.limit is not None:
        panel = replace(panel, series=context.draw(panel.series))
    opened = {label: _opened(target, facts) for label, target in context.targets.items() if not target.own_base}
    horizon = opened["tuned"].info.horizon
    count = _windows(task, facts, horizon)
    for label, forecaster in opened.items():
        _check(label, forecaster, task, panel, facts, horizon)
    data: dict[str, Any] = {"path": str(folder), "name": record.name, "fingerprint": record.fingerprint, "split": "test"}
    data |= {"rows": len(panel) * count * horizon, "rows_in_split": record.splits["test"]}
    data |= {"series": len(panel), "windows": count, "horizon": horizon, "season length": facts["season_length"]}
    asked = Asked(panel, facts, data, horizon, count)
    season = facts["season_length"]
    before = panel.cut([len(one) - asked.reach for one in panel.series])
    plain = {name: baseline(kind, before, season, task.levels) for name, kind in MARKS.items()}
    wanted: dict[str, Forecaster] = {**opened, **plain}
    with context.bar("windows", len(wanted)) as advance:
        for label, forecaster in wanted.items():
            asked.windows[label] = roll(forecaster.forecast, panel, horizon, count)
            if advance is not None:
                advance(1)
    if "base" in context.labels and "base" not in asked.windows:
        asked.windows["base"] = asked.windows["seasonal naive"]
    asked.forecasters = opened
    asked.about = {label: _about(context.targets[label]) for label in context.labels}
    asked.notes = [f"{label}: {note}" for label, forecaster in opened.items() for note in dict.fromkeys(forecaster.notes)]
    left = facts["horizon"] * facts["windows"] - asked.reach
    if left and task.windows is None:
        asked.notes.append(f"The first {left} stamps of the test split make no whole window of {horizon} and are not forecast.")
    return asked


def _opened(target: Target, facts: dict[str, Any]) -> Forecaster:
    """The forecaster of a run.

    Raises:
        NotComputedError: the target is something else, or of another frequency.
    """
    if target.run is None or read_run(target.run).kind != KIND:
        raise NotComputedError(f"{target.name} is no run of kind {KIND!r}, so it forecasts nothing. Give one: --model RUN")
    forecaster = open_forecaster(target.run / "model")
    if target.export is not None:  # the series are the run's: they say what was trained on
        from studio.models.forecast.exported import open_exported

        histories, forecaster = forecaster.histories, open_exported(target.export)
        forecaster.histories = histories
    if forecaster.info.frequency != facts["frequency"]:
        raise NotComputedError(
            f"{target.name} was trained on series of frequency {forecaster.info.frequency}, and these have {facts['frequency']}. "
            "Give a Dataset of its frequency: --data DATASET"
        )
    return forecaster


def _windows(task: ForecastTask, facts: dict[str, Any], horizon: int) -> int:
    """How many windows are forecast.

    Raises:
        NotComputedError: the test split is shorter than the horizon, or than the windows that are asked for.
    """
    test = facts["horizon"] * facts["windows"]
    room = test // horizon
    if not room or (task.windows or 0) > room:
        asked = f"{task.windows} windows of {horizon}" if room else f"{horizon} stamps ahead"
        raise NotComputedError(
            f"{asked} do not fit into the test split of {test} stamps. Build the Dataset with a longer one (split.windows, "
            "split.horizon)" + (", or ask for fewer windows." if room else ", or train with a shorter horizon.")
        )
    return task.windows or room


def _check(label: str, forecaster: Forecaster, task: ForecastTask, panel: Panel, facts: dict[str, Any], horizon: int) -> None:
    """Refuse a forecaster that cannot be measured on these series.

    Raises:
        NotComputedError: it has other levels, a shorter horizon, or other covariates.
        UserError: it was trained on the test split.
    """
    missing = [level for level in task.levels if level not in forecaster.info.levels]
    if missing:
        raise NotComputedError(
            f"{label} has intervals of {', '.join(f'{level}%' for level in forecaster.info.levels)}, and the suite asks for "
            f"{', '.join(f'{level}%' for level in missing)}. Train with --set intervals.levels=[...], or set tasks.0.levels."
        )
    if forecaster.longest is not None and forecaster.longest < horizon:
        raise NotComputedError(f"{label} forecasts {forecaster.longest} stamps at once, and {horizon} are asked.")
    if (forecaster.histories.known, forecaster.histories.past) != (panel.known, panel.past):
        raise NotComputedError(f"{label} was trained with other covariates than these series have. Give its own Dataset.")
    test = facts["horizon"] * facts["windows"]
    trained = {one.name: one for one in forecaster.histories.series}
    for one in panel.series:
        if one.name not in trained:
            continue
        learnt = trained[one.name]
        last = panel.calendar.stamps(learnt.start, len(learnt))[-1]
        first = panel.stamps(one, len(one) - test, 1)[0]
        if last >= first:
            raise UserError(
                f"{label} was trained on {one.name} up to {last}, and the test split begins at {first}: it would be tested on "
                "what it knows. Give the Dataset it was trained on."
            )


def _about(target: Target) -> dict[str, Any]:
    """A model as the report names it."""
    if target.own_base or target.run is None:
        return {"kind": "predictor", "name": "seasonal naive"}
    record = read_run(target.run)
    return {
        "kind": "predictor",
        "name": target.name,
        "id": record.id,
        "path": str(target.export or target.run),
        "method": record.method,
        "base": "",
    }


def window_stamps(asked: Asked) -> list[pd.Timestamp | None]:
    """First stamp of each window where all series share it, else None."""
    found: list[pd.Timestamp | None] = []
    for number in range(asked.count):
        first = {asked.panel.stamps(one, len(one) - asked.reach + number * asked.horizon, 1)[0] for one in asked.panel.series}
        found.append(first.pop() if len(first) == 1 else None)
    return found
