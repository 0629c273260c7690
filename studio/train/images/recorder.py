"""What happens between two steps: figures written down, held-out loss, sample grids, checkpoints, and whether to go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from studio.adapters.images.loading import to_pictures
from studio.core.progress import Progress
from studio.models.images.families.base import Family
from studio.models.images.grid import save_picture_grid
from studio.schema.diffusion import DiffusionAdapter
from studio.train.checkpoints import rotate_checkpoints
from studio.train.finite import refuse_blown_up
from studio.train.images.checkpoint import Standing, save_checkpoint
from studio.train.images.held_out import held_out_loss
from studio.train.images.loop import Learner, StepResult
from studio.train.images.pictures import Pictures
from studio.train.recording import MetricsFile, StopOnSignal

# Losses of single steps swing with the times drawn; figures are means of this many.
SMOOTHED = 50
# Training pictures whose loss at fixed noise is measured beside the held-out one.
_COMPARED = 32


@dataclass
class Recorder:
    """Called after every step; says True when the training is over."""

    run_folder: Path
    family: Family
    learner: Learner
    adapter: DiffusionAdapter
    training: Pictures
    validation: Pictures | None
    prompts: Sequence[str]
    metrics: MetricsFile
    standing: Standing
    stop: StopOnSignal
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    eval_loss: float | None = None
    train_eval_loss: float | None = None
    progress: Progress | None = None

    def __enter__(self) -> Recorder:
        """Show the bar from the step that is resumed; a tuning begins with the base's samples."""
        if self.standing.step == 0 and self.adapter.method != "scratch":
            self.draw_samples(0)
        self.metrics.expect(self.adapter.steps)
        self.progress = Progress("train", self.adapter.steps, "steps")
        self.progress.__enter__()
        self.progress.start_at(self.standing.step)
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the bar, also after an error."""
        if self.progress:
            self.progress.__exit__(None, None, None)

    def after(self, result: StepResult) -> bool:
        """Write the step down; measure, draw and save where it is time; end on a signal or without progress."""
        self.losses.append(result.loss)
        self.seconds += result.seconds
        self.standing.step = result.step
        line = {"step": result.step, "loss": result.loss, "grad_norm": result.grad_norm}
        line |= {"learning_rate": result.learning_rate, "seconds": round(result.seconds, 4)}
        self.metrics.append(line)
        recent = self.losses[-SMOOTHED:]
        assert self.progress is not None
        self.progress.advance(loss=sum(recent) / len(recent))
        last = result.step == self.adapter.steps
        improved = self._measure(result.step) if last or result.step % self.eval_every == 0 else False
        if last or result.step % self.sample_every == 0:
            self.draw_samples(result.step)
        tired = self.adapter.early_stopping is not None and self.standing.worse >= self.adapter.early_stopping
        interrupted = self.stop.received is not None and not last
        if last or improved or tired or interrupted or result.step % self.save_every == 0:
            self.save()
        self.stop.stopped = interrupted
        return tired or interrupted

    @property
    def eval_every(self) -> int:
        """Steps between held-out losses."""
        return self.adapter.eval_every or max(1, self.adapter.steps // 10)

    @property
    def sample_every(self) -> int:
        """Steps between sample grids."""
        return self.adapter.sample_every or max(1, math.ceil(self.adapter.steps / 4))

    @property
    def save_every(self) -> int:
        """Steps between checkpoints."""
        return self.adapter.save_every or self.eval_every

    def save(self) -> None:
        """Write a checkpoint; old ones go, the best one stays."""
        folder = self.run_folder / "checkpoints"
        save_checkpoint(folder, self.learner, self.standing)
        rotate_checkpoints(folder, keep=self.adapter.keep_checkpoints, best_step=self.standing.best_step)

    def draw_samples(self, step: int) -> None:
        """Paint the prompts from their fixed noise into ``samples/step-<n>.png``, with the averaged weights."""
        sample = self.adapter.sample
        size = self.adapter.resolution or self.family.default_size
        seeds = [sample.seed + place for place in range(len(self.prompts))]
        pictures = []
        with self._averaged():
            for first in range(0, len(self.prompts), 16):
                part = slice(first, first + 16)
                painted = self.family.sample(
                    self.prompts[part],
                    seeds[part],
                    height=size,
                    width=size,
                    steps=sample.steps or self.family.default_steps,
                    guidance=sample.guidance or self.family.default_guidance,
                )
                pictures += to_pictures(painted)
        place = self.run_folder / "samples" / f"step-{step:06d}.png"
        save_picture_grid(pictures, self.prompts, place, model=f"{self.run_folder.parent.name}/{self.run_folder.name}")

    def _measure(self, step: int) -> bool:
        """Held-out loss, and the same on as many training pictures; True when it is the best so far."""
        if self.validation is None:
            return False
        batch = max(8, self.adapter.micro_batch_size or self.adapter.batch_size)
        with self._averaged():
            self.eval_loss = held_out_loss(self.family, self.validation, batch_size=batch)
            known = range(min(_COMPARED, len(self.training.captions)))
            self.train_eval_loss = held_out_loss(self.family, self.training, known, batch_size=batch)
        refuse_blown_up(step, self.adapter.learning_rate, held_out_loss=self.eval_loss)
        self.metrics.append({"step": step, "eval_loss": self.eval_loss, "train_eval_loss": self.train_eval_loss})
        assert self.progress is not None
        self.progress.advance(0, **{"held-out": self.eval_loss})
        better = self.standing.best_loss is None or self.eval_loss < self.standing.best_loss
        if better:
            self.standing.best_loss, self.standing.best_step, self.standing.worse = self.eval_loss, step, 0
        else:
            self.standing.worse += 1
        return better

    def _averaged(self) -> nullcontext[None]:
        """The weights that count: the average where there is one."""
        return self.learner.ema.applied() if self.learner.ema is not None else nullcontext()  # type: ignore[return-value]
