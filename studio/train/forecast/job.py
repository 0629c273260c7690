"""What a training of forecasts works on: the series up to the end of validation, and what the preset leaves to the Dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.parquet import read_whole_dataset
from studio.data.series.rows import facts_of, read_panel
from studio.models.forecast.calendar import Calendar
from studio.models.forecast.forecaster import Forecaster, ForecasterInfo
from studio.models.forecast.panel import Panel
from studio.schema.forecast import ForecastPreset
from studio.train.opening import Say
from studio.train.recording import StopOnSignal

# What a method is learnt from before a back-test begins.
FEWEST_BEFORE = 8

Learn = Callable[[Panel], Forecaster]


@dataclass
class Job:
    """One training. panel: every series, the test split not among it. held_out: stamps of validation at its end."""

    run_folder: Path
    preset: ForecastPreset
    panel: Panel
    info: ForecasterInfo
    held_out: int
    processes: int
    resume: bool
    say: Say
    stop: StopOnSignal

    @property
    def horizon(self) -> int:
        """Stamps that are forecast at once."""
        return self.info.horizon

    @property
    def shortest(self) -> int:
        """Stamps of the shortest series."""
        return min(map(len, self.panel.series))


def open_job(run_folder: Path, preset: ForecastPreset, *, resume: bool, processes: int, say: Say, stop: StopOnSignal) -> Job:
    """Read what is trained on.

    Raises:
        UserError: the Dataset is gone or fits the preset no longer.
    """
    folder = run_dataset(read_run(run_folder), Workspace.around(run_folder))
    facts = check_facts(preset, folder)
    splits = [split for split in ("train", "validation") if split in read_whole_dataset(folder).splits]
    panel = read_panel(folder, splits)
    season = preset.season_length or facts["season_length"]
    panel = replace(panel, calendar=Calendar(facts["frequency"], season))
    info = ForecasterInfo(
        estimator=preset.estimator.model_dump(),
        frequency=facts["frequency"],
        season_length=season,
        horizon=preset.horizon or facts["horizon"],
        levels=tuple(preset.intervals.levels),
        seed=preset.seed,
        columns=facts["columns"],
        form=facts["form"],
        time_format=facts["time_format"],
        unit=facts["unit"],
    )
    held_out = facts["horizon"] * facts["validation"] if "validation" in splits else 0
    return Job(run_folder, preset, panel, info, held_out, processes, resume, say, stop)


def check_facts(preset: ForecastPreset, dataset: Path) -> dict[str, Any]:
    """What the Dataset says of its series.

    Raises:
        UserError: it holds no series, or its test split is shorter than the horizon.
    """
    record = read_whole_dataset(dataset)
    facts = facts_of(record)
    test = facts["horizon"] * facts["windows"]
    if preset.horizon is not None and preset.horizon > test:
        raise UserError(
            f"a horizon of {preset.horizon} stamps is asked, and the test split of {record.name} holds {test} of each series, so "
            f"that it could never be measured. Ask for {test} or fewer, or build the Dataset with --set split.horizon="
            f"{preset.horizon}."
        )
    return facts
