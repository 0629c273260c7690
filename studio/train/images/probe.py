"""A few real steps of an image training in a process of its own, measured. Started by ``studio.train.images.plan``."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from studio.models.images.bases import resolve_image_base
from studio.schema.diffusion import DiffusionAdapter
from studio.train.images.loop import one_step
from studio.train.images.pictures import image_windows
from studio.train.images.prepare import prepare
from studio.train.probing import answer_probe
from studio.train.record import peak_memory


def run_task(task: dict[str, Any], _folder: Path) -> dict[str, Any]:
    """Train what a task says; every figure of :class:`studio.train.images.plan.ImageProbe`."""
    adapter = DiffusionAdapter.model_validate(task["adapter"])
    base = resolve_image_base(task["base"]) if task["base"] else None
    job = prepare(adapter, base, Path(task["dataset"]), say=lambda _text: None)
    windows = image_windows(job.training.shapes, batch_size=adapter.batch_size, steps=int(task["steps"]), seed=adapter.seed)
    done = [one_step(job.family, job.learner, job.training, window, adapter, step) for step, window in enumerate(windows)]
    if job.learner.ema is not None:
        with job.learner.ema.applied():  # the copy that a sampling makes belongs to the peak
            pass
    seconds = statistics.median(result.seconds for result in done[2:])  # the first two touch memory for the first time
    losses = [result.loss for result in done]
    return {"step_seconds": seconds, "peak": peak_memory(), "device": job.family.device.type, "losses": losses}


if __name__ == "__main__":
    answer_probe(run_task)
