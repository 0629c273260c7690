"""The training of a forecaster, top to bottom: read the series, rehearse, learn, calibrate, save, tell."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.core.files import new_folder
from studio.core.progress import Progress
from studio.core.records import RunRecord
from studio.models.forecast.base import METHODS
from studio.models.forecast.forecaster import Forecaster, LocalForecaster, is_local
from studio.models.forecast.local import Way, learn_all
from studio.models.forecast.opening import save_forecaster
from studio.models.forecast.panel import Panel
from studio.schema.forecast import ForecastPreset
from studio.train.ending import close_well, plain_words, to_the_end
from studio.train.forecast.backtest import calibrated, rehearse, told_of, windows_of
from studio.train.forecast.job import Job, open_job
from studio.train.forecast.measuring import write_backtest
from studio.train.opening import Say
from studio.train.record import mark_running, peak_memory
from studio.train.recording import StopOnSignal

MODEL = "model"


def train_forecaster(run_folder: Path, preset: ForecastPreset, *, resume: bool, processes: int, say: Say) -> RunRecord:
    """Train an opened Run.

    Raises:
        InterruptedRunError: a signal came; a network's checkpoint was saved.
        UserError, StudioError: what is wrong; the record says ``failed``.
    """

    def story(stop: StopOnSignal) -> None:
        started = time.monotonic()
        mark_running(run_folder)
        job = open_job(run_folder, preset, resume=resume, processes=processes, say=say, stop=stop)
        with plain_words(run_folder, lambda: "the trained forecaster could not be written"):
            made = _one_by_one(job) if is_local(job.info.type) else _network(job)
            if made is None:
                return
            forecaster, result = made
            shutil.rmtree(run_folder / MODEL, ignore_errors=True)  # only a finish that was killed can have left one
            with new_folder(run_folder / MODEL) as place:
                save_forecaster(forecaster, place)
        result |= {"training_seconds": round(time.monotonic() - started, 2), "peak_memory_bytes": peak_memory()}
        close_well(run_folder, result, MODEL, "config.yaml")

    return to_the_end(run_folder, story)


def _one_by_one(job: Job) -> tuple[Forecaster, dict[str, Any]]:
    """Rehearse and learn with a method that learns each series by itself; a stop in between leaves nothing half done."""
    way = Way.of(job.info.estimator, job.info.season_length, job.info.frequency, job.info.seed)
    if job.resume:
        job.say(f"{job.info.type} learns each series in one go, so the training begins again")

    def learn(panel: Panel) -> LocalForecaster:
        with Progress(f"fit {job.info.type}", len(panel), "series") as progress:

            def advance(count: int) -> None:
                if job.stop.received is not None:
                    raise KeyboardInterrupt
                progress.advance(count)

            return LocalForecaster(job.info, panel, learn_all(way, panel.series, job.processes, advance))

    windows = rehearse(job, learn, windows_of(job))
    forecaster = learn(job.panel)
    windows = calibrated(forecaster, job, windows)
    backtest = told_of(job, windows)
    write_backtest(job.run_folder, job.panel, windows, job.info.season_length)
    forecaster.info = replace(forecaster.info, backtest=backtest)
    notes = Counter(note for learnt in forecaster.learnt.values() for note in learnt.notes)
    told = [f"{count:,} series: {note}" if len(job.panel) > 1 else note for note, count in notes.most_common()]
    if job.panel.known and not METHODS.get(job.info.type).uses_known:
        told.append(f"{job.info.type} does not use the covariates {', '.join((*job.panel.known, *job.panel.past))}")
    elif job.panel.past:
        told.append(f"{job.info.type} does not use the covariates {', '.join(job.panel.past)}, known up to the present only")
    for note in told:
        job.say(f"note: {note}")
    return forecaster, _result(job, backtest) | {"notes": told}


def _network(job: Job) -> tuple[Forecaster, dict[str, Any]] | None:
    """Train one network for all series; None where a signal ended it."""
    from studio.train.forecast.learning import train_network

    made = train_network(job)
    if made is None:
        return None
    forecaster, windows, figures = made
    windows = calibrated(forecaster, job, windows)
    backtest = told_of(job, windows)
    write_backtest(job.run_folder, job.panel, windows, job.info.season_length)
    forecaster.info = replace(forecaster.info, backtest=backtest)
    return forecaster, {**figures, **_result(job, backtest)}


def _result(job: Job, backtest: dict[str, Any]) -> dict[str, Any]:
    """Figures that every training of forecasts leaves."""
    found: dict[str, Any] = {
        "series": len(job.panel),
        "values": int(sum(one.seen.sum() for one in job.panel.series)),
        "horizon": job.horizon,
        "season_length": job.info.season_length,
        "backtest": backtest,
    }
    if backtest:
        found |= {f"backtest_coverage_{level}": share for level, share in backtest["coverage"].items()}
        found |= {f"backtest_{name}": backtest[name] for name in ("mase", "seasonal_naive_mase", "naive_mase")}
    return found
