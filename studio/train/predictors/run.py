"""The training of a predictor, top to bottom: read the rows, fit, set what is chosen on validation, save, tell."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.files import new_folder
from studio.core.records import RunRecord
from studio.core.workspace import Workspace
from studio.models.predictors.base import Predictor
from studio.models.predictors.opening import save_predictor
from studio.train.ending import close_well, plain_words, to_the_end
from studio.train.opening import Say
from studio.train.predictors.describing import describe
from studio.train.predictors.fitting import FITTERS
from studio.train.predictors.job import Job, open_job
from studio.train.record import mark_running
from studio.train.recording import StopOnSignal

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset

MODEL = "model"


def train_predictor(run_folder: Path, preset: AnyPredictorPreset, *, resume: bool, say: Say) -> RunRecord:
    """Train an opened Run.

    Raises:
        InterruptedRunError: a signal came; a checkpoint was saved where training is iterative.
        UserError, StudioError: what is wrong; the record says ``failed``.
    """

    def story(stop: StopOnSignal) -> None:
        started = time.monotonic()
        mark_running(run_folder)
        job = open_job(run_folder, preset, Workspace.around(run_folder), resume=resume, say=say, stop=stop)
        with plain_words(run_folder, lambda: "the trained model could not be written"):
            predictor: Predictor | None = FITTERS.get(preset.estimator.type)(job, describe(job))
            if predictor is None or stop.stopped:
                return
            chosen = choose_on_validation(job, predictor)
            # Left by a training that was killed after it had written its model and before it had said so.
            shutil.rmtree(run_folder / MODEL, ignore_errors=True)
            with new_folder(run_folder / MODEL) as place:
                save_predictor(predictor, place)
        result: dict[str, Any] = {
            "rows": len(job.train),
            "columns": len(job.train.columns),
            "training_seconds": round(time.monotonic() - started, 2),
            "validation": chosen,
            "notes": job.train.notes,
            **predictor.info.extra.get("result", {}),
        }
        close_well(run_folder, result, MODEL, "config.yaml")

    return to_the_end(run_folder, story)


def choose_on_validation(job: Job, predictor: Predictor) -> dict[str, str]:
    """Set the threshold or the interval on the validation rows, and say how well it does there; nothing where there are none."""
    rows = job.validation
    if rows is None or not len(rows):
        return {}
    assert rows.target is not None
    if not job.gives_labels:
        from studio.train.predictors.conformal import set_interval

        return set_interval(predictor, rows, job.preset)
    from studio.train.predictors.thresholds import set_threshold

    said = set_threshold(predictor, rows, job)
    right = float(np.mean(predictor.predict(rows.features).values == rows.target))
    return {
        "validation": f"{right:.1%} right of {len(rows)} rows, {_majority(job, rows):.1%} by always saying the commonest label"
    } | said


def _majority(job: Job, rows: Any) -> float:
    """Share of the rows that have the training rows' most frequent label."""
    shares = {label: float(np.mean(job.train.target == label)) for label in job.labels}
    return float(np.mean(rows.target == max(shares, key=lambda label: shares[label])))
