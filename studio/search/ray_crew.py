"""Trials as tasks of a Ray cluster. What is tried and how it is recorded is decided here as everywhere; Ray decides where it
runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from studio.core.errors import InterruptedRunError
from studio.core.ray_cluster import ray_cluster
from studio.search.crew import Crew
from studio.search.journal import Trial
from studio.search.pruning import rule_of
from studio.search.training import Job, run_trial


class OnRay(Crew):
    """As many tasks at once as there are slots. A trial under way is not known by its Run before it ends."""

    def __init__(self, slots: int) -> None:
        """Connect to the cluster that RAY_ADDRESS names, or start Ray on this machine.

        Raises:
            MissingExtraError: Ray is not installed. UserError: no cluster is there. StudioError: it does not start.
        """
        self._slots = slots
        self._jobs: dict[Any, Job] = {}
        self._block = ExitStack()
        address = os.environ.get("RAY_ADDRESS") or None
        self._ray: Any = self._block.enter_context(ray_cluster(address, instead="Take --processes N instead."))
        gpus = 1 if self._ray.cluster_resources().get("GPU", 0) >= 1 else 0
        # A task that dies is a trial that failed; the same settings are not tried twice.
        self._task: Any = self._ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(work)

    @property
    def free(self) -> bool:
        """See :class:`studio.search.crew.Crew`."""
        return len(self._jobs) < self._slots

    @property
    def busy(self) -> bool:
        """See :class:`studio.search.crew.Crew`."""
        return bool(self._jobs)

    def take(self, job: Job) -> None:
        """See :class:`studio.search.crew.Crew`."""
        self._jobs[self._task.remote(job.record())] = job

    def next(self, started: Callable[[Trial], None]) -> Trial:  # noqa: ARG002 - a Run is known when its trial has ended
        """See :class:`studio.search.crew.Crew`."""
        ready: list[Any] = []
        while not ready:
            ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=5.0)
        job = self._jobs.pop(ready[0])
        try:
            return Trial(**self._ray.get(ready[0]))
        except self._ray.exceptions.RayError as error:
            reason = f"its task on Ray ended: {str(error).strip().splitlines()[-1]}"
            return job.begun().changed(state="failed", reason=reason)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """See :class:`studio.search.crew.Crew`; trainings under way save and end."""
        for reference in self._jobs:
            self._ray.cancel(reference)
        self._block.close()


def work(record: dict[str, Any]) -> dict[str, Any]:
    """A job where Ray puts it; the folder of the search lies there under the same path."""
    job = Job.of(record)
    place = Path(job.place)
    if not place.is_dir():
        return asdict(
            job.begun().changed(state="failed", reason=f"{place} is not on this machine; the workspace has to be shared.")
        )
    try:
        return asdict(run_trial(job, started=lambda _trial: None, worse=rule_of(place, job.past), say=lambda _text: None))
    except InterruptedRunError as error:
        return asdict(job.begun().changed(reason=str(error)))
