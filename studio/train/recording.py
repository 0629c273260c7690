"""What a training leaves behind: ``metrics.jsonl``, ``loss.png``, a progress line; and a clean stop on signals."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from studio.core.files import disk_errors
from studio.core.progress import Progress

_KEPT = {"loss", "grad_norm", "learning_rate", "eval_loss", "eval_accuracy"}


class MetricsFile:
    """``metrics.jsonl``: one JSON object per optimizer step or validation, flushed to disk as it is written."""

    def __init__(self, path: Path, *, resumed_at: int) -> None:
        """Open for appending; lines after the step that is resumed from are dropped, for they will come again."""
        self.path = path
        if path.is_file():
            kept = [line for line in read_metrics(path) if line["step"] <= resumed_at]
            text = "".join(json.dumps(line) + "\n" for line in kept)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            with disk_errors(path.name, path.parent):
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(path)

    def append(self, line: dict[str, Any]) -> None:
        """Add one line."""
        with disk_errors(self.path.name, self.path.parent), self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a metrics file; a last line cut off by a kill is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


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
        line |= {key: value for key, value in logs.items() if key in _KEPT}
        if "loss" in logs:
            line["tokens"] = self.tokens_per_step[state.global_step - 1]
            line["tokens_per_second"] = round(self.tokens / max(self.seconds, 1e-9), 1)
        self.metrics.append(line)
        if self.progress:
            figures = {"loss": logs["loss"], "tokens/s": round(line["tokens_per_second"])} if "loss" in logs else {}
            figures |= {"validation": logs["eval_loss"]} if "eval_loss" in logs else {}
            self.progress.advance(1 if "loss" in logs else 0, **figures)

    def close(self) -> None:
        """Finish the bar, also after an error."""
        if self.progress:
            self.progress.__exit__(None, None, None)
            self.progress = None


class StopOnSignal(TrainerCallback):
    """SIGINT and SIGTERM end the training after the step that is running, with a checkpoint; a second one ends it at once.

    In several processes the wish to stop is shared, so that all save at the same step.
    """

    def __init__(self) -> None:
        """Install nothing yet; see :meth:`__enter__`."""
        self.received: int | None = None
        self.stopped = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        """Take over both signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> TrainerControl:
        """Ask for a checkpoint and the end."""
        wish = self.received is not None
        if args.world_size > 1:
            flag = torch.tensor(int(wish), device=args.device)
            torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
            wish = bool(flag.item())
        if wish and state.global_step < state.max_steps:
            self.stopped = True
            control.should_save = True
            control.should_training_stop = True
        return control


def plot_loss(metrics: Path, target: Path) -> None:
    """Draw training and validation loss over steps as a PNG, the training loss also smoothed (mean of the last tenth)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = read_metrics(metrics)
    steps = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    validations = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=130, layout="constrained")
    if steps:
        axes.plot(*zip(*steps, strict=True), color="#9ecae1", linewidth=1, label="training, each step")
        window = max(1, len(steps) // 10)
        smooth = [
            (steps[end][0], sum(loss for _, loss in steps[max(0, end - window + 1) : end + 1]) / min(window, end + 1))
            for end in range(len(steps))
        ]
        axes.plot(*zip(*smooth, strict=True), color="#2171b5", linewidth=2, label=f"training, mean of {window} steps")
    if validations:
        axes.plot(*zip(*validations, strict=True), color="#d94801", marker="o", linewidth=2, label="validation")
        best = min(validations, key=lambda pair: pair[1])
        axes.annotate(f"best {best[1]:.3f}", best, textcoords="offset points", xytext=(0, 8), ha="center", color="#d94801")
    axes.set(xlabel="optimizer step", ylabel="loss, nats per target token")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if steps or validations:
        axes.legend(frameon=False)
    temporary = target.with_name(f".{target.name}")
    figure.savefig(temporary, format="png")
    pyplot.close(figure)
    temporary.replace(target)
