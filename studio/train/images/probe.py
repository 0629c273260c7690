"""A few real steps of an image training in a process of its own, measured. Started by ``studio.train.images.plan``."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

from studio.core.allocator import keep_freed_memory
from studio.core.files import write_json
from studio.models.images.bases import resolve_image_base
from studio.schema.diffusion import DiffusionAdapter
from studio.train.images.loop import one_step
from studio.train.images.pictures import image_windows
from studio.train.images.prepare import prepare
from studio.train.record import peak_memory


def main(task: Path) -> None:
    """Train what a task file says and write ``result.json`` beside it."""
    keep_freed_memory()
    given = json.loads(task.read_text(encoding="utf-8"))
    adapter = DiffusionAdapter.model_validate(given["adapter"])
    base = resolve_image_base(given["base"]) if given["base"] else None
    job = prepare(adapter, base, Path(given["dataset"]), say=lambda _text: None)
    windows = image_windows(job.training.shapes, batch_size=adapter.batch_size, steps=int(given["steps"]), seed=adapter.seed)
    done = [one_step(job.family, job.learner, job.training, window, adapter, step) for step, window in enumerate(windows)]
    if job.learner.ema is not None:
        with job.learner.ema.applied():  # the copy that a sampling makes belongs to the peak
            pass
    seconds = statistics.median(result.seconds for result in done[2:])  # the first two touch memory for the first time
    losses = [result.loss for result in done]
    write_json(
        task.with_name("result.json"),
        {"step_seconds": seconds, "peak": peak_memory(), "device": job.family.device.type, "losses": losses},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
