"""What happens beside the steps of a chat's training: metrics written down, a progress line, time and tokens counted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from studio.core.progress import Progress
from studio.train.recording import MetricsFile

_KEPT = {"loss", "grad_norm", "learning_rate", "eval_loss", "eval_reward", "reward", "reward_std", "skipped"}
# What is told of answers that were judged.
_JUDGED = {"accuracy", "reward_margin", "chosen_logprob", "rejected_logprob"}
_JUDGED |= {"accuracy_low", "accuracy_high", "margin", "divergence", "nll"}
_KEPT |= {prefix + name for name in _JUDGED for prefix in ("", "eval_")}
# Beginnings of names of which an objective has several.
_FAMILIES = ("reward/", "rollout/", "eval_reward/", "eval_rollout/")


def skipped_steps(history: Sequence[Mapping[str, Any]]) -> int:
    """Steps whose gradient was too large for float16, so that nothing was changed; ``history`` is the trainer's own."""
    return sum("skipped" in line for line in history)


class Recorder(TrainerCallback):
    """Writes metrics and shows progress: loss, tokens per second (all tokens that went through the model), time left."""

    def __init__(self, metrics: MetricsFile, tokens_per_step: list[int], *, steps_per_epoch: int, quiet: bool) -> None:
        """``tokens_per_step``: unpadded tokens of each optimizer step, over all processes."""
        self.metrics, self.tokens_per_step, self.steps_per_epoch, self.quiet = metrics, tokens_per_step, steps_per_epoch, quiet
        self.progress: Progress | None = None
        self.seconds = 0.0
        self.tokens = 0
        self.first_step_at: float | None = None
        self._step_started = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Show the bar from the step that is resumed."""
        if not self.quiet:
            self.metrics.expect(state.max_steps)
            self.progress = Progress("train", state.max_steps, "steps")
            self.progress.__enter__()
            self.progress.start_at(state.global_step)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Note when a step starts, so that validation and saving do not count as training time."""
        self._step_started = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count time and tokens of the step."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.monotonic()
        self.first_step_at = self.first_step_at or time.time()
        self.seconds += now - self._step_started
        self.tokens += self.tokens_per_step[state.global_step - 1]

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """One line per step and one per validation."""
        if not state.is_world_process_zero or not logs or not _KEPT & logs.keys():
            return
        line: dict[str, Any] = {"step": state.global_step}
        line["epoch"] = round(state.global_step / self.steps_per_epoch, 4)
        line |= {key: value for key, value in logs.items() if key in _KEPT or key.startswith(_FAMILIES)}
        if "loss" in logs:
            line["tokens"] = self.tokens_per_step[state.global_step - 1]
            line["tokens_per_second"] = round(self.tokens / max(self.seconds, 1e-9), 1)
        self.metrics.append(line)
        if self.progress:
            figures = {"loss": logs["loss"], "tokens/s": round(line["tokens_per_second"])} if "loss" in logs else {}
            figures |= {"reward": logs["reward"]} if "reward" in logs else {}
            validated = logs.get("eval_loss", logs.get("eval_reward"))
            figures |= {"validation": validated} if validated is not None else {}
            self.progress.advance(1 if "loss" in logs else 0, **figures)

    def close(self) -> None:
        """Finish the bar, also after an error."""
        if self.progress:
            self.progress.__exit__(None, None, None)
            self.progress = None
