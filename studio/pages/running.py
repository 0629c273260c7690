"""What a page knows of a Run that goes on: its curves, how far it is, how fast, and the job behind it."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.runs import RunSummary
from studio.core.translation import later
from studio.core.workspace import Workspace
from studio.jobs.records import Job, active_jobs, list_jobs

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
    step, drawn, speeds = _steps_file(run.folder / "metrics.jsonl").look()
    plan: dict[str, Any] = run.record.plan if run.record else {}
    steps = plan.get("steps")
    return Standing(
        step, steps, _last(drawn.get("loss")), _last(drawn.get("validation")),
        sum(speeds) / len(speeds) if speeds else None, _seconds_left(run, step, steps, now), drawn,
    )  # fmt: skip


class StepsFile:
    """What a page needs of a ``metrics.jsonl`` that grows: only what was added since the last look is read.

    Several threads may look at once.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()
        self._begin(None)

    def _begin(self, inode: int | None) -> None:
        """Know nothing yet."""
        self._inode, self._offset, self._step = inode, 0, 0
        self._lines: dict[str, list[tuple[float, float]]] = {}
        self._speeds: deque[float] = deque(maxlen=_RECENT)

    def look(self) -> tuple[int, dict[str, list[tuple[float, float]]], list[float]]:
        """Read what was added, and tell all that is known: the last step, the points ``(step, value)`` of each loss by its
        title, tokens per second of the newest steps. All are empty where the file is not there.
        """
        with self._lock:
            self._read()
            return self._step, {title: list(line) for title, line in self._lines.items()}, list(self._speeds)

    def _read(self) -> None:
        """Take the lines that were added. A resumed training writes the file anew, which is then read from its beginning."""
        try:
            with self._file.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._begin(status.st_ino)
                stream.seek(self._offset)
                added = stream.read()
        except OSError:
            self._begin(None)
            return
        # The last line may be half written; it is read once it is whole.
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(line)

    def _take(self, text: bytes) -> None:
        """One line; one that is damaged or names no step is passed over."""
        try:
            line = json.loads(text)
        except ValueError:
            return
        if not isinstance(line, dict) or not isinstance(line.get("step"), int | float):
            return
        self._step = max(self._step, line["step"])
        for name, title in LOSSES.items():
            if isinstance(line.get(name), int | float):
                self._lines.setdefault(title, []).append((line["step"], line[name]))
        if isinstance(speed := line.get("tokens_per_second"), int | float) and speed:
            self._speeds.append(speed)


# Curves of so many Runs are kept in memory, about a megabyte for 10,000 steps.
@functools.lru_cache(maxsize=24)
def _steps_file(file: Path) -> StepsFile:
    """The one reader of a file, whoever looks."""
    return StepsFile(file)


def job_of(run: RunSummary, workspace: Workspace) -> Job | None:
    """The job that trains a Run now; None for one of a terminal, or one that is over."""
    return next((job for job in active_jobs(workspace) if f"runs/{run.reference}" in job.record.made), None)


# A Run whose job is not among so many of the newest is told by its own record alone.
_NEWEST_JOBS = 60
_TRAINING = {"train", "search", "compare", "improve", "quickstart"}


def last_job_of(run: RunSummary, workspace: Workspace) -> Job | None:
    """The newest job that trained a Run, also one that is over; None for a Run of a terminal."""
    jobs = [job for job in list_jobs(workspace, _NEWEST_JOBS) if job.record.arguments[0] in _TRAINING]
    return next((job for job in jobs if f"runs/{run.reference}" in job.record.made), None)


def _last(line: list[tuple[float, float]] | None) -> float | None:
    """The newest value of a curve."""
    return line[-1][1] if line else None


def _seconds_left(run: RunSummary, step: int, steps: int | None, now: float) -> float | None:
    """Time to the last step at the speed since the first one was written."""
    if run.status != "running" or not steps or step < 2 or run.record is None:
        return None
    began, resumed = run.record.plan.get("began"), run.record.plan.get("resumed_at", 0)
    if not isinstance(began, int | float) or step <= resumed:
        return None
    try:
        newest = (run.folder / "metrics.jsonl").stat().st_mtime
    except OSError:
        return None
    return max(0.0, float((steps - step) * (newest - began) / (step - resumed)) - (now - newest))
