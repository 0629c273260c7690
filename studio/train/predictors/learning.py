"""How every network of a predictor is trained: epochs of steps, a validation after each, the best weights at the end.

All that is random in a step comes from the seed and the number of the step, and all that is random in an epoch from the seed and
the number of the epoch. So a training that was stopped or killed goes on to the same bits, and needs no random state for it.

Legend: n rows of a split, b rows of a step, k labels.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from studio.core.errors import StudioError
from studio.core.progress import Progress
from studio.models.device import pick_device
from studio.models.predictors.networks import slices
from studio.schema.networks import Learning
from studio.train.checkpoints import resume_point, step_of
from studio.train.finite import refuse_blown_up
from studio.train.predictors.curve import plot_network_loss
from studio.train.predictors.job import Job
from studio.train.predictors.objective import UNSEEN, Objective, Readable, Stages
from studio.train.predictors.rates import plateau_epochs, share_of_rate
from studio.train.predictors.standing import Standing, read_checkpoint, write_checkpoint
from studio.train.record import peak_memory
from studio.train.recording import MetricsFile, read_metrics

_SMOOTHED = 50
"""Steps over which losses are averaged where one number is told."""
_WORK_PER_SAVING = 20
"""A checkpoint is written after an epoch unless that would take more than one part in so many of the time. A signal always leaves
one."""


def learn(
    job: Job,
    network: nn.Module,
    train: Readable,
    held: Readable | None,
    objective: Objective,
    places: np.ndarray,
    stages: Stages | None = None,
) -> dict[str, Any] | None:
    """Train a network and leave it with the weights of the best epoch.

    Args:
        held: validation rows; None trains all epochs and keeps the last weights.
        places: of the training rows that each epoch takes, some perhaps more than once.
    Returns:
        figures for the Run's record, or None when a signal ended it after a checkpoint was saved.
    Raises:
        StudioError: the loss is no number any more, memory or disk is full.
    """
    learner = Learner(job, network, train, held, objective, places, stages or Stages())
    try:
        with exact(learner.device):
            return learner.run()
    except torch.OutOfMemoryError as error:
        size = learner.settings.batch_size
        raise StudioError(
            f"the GPU ran out of memory with batches of {size} rows. Set fewer: --set estimator.batch_size={size // 2 or 1}"
        ) from error


class Learner:
    """A training under way."""

    def __init__(
        self,
        job: Job,
        network: nn.Module,
        train: Readable,
        held: Readable | None,
        objective: Objective,
        places: np.ndarray,
        stages: Stages,
    ) -> None:
        """Find what trains, and give it an optimizer."""
        assert isinstance(job.preset.estimator, Learning)
        self.job, self.settings, self.seed = job, job.preset.estimator, job.preset.seed
        self.device = pick_device()
        self.network, self.train, self.held = network.to(self.device), train, held
        self.objective, self.places, self.stages = objective, torch.as_tensor(places), stages
        self.standing = Standing()
        self.epoch_steps = len(epoch_batches(self.places, self.settings.batch_size, seed=0, epoch=0))
        self.steps = self.epoch_steps * self.settings.epochs
        # What is frozen in the last epoch never trains, and neither does what was frozen before it came here (LoRA's base).
        never = {id(value) for part in stages.frozen(self.settings.epochs) for value in (*part.parameters(), *part.buffers())}
        named = dict(self.network.named_parameters())
        self.trained = {name: value for name, value in named.items() if value.requires_grad and id(value) not in never}
        self.buffers = {name: value for name, value in self.network.named_buffers() if id(value) not in never}
        self.optimizer = torch.optim.AdamW(self._groups(), lr=self.settings.learning_rate, fused=self.device.type != "mps")
        self.metrics: MetricsFile | None = None
        self.best: dict[str, Tensor] | None = None
        self.losses: list[float] = []
        self.began = self.saved = time.monotonic()
        self.saving_seconds = 0.0

    def run(self) -> dict[str, Any] | None:
        """All epochs that are still to come; then the best weights."""
        self._take_up()
        standing, settings = self.standing, self.settings
        with Progress("train", self.steps, "steps") as progress:
            progress.start_at(standing.step)
            while standing.epochs < settings.epochs and not self._enough():
                if not self._epoch(standing.epochs + 1, progress):
                    return None
        self._tell_end()
        if self.best is not None:
            self._load(self.best)
        self.network.eval()
        plot_network_loss(self.job.run_folder / "metrics.jsonl", self.job.run_folder / "loss.png", self.objective)
        return self._figures()

    def _epoch(self, epoch: int, progress: Progress) -> bool:
        """Train what is left of an epoch, measure it, save; False when a signal ends the training."""
        batches = epoch_batches(self.places, self.settings.batch_size, seed=self.seed, epoch=epoch)
        self._set_modes(epoch)
        for index in range(self.standing.step - (epoch - 1) * self.epoch_steps, self.epoch_steps):
            self._step(batches[index])
            progress.advance(loss=sum(self.losses[-_SMOOTHED:]) / len(self.losses[-_SMOOTHED:]))
            if self.job.stop.received is not None and index + 1 < self.epoch_steps:
                return self._stop()
        self.standing.epochs = epoch
        if self.held is not None:
            progress.advance(0, validation=self._measure(epoch, self.held))
        if epoch < self.settings.epochs and not self._enough() and self.job.stop.received is not None:
            return self._stop()
        if time.monotonic() - self.saved >= _WORK_PER_SAVING * self.saving_seconds:
            self._save()
        return True

    def _step(self, rows: Sequence[int]) -> None:
        """One optimizer step: read rows, compare with the truth, go down."""
        began, step = time.perf_counter(), self.standing.step
        draws = torch.Generator().manual_seed(_mixed(self.seed, step) + 1)
        torch.manual_seed(_mixed(self.seed, step) + 1)  # dropout draws from the process's own numbers
        share = share_of_rate(self.settings, step, self.steps, self.standing.cuts)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * share * group["rate"]
        outputs = self.network(*(value.to(self.device) for value in self.train.inputs(rows, draws)))
        targets = self.train.targets[list(rows)].to(self.device)
        loss = self.objective.loss(outputs, targets, training=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        figures = {"loss": float(loss.detach()), "grad_norm": float(norm)}
        refuse_blown_up(step + 1, self.settings.learning_rate, loss=figures["loss"], gradient_norm=figures["grad_norm"])
        self.standing.step = step + 1
        self.losses.append(figures["loss"])
        rate = self.settings.learning_rate * share
        self._note({"step": step + 1, **figures, "learning_rate": rate, "seconds": round(time.perf_counter() - began, 4)})

    def _measure(self, epoch: int, held: Readable) -> float:
        """The loss on the validation rows, and what follows from it."""
        outputs = outputs_of(self.network, held, len(held.targets), self.settings.batch_size, self.device)
        loss = float(self.objective.loss(outputs, held.targets, training=False))
        found: dict[str, Any] = {"step": self.standing.step, "epoch": epoch, "eval_loss": loss}
        if self.objective.labels:
            found["eval_accuracy"] = float((outputs.argmax(dim=1) == held.targets).double().mean())
        self._note(found)
        standing = self.standing
        if standing.best_loss is None or loss < standing.best_loss:
            standing.best_loss, standing.best_step, standing.worse, standing.waited = loss, standing.step, 0, 0
            self.best = {name: value.detach().cpu().clone() for name, value in self._state().items()}
            return loss
        standing.worse += epoch >= self.stages.settled
        standing.waited += 1
        if standing.waited >= plateau_epochs(self.settings):
            standing.waited, standing.cuts = 0, standing.cuts + 1
        return loss

    def _enough(self) -> bool:
        """True when early stopping ends it."""
        return self.settings.patience is not None and self.standing.worse >= self.settings.patience

    def _stop(self) -> bool:
        """End after a signal, with a checkpoint; False."""
        self._save()
        self.job.stop.stopped = True
        return False

    def _set_modes(self, epoch: int) -> None:
        """Train mode and gradients for what trains in this epoch; what is frozen keeps its statistics and drops nothing."""
        self.network.train()
        for value in self.trained.values():
            value.requires_grad_(True)
        for part in self.stages.frozen(epoch):
            part.eval()
            part.requires_grad_(False)

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters by learning rate, and with or without decay: biases, norms and slopes of activations go without."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, value in self.trained.items():
            key = (self.stages.rate(name), self.settings.l2 if value.ndim > 1 else 0.0)
            groups.setdefault(key, []).append(value)
        return [{"params": values, "rate": rate, "weight_decay": decay} for (rate, decay), values in groups.items()]

    def _take_up(self) -> None:
        """Begin, or go on from the newest checkpoint."""
        checkpoint = resume_point(self.job.run_folder, self.job.say) if self.job.resume else None
        if checkpoint is not None:
            self.standing, weights, best = read_checkpoint(checkpoint, self.optimizer)
            self._load(weights)
            self.best = weights if best is None and self.standing.best_step is not None else best
        self.metrics = MetricsFile(
            self.job.run_folder / "metrics.jsonl", resumed_at=step_of(checkpoint) if checkpoint is not None else 0
        )

    def _state(self) -> dict[str, Tensor]:
        """What training changes: weights, and running statistics."""
        return {**self.trained, **self.buffers}

    def _save(self) -> None:
        """Write a checkpoint, and remember how long that takes."""
        began = time.monotonic()
        other = self.best if self.standing.best_step != self.standing.step else None
        write_checkpoint(self.job.run_folder / "checkpoints", self._state(), other, self.optimizer, self.standing)
        self.saved = time.monotonic()
        self.saving_seconds = self.saved - began

    def _load(self, values: dict[str, Tensor]) -> None:
        """Put weights of an earlier moment into the network."""
        with torch.no_grad():
            for name, place in self._state().items():
                place.copy_(values[name])

    def _note(self, line: dict[str, Any]) -> None:
        assert self.metrics is not None
        self.metrics.append(line)

    def _tell_end(self) -> None:
        """Say which epoch was the best, where the last was not."""
        best, standing = self._best_epoch(), self.standing
        if best is not None and best != standing.epochs:
            early = standing.epochs < self.settings.epochs
            ended = f"stopped early, after epoch {standing.epochs} of {self.settings.epochs}" if early else "all epochs done"
            self.job.say(f"{ended}: the validation loss was best after epoch {best}, whose weights are kept")

    def _best_epoch(self) -> int | None:
        return None if self.standing.best_step is None else math.ceil(self.standing.best_step / self.epoch_steps)

    def _figures(self) -> dict[str, Any]:
        """What goes into the record; from ``metrics.jsonl``, so that a resume changes none of it but the times."""
        lines = read_metrics(self.job.run_folder / "metrics.jsonl")
        losses = [line["loss"] for line in lines if "loss" in line]
        measured = [line["eval_loss"] for line in lines if "eval_loss" in line]
        return {
            "steps": self.standing.step,
            "epochs": self.standing.epochs,
            "best_epoch": self._best_epoch(),
            "first_loss": losses[0],
            "final_loss": sum(losses[-_SMOOTHED:]) / len(losses[-_SMOOTHED:]),
            "validation_loss": self.standing.best_loss,
            "validation_loss_at_end": measured[-1] if measured else None,
            "rows_per_epoch": len(self.places),
            "parameters": sum(value.numel() for value in self.network.parameters()),
            "trained_parameters": sum(value.numel() for value in self.trained.values()),
            "device": self.device.type,
            "learning_seconds": round(time.monotonic() - self.began, 2),
            "peak_memory_bytes": peak_memory(),
        }


def known_rows(held: Readable | None) -> bool:
    """True when there are validation rows, and one at least has a label that training rows have."""
    return held is not None and len(held.targets) > 0 and not bool((held.targets == UNSEEN).all())


def epoch_batches(places: Tensor, size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """The rows of an epoch in a new order, ``size`` at a time; a last one that would be alone joins those before it, because one
    row has no variance for batch normalisation.
    """
    order = places[torch.randperm(len(places), generator=torch.Generator().manual_seed(_mixed(seed, epoch)))].tolist()
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def outputs_of(network: nn.Module, rows: Readable, count: int, size: int, device: torch.device) -> Tensor:
    """What a network gives for the rows of a split in their order, on the CPU: [n, k], nothing dropped, nothing altered."""
    network.eval()
    found = []
    with torch.no_grad():
        for places in slices(count, size):
            found.append(network(*(value.to(device) for value in rows.inputs(places, None))).cpu())
    return torch.cat(found)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of PyTorch from a seed; those of the process go on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Algorithms that give the same bits each time, and the process's random numbers as they were afterwards.

    On a CPU the usual ones do; on a GPU some layers have none, and then say so.
    """
    if device.type != "cuda":
        with torch.random.fork_rng(devices=[]):
            yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    tuned = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = tuned


def _mixed(seed: int, number: int) -> int:
    """A seed for one epoch or one step (plus 1)."""
    return (seed * 1_000_003 + number) * 2
