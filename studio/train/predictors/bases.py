"""The base weights of a training: found when it is opened, and the very same ones when it is trained or goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from studio.core.workspace import read_run
from studio.models.bases import ResolvedBase, recorded_revision
from studio.train.predictors.job import Job
from studio.train.record import unchanged

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset

Resolve = Callable[["AnyPredictorPreset", str | None], ResolvedBase]


def base_again(job: Job, resolve: Resolve) -> ResolvedBase:
    """The base of a Run that is opened already, at the revision that was written down.

    Raises:
        UserError: its weights have changed since.
    """
    if not (job.run_folder / "run.json").is_file():  # trained without a Run, in a fold of a comparison
        return resolve(job.preset, None)
    record = read_run(job.run_folder)
    return unchanged(resolve(job.preset, recorded_revision(record.base)), record)
