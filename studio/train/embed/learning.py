"""The steps of a training of retrieval: epochs, a validation after each, the best weights at the end.

All that is random in a step comes from the seed and the number of the step, so a training that was stopped or killed goes on to
the same bits and needs no random state for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from studio.core.errors import StudioError
from studio.core.progress import Progress
from studio.schema.embed import RetrievalPreset
from studio.train.checkpoints import resume_point, step_of
from studio.train.embed.objective import RetrievalObjective
from studio.train.finite import refuse_blown_up
from studio.train.opening import Say
from studio.train.predictors.learning import exact
from studio.train.predictors.standing import Standing, read_checkpoint, write_checkpoint
from studio.train.record import peak_memory
from studio.train.recording import MetricsFile, StopOnSignal, read_metrics


class RetrievalLearner:
    """A training under way.

    trained: what trains, by name. resume: go on from the newest checkpoint.
    """

    def __init__(
        self,
        run_folder: Path,
        objective: RetrievalObjective,
        trained: Mapping[str, nn.Parameter],
        *,
        resume: bool,
        say: Say,
        stop: StopOnSignal,
    ) -> None:
        """Put every epoch's rows into batches, so that the number of steps is known."""
        self.run_folder, self.objective, self.trained = run_folder, objective, dict(trained)
        self.settings: RetrievalPreset = objective.settings
        self.resume, self.say, self.stop = resume, say, stop
        self.standing = Standing()
        self.schedule, self.alone = schedule_of(objective)
        self.optimizer = torch.optim.AdamW(_groups(self.trained, self.settings.weight_decay), lr=self.settings.learning_rate)
        self.metrics: MetricsFile | None = None
        self.best: dict[str, Tensor] | None = None
        self.texts = 0

    def run(self) -> bool:
        """All steps that are still to come; then the best weights. False when a signal ended it after a checkpoint was saved.

        Raises:
            StudioError: the loss is no number any more, memory or disk is full.
        """
        try:
            with exact(self.objective.device):
                return self._run()
        except torch.OutOfMemoryError as error:
            raise StudioError(
                "the GPU ran out of memory. Set micro_batch_size to less than what it was (the result stays the same with "
                "dropout 0)."
            ) from error

    def _run(self) -> bool:
        self._take_up()
        standing, steps = self.standing, len(self.schedule)
        with Progress("train", steps, "steps") as progress:
            progress.start_at(standing.step)
            while standing.step < steps and not self._enough():
                progress.advance(loss=self._step())
                ends_epoch = standing.step == steps or self.schedule[standing.step][0] != self.schedule[standing.step - 1][0]
                if ends_epoch:
                    self._end_epoch(progress)
                more = standing.step < steps and not self._enough()
                if more and self.stop.received is not None:
                    self._save()
                    self.stop.stopped = True
                    return False
                every = self.settings.save_every
                if ends_epoch or (every is not None and standing.step % every == 0):
                    self._save()
        if self.best is not None:
            self._load(self.best)
        self.objective.model.eval()
        return True

    def _step(self) -> float:
        """One optimizer step."""
        began, standing = time.perf_counter(), self.standing
        epoch, rows = self.schedule[standing.step]
        torch.manual_seed((self.settings.seed * 1_000_003 + standing.step) * 2 + 1)
        rate = self.settings.learning_rate * share_of_rate(self.settings, standing.step, len(self.schedule))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.objective.model.train()
        loss = self.objective.learn(rows, epoch)
        norm = float(torch.nn.utils.clip_grad_norm_(self.trained.values(), self.settings.max_grad_norm))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        standing.step += 1
        refuse_blown_up(standing.step, self.settings.learning_rate, loss=loss, gradient_norm=norm)
        seconds = round(time.perf_counter() - began, 4)
        line = {"step": standing.step, "loss": loss, "grad_norm": norm, "learning_rate": rate, "rows": len(rows)}
        self._note(line | {"seconds": seconds})
        return loss

    def _end_epoch(self, progress: Progress) -> None:
        """Measure the validation rows, and keep the weights where they are the best so far."""
        standing = self.standing
        standing.epochs += 1
        if not self.objective.held:
            return
        self.objective.model.eval()
        figures = self.objective.measure()
        self._note({"step": standing.step, "epoch": standing.epochs, **figures})
        loss = figures.get("eval_loss")
        if loss is None:
            return
        refuse_blown_up(standing.step, self.settings.learning_rate, validation_loss=loss)
        progress.advance(0, validation=loss)
        if standing.best_loss is None or loss < standing.best_loss:
            standing.best_loss, standing.best_step, standing.worse = loss, standing.step, 0
            self.best = {name: value.detach().cpu().clone() for name, value in self.trained.items()}
        else:
            standing.worse += 1

    def _enough(self) -> bool:
        """True when early stopping ends it."""
        return self.settings.early_stopping is not None and self.standing.worse >= self.settings.early_stopping

    def _take_up(self) -> None:
        """Begin, or go on from the newest checkpoint."""
        checkpoint = resume_point(self.run_folder, self.say) if self.resume else None
        if checkpoint is not None:
            self.standing, weights, best = read_checkpoint(checkpoint, self.optimizer)
            self._load(weights)
            self.best = weights if best is None and self.standing.best_step is not None else best
        self.metrics = MetricsFile(
            self.run_folder / "metrics.jsonl", resumed_at=step_of(checkpoint) if checkpoint is not None else 0
        )

    def _save(self) -> None:
        """Write a checkpoint."""
        other = self.best if self.standing.best_step != self.standing.step else None
        write_checkpoint(self.run_folder / "checkpoints", self.trained, other, self.optimizer, self.standing)

    def _load(self, values: Mapping[str, Tensor]) -> None:
        """Put weights of an earlier moment into the model."""
        with torch.no_grad():
            for name, place in self.trained.items():
                place.copy_(values[name])

    def _note(self, line: dict[str, Any]) -> None:
        assert self.metrics is not None
        self.metrics.append(line)

    def figures(self) -> dict[str, Any]:
        """What goes into the record; from ``metrics.jsonl``, so that a resume changes none of it but the times."""
        lines = read_metrics(self.run_folder / "metrics.jsonl")
        losses = [line["loss"] for line in lines if "loss" in line]
        best = next((line for line in lines if "epoch" in line and line["step"] == self.standing.best_step), {})
        return {
            "steps": self.standing.step,
            "epochs": self.standing.epochs,
            "best_step": self.standing.best_step or self.standing.step,
            "first_loss": losses[0],
            "final_loss": losses[-1],
            "validation_loss": self.standing.best_loss,
            "validation": {name.removeprefix("eval_"): value for name, value in best.items() if name.startswith("eval_")},
            "training_seconds": round(sum(line["seconds"] for line in lines if "seconds" in line), 1),
            "peak_memory_bytes": peak_memory(),
            "trained_parameters": sum(value.numel() for value in self.trained.values()),
        }


def schedule_of(objective: RetrievalObjective) -> tuple[list[tuple[int, list[int]]], int]:
    """Epoch and rows of each step, and how many rows the first epoch leaves out.

    Raises:
        StudioError: no two rows can stand in a batch together.
    """
    settings = objective.settings
    steps: list[tuple[int, list[int]]] = []
    alone = 0
    for epoch in range(1, settings.epochs + 1):
        batches, left = objective.batches(epoch)
        alone = left if epoch == 1 else alone
        steps += [(epoch, batch) for batch in batches]
        if settings.max_steps is not None and len(steps) >= settings.max_steps:
            break
    if not steps:
        raise StudioError(
            "every row answers every question of the others, so nothing can be told apart. Build a Dataset with more passages."
        )
    return steps[: settings.max_steps], alone


def share_of_rate(settings: RetrievalPreset, step: int, steps: int) -> float:
    """What the learning rate of the preset is multiplied with, ``step`` steps having been done of ``steps``."""
    rising = math.ceil(settings.warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    if settings.schedule == "linear":
        return 1 - done
    return 0.5 * (1 + math.cos(math.pi * done)) if settings.schedule == "cosine" else 1.0


def _groups(trained: Mapping[str, nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Parameters with and without decay: biases and norms go without."""
    matrices = [value for value in trained.values() if value.ndim > 1]
    others = [value for value in trained.values() if value.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
