"""What a page knows of a Run that goes on: its curves, how far it is, how fast, and the job behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.runs import RunSummary
from studio.core.translation import later
from studio.core.workspace import Workspace
from studio.jobs.records import Job, active_jobs

# Seconds per step are told from so many of the newest steps.
_RECENT = 20


@dataclass(frozen=True)
class Standing:
    """How far a training is.

    steps: of how many in all, None where it is not known. seconds_left: None where no speed is known.
    """

    step: int = 0
    steps: int | None = None
    loss: float | None = None
    validation: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    lines: Mapping[str, list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """0 to 1."""
        return min(1.0, self.step / self.steps) if self.steps else 0.0


# What lines of metrics.jsonl call their losses, and under which name each is drawn.
LOSSES = {
    "loss": later("loss"),
    "eval_loss": later("validation"),
    "train_eval_loss": later("validation, of training rows"),
}


def standing_of(run: RunSummary, now: float) -> Standing:
    """Read how far a training is from what it writes step by step.

    Args:
        now: seconds since 1970, by which the time of the steps is told.
    """
    lines = read_lines(run.folder / "metrics.jsonl")
    plan: dict[str, Any] = run.record.plan if run.record else {}
    drawn: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        for name, title in LOSSES.items():
            if isinstance(line.get(name), int | float):
                drawn.setdefault(title, []).append((line["step"], line[name]))
    step = max((line["step"] for line in lines), default=0)
    speeds = [line["tokens_per_second"] for line in lines[-_RECENT:] if line.get("tokens_per_second")]
    steps = plan.get("steps")
    return Standing(
        step, steps, _last(drawn.get("loss")), _last(drawn.get("validation")),
        sum(speeds) / len(speeds) if speeds else None, _seconds_left(run, step, steps, now), drawn,
    )  # fmt: skip


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Whole lines of a ``metrics.jsonl`` that name their step; none where it is not there yet."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict) and isinstance(value.get("step"), int | float):
            found.append(value)
    return found


def job_of(run: RunSummary, workspace: Workspace) -> Job | None:
    """The job that trains a Run now; None for one of a terminal, or one that is over."""
    return next((job for job in active_jobs(workspace) if f"runs/{run.reference}" in job.record.made), None)


def _last(line: list[tuple[float, float]] | None) -> float | None:
    """The newest value of a curve."""
    return line[-1][1] if line else None


def _seconds_left(run: RunSummary, step: int, steps: int | None, now: float) -> float | None:
    """Time to the last step at the speed since the first one was written."""
    file = run.folder / "metrics.jsonl"
    if run.status != "running" or not steps or step < 2 or not file.is_file():
        return None
    record = run.record
    began = record.plan.get("began") if record else None
    resumed = record.plan.get("resumed_at", 0) if record else 0
    if not isinstance(began, int | float) or step <= resumed:
        return None
    return max(0.0, (steps - step) * (file.stat().st_mtime - began) / (step - resumed) - (now - file.stat().st_mtime))
