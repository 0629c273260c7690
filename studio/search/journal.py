"""``trials.jsonl``: one line when a trial starts and one when it ends. What a killed search was doing can be read from it.

The newest line of a number counts. A line that a kill cut off is dropped, and so is written again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from studio.core.files import disk_errors

FILE = "trials.jsonl"
State = Literal["running", "finished", "pruned", "failed", "unfit"]


@dataclass(frozen=True)
class Trial:
    """One training of a search, or of a comparison.

    number: its place; 0 is the preset's own settings. name: of what is trained, where there are several presets. settings: what
    differs from the preset. run: folder under the search's, once it was opened. measures: figure to its value on the validation
    rows. errors: figure to its standard error, where rows have values of their own. better, titles, units: figure to its
    direction, its name for people. curve: validation losses while it trained. seconds: of wall clock, from the plan to the
    figures; bytes: of the saved model. reason: why it failed, was stopped or does not fit; refused: it failed because of what a
    person gave.
    """

    number: int
    state: State
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    run: str | None = None
    measures: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    better: dict[str, Any] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)
    seconds: float = 0.0
    training_seconds: float | None = None
    bytes: int | None = None
    reason: str | None = None
    refused: bool = False

    @property
    def ended(self) -> bool:
        """True unless it is under way, or was when the search was killed."""
        return self.state != "running"

    def changed(self, **changes: Any) -> Trial:
        """The same with other values."""
        return replace(self, **changes)


def read_trials(folder: Path) -> tuple[dict[int, Trial], int]:
    """Trials by number, and how many bytes of the file hold them; what follows is a line that is still written or was cut off."""
    path = folder / FILE
    found: dict[int, Trial] = {}
    whole = 0
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
        try:
            value = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            value = None
        if value is None:
            break
        trial = Trial(**{key: inner for key, inner in value.items() if key in Trial.__dataclass_fields__})
        found[trial.number] = trial
        whole += len(line)
    return found, whole


class Journal:
    """The trials of one search, in memory and on disk; only the process that leads the search has one."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; a last line that was cut off goes."""
        self.path = folder / FILE
        self._trials, whole = read_trials(folder)
        if self.path.is_file() and whole < self.path.stat().st_size:
            with disk_errors(FILE, folder):
                os.truncate(self.path, whole)

    def write(self, trial: Trial) -> None:
        """Add a line, on disk before this returns."""
        self._trials[trial.number] = trial
        with disk_errors(FILE, self.path.parent), self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(trial), ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def trials(self) -> list[Trial]:
        """All trials in the order of their numbers."""
        return [self._trials[number] for number in sorted(self._trials)]

    def get(self, number: int) -> Trial | None:
        """The trial of that number, None before it started."""
        return self._trials.get(number)
