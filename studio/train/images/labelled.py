"""The training of a VAE or a GAN, from an opened Run to a finished one. Steps and losses are in ``vae.py`` and ``gan.py``.

Legend: b pictures, s side in pixels, d latent size, k labels.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from studio.adapters.images.loading import to_pictures
from studio.core.errors import UserError
from studio.core.files import new_folder
from studio.core.progress import Progress
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run, run_dataset
from studio.data.images.rows import ImageRow, read_image_split
from studio.models.device import pick_device
from studio.models.images.families.labelled import LabelGan, LabelledFamily, LabelVae
from studio.models.images.grid import save_picture_grid
from studio.schema.generative import GanAdapter, LabelledAdapter, VaeAdapter
from studio.train.checkpoints import resume_point, rotate_checkpoints, step_of
from studio.train.ending import close_well, plain_words, to_the_end
from studio.train.finite import refuse_blown_up
from studio.train.images.checkpoint import Standing, read_checkpoint, saved_weights, unwritten, write_checkpoint
from studio.train.images.collapse import Collapse, check_collapse
from studio.train.images.curve import plot_image_loss
from studio.train.images.gan import GanLearning
from studio.train.images.learning import Learning
from studio.train.images.loop import step_draws
from studio.train.images.pictures import LivePictures, image_windows
from studio.train.images.prepare import Say, sample_prompts
from studio.train.images.trained import Ema
from studio.train.images.vae import VaeLearning
from studio.train.kinds import load_preset
from studio.train.record import mark_running, peak_memory
from studio.train.recording import MetricsFile, StopOnSignal

# Pictures that the check for collapse draws and compares, at most.
_COMPARED = 256
_SMOOTHED = 50


@dataclass
class Split:
    """Pictures of a split and their labels' numbers."""

    pictures: LivePictures
    labels: Tensor
    names: list[str]

    def all(self, limit: int) -> tuple[Tensor, Tensor]:
        """The first pictures [n, 3, s, s] in -1..1 and labels [n], spread over the split."""
        rows = range(0, len(self.labels), max(1, math.ceil(len(self.labels) / limit)))
        return self.pictures.moments(list(rows), None), self.labels[list(rows)].to(self.pictures.family.device)


def train_labelled_run(run_folder: Path, *, resume: bool, say: Say) -> RunRecord:
    """Train the VAE or GAN that the Run's ``config.yaml`` says, in this process.

    Raises:
        InterruptedRunError: a signal came; a checkpoint was saved.
        UserError, StudioError: what is wrong, in one sentence; the record says ``failed``.
    """
    return to_the_end(run_folder, lambda stop: _train(run_folder, resume=resume, say=say, stop=stop))


def _train(run_folder: Path, *, resume: bool, say: Say, stop: StopOnSignal) -> None:
    """The story: read, build, train, check for collapse, write down."""
    started = time.time()
    adapter = cast(LabelledAdapter, load_preset(run_folder / "config.yaml"))
    record = read_run(run_folder)
    checkpoint = resume_point(run_folder, say) if resume else None
    mark_running(run_folder)

    dataset = run_dataset(record, Workspace.around(run_folder))
    rows = read_image_split(dataset, "train")
    learning = build_learning(adapter, rows)
    training = _split(learning.family, adapter, dataset, rows)
    held_out = None
    if (dataset / "validation.parquet").is_file():
        held_out = _split(learning.family, adapter, dataset, read_image_split(dataset, "validation"))
    prompts = sample_prompts(cast(Any, adapter), rows)
    ema = Ema(learning.trained, decay=adapter.ema_decay, warmup=True)
    session = Session(run_folder, learning, ema, training, held_out, prompts, stop)
    if checkpoint:
        session.load(checkpoint)
    session.metrics = MetricsFile(run_folder / "metrics.jsonl", resumed_at=step_of(checkpoint) if checkpoint else 0)
    windows = image_windows(training.pictures.shapes, batch_size=adapter.batch_size, steps=adapter.steps, seed=adapter.seed)
    session.metrics.expect(adapter.steps)
    with plain_words(run_folder, unwritten(run_folder, session.standing)), Progress("train", adapter.steps, "steps") as progress:
        progress.start_at(session.standing.step)
        for index in range(session.standing.step, adapter.steps):
            if session.after(session.step(windows[index], index), progress):
                break
    if not stop.stopped:
        _finish(run_folder, session, say, seconds=time.time() - started)


def build_learning(adapter: LabelledAdapter, rows: Sequence[ImageRow]) -> Learning:
    """New networks with random weights from the preset's seed, told the labels of these rows.

    Raises:
        UserError: there are no rows.
    """
    if not rows:
        raise UserError("the Dataset has no training pictures. Look at its removed.parquet, or build it with a larger split.")
    labels = sorted({row.label for row in rows if row.label})
    captions = {row.caption.strip().lower(): labels.index(row.label) for row in rows if row.caption and row.label}
    config: dict[str, Any] = {"size": adapter.resolution, "width": adapter.width, "latent": adapter.latent}
    config |= {"labels": labels, "captions": captions}
    device = pick_device()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(adapter.seed)
        if isinstance(adapter, VaeAdapter):
            return VaeLearning(adapter, LabelVae.build(config, device=device, dtype=torch.float32))
        assert isinstance(adapter, GanAdapter)
        return GanLearning(adapter, LabelGan.build(config, device=device, dtype=torch.float32))


def _split(family: LabelledFamily, adapter: LabelledAdapter, dataset: Path, rows: Sequence[ImageRow]) -> Split:
    """Rows as square pictures with the numbers of their labels; a row without a known label has the number after the last."""
    square = [ImageRow(**(row.__dict__ | {"bucket": None})) for row in rows]
    pictures = LivePictures(family, dataset, square, resolution=adapter.resolution, flip=adapter.flip)
    numbers = [family.labels.index(row.label) if row.label in family.labels else len(family.labels) for row in rows]
    return Split(pictures, torch.tensor(numbers), [row.label or "" for row in rows])


@dataclass
class Session:
    """A training under way: steps, what is written down between them, and where it stands."""

    run_folder: Path
    learning: Learning
    ema: Ema
    training: Split
    held_out: Split | None
    prompts: list[str]
    stop: StopOnSignal
    standing: Standing = field(default_factory=Standing)
    metrics: MetricsFile | None = None
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    eval_loss: float | None = None
    collapse: Collapse | None = None

    def step(self, window: Sequence[int], index: int) -> dict[str, float]:
        """One step; all that is random in it comes from the seed and its number, so a resume needs no random state."""
        began = time.perf_counter()
        adapter = self.learning.adapter
        draws = step_draws(adapter.seed, index)
        # Constant, then down to zero along a cosine over the last half.
        done = max(0.0, 2 * index / adapter.steps - 1)
        for optimizer in self.learning.optimizers:
            optimizer.param_groups[0]["lr"] = adapter.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        pixels = self.training.pictures.moments(window, draws)
        labels = self.training.labels[list(window)]
        left_out = torch.rand(len(window), generator=draws) < adapter.label_dropout
        labels = torch.where(left_out, len(self.learning.family.labels), labels)
        figures = self.learning.step(pixels, labels.to(pixels.device), draws)
        self.ema.update(index + 1)
        refuse_blown_up(index + 1, adapter.learning_rate, loss=figures["loss"])
        rate = self.learning.optimizers[0].param_groups[0]["lr"]
        return {"step": index + 1, **figures, "learning_rate": rate, "seconds": round(time.perf_counter() - began, 4)}

    def after(self, figures: dict[str, float], progress: Progress) -> bool:
        """Write the step down; measure, draw and save where it is time; True when a signal ends the training."""
        assert self.metrics is not None
        adapter, step = self.learning.adapter, int(figures["step"])
        self.standing.step = step
        self.losses.append(figures["loss"])
        self.seconds += figures["seconds"]
        self.metrics.append(figures)
        progress.advance(loss=sum(self.losses[-_SMOOTHED:]) / len(self.losses[-_SMOOTHED:]))
        last = step == adapter.steps
        measure_every = adapter.eval_every or max(1, adapter.steps // 10)
        improved = self._measure(step) if last or step % measure_every == 0 else False
        if last or step % (adapter.sample_every or max(1, math.ceil(adapter.steps / 4))) == 0:
            self._draw(step)
        interrupted = self.stop.received is not None and not last
        if last or improved or interrupted or step % (adapter.save_every or measure_every) == 0:
            self.save()
        self.stop.stopped = interrupted
        return interrupted

    def samples(self, prompts: Sequence[str], seed: int) -> Tensor:
        """Pictures [n, 3, s, s] in 0..1 by the averaged weights."""
        size = self.learning.adapter.resolution
        parts = []
        with self.ema.applied():
            self.learning.family.network.eval()
            for first in range(0, len(prompts), 64):
                some = prompts[first : first + 64]
                seeds = [seed + first + place for place in range(len(some))]
                parts.append(self.learning.family.sample(some, seeds, height=size, width=size, steps=1, guidance=1.0))
            self.learning.family.network.train()
        return torch.cat(parts)

    def _measure(self, step: int) -> bool:
        """The held-out figure and the check for collapse; True when the figure is the best so far."""
        assert self.metrics is not None
        self.collapse = self.check()
        line: dict[str, Any] = {"step": step}
        if self.collapse:
            figures = self.collapse.record()
            line |= {name: figures[name] for name in ("distance", "within", "repeated")}
        with self.ema.applied():
            self.eval_loss = self.learning.held_out(*self.held_out.all(_COMPARED)) if self.held_out else None
            if self.eval_loss is not None:
                line |= {"eval_loss": self.eval_loss, "train_eval_loss": self.learning.held_out(*self.training.all(_COMPARED))}
        refuse_blown_up(step, self.learning.adapter.learning_rate, held_out_loss=self.eval_loss)
        self.metrics.append(line)
        if self.eval_loss is None or (self.standing.best_loss is not None and self.eval_loss >= self.standing.best_loss):
            return False
        self.standing.best_loss, self.standing.best_step = self.eval_loss, step
        return True

    def check(self) -> Collapse | None:
        """Samples for the labels of as many training pictures, compared with those; None with fewer than three pictures."""
        real, numbers = self.training.all(_COMPARED)
        if len(real) < 3:
            return None
        family = self.learning.family
        names = [family.labels[number] if number < len(family.labels) else "" for number in numbers.tolist()]
        return check_collapse(self.samples(names, seed=1_000_000), (real + 1) / 2, names)

    def _draw(self, step: int) -> None:
        pictures = to_pictures(self.samples(self.prompts, self.learning.adapter.sample.seed))
        family = self.learning.family
        # The label is all that the network is told of a caption, so it is what stands under its picture.
        names = [*family.labels, "no label"]
        told = [names[family.label_of(prompt)] for prompt in self.prompts]
        place = self.run_folder / "samples" / f"step-{step:06d}.png"
        save_picture_grid(pictures, told, place, model=f"{self.run_folder.parent.name}/{self.run_folder.name}")

    def save(self) -> None:
        """Write ``checkpoint-<step>``: weights, their average, both optimizers, standing."""
        folder = self.run_folder / "checkpoints"
        states = [optimizer.state_dict() for optimizer in self.learning.optimizers]
        write_checkpoint(folder, self.learning.trained, self.ema, states, self.standing)
        rotate_checkpoints(folder, keep=self.learning.adapter.keep_checkpoints, best_step=self.standing.best_step)

    def load(self, checkpoint: Path) -> None:
        """Take up a checkpoint of this very run."""
        self.standing, states = read_checkpoint(checkpoint, self.learning.trained, self.ema)
        for optimizer, state in zip(self.learning.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def _finish(run_folder: Path, session: Session, say: Say, *, seconds: float) -> None:
    """Take the averaged weights (of the best held-out loss, where there is one), check them for collapse, write down."""
    standing, learning = session.standing, session.learning
    kept = standing.best_step or standing.step
    average = saved_weights(run_folder / "checkpoints" / f"checkpoint-{kept}")
    learning.trained.load(average)
    session.ema.values = average
    collapse = session.check()
    problems = learning.problems(*session.training.all(_COMPARED))
    warnings = [*(collapse.warnings if collapse else []), *problems.pop("warnings")]
    for warning in warnings:
        say(f"warning: {warning}")
    shutil.rmtree(run_folder / "model", ignore_errors=True)  # only a finish that was killed can have left one
    with new_folder(run_folder / "model") as folder:
        learning.family.save(folder)
    plot_image_loss(run_folder / "metrics.jsonl", run_folder / "loss.png")
    recent = session.losses[-_SMOOTHED:]
    result = {
        "steps": standing.step,
        "best_step": kept,
        "first_loss": session.losses[0] if session.losses else None,
        "final_loss": sum(recent) / len(recent) if recent else None,
        "validation_loss": standing.best_loss,
        "validation_loss_at_end": session.eval_loss,
        "pictures": len(session.training.names),
        "epochs": round(standing.step * learning.adapter.batch_size / len(session.training.names), 2),
        "pictures_per_second": round(len(session.losses) * learning.adapter.batch_size / max(session.seconds, 1e-9), 2),
        "training_seconds": round(session.seconds, 1),
        "seconds": round(seconds, 1),
        "peak_memory_bytes": peak_memory(),
        "trained_parameters": len(learning.trained),
        "collapse": collapse.record() if collapse else None,
        **problems,
        "warnings": warnings,
    }
    close_well(run_folder, result, "model", "config.yaml")
