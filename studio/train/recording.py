"""What every training writes step by step, ``metrics.jsonl``, and a clean stop on signals."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from studio.core.files import disk_errors
from studio.train.record import change_record


class MetricsFile:
    """``metrics.jsonl``: one JSON object per optimizer step or validation, flushed to disk as it is written."""

    def __init__(self, path: Path, *, resumed_at: int) -> None:
        """Open for appending; lines after the step that is resumed from are dropped, for they will come again."""
        self.path, self.resumed_at = path, resumed_at
        if path.is_file():
            kept = [line for line in read_metrics(path) if line["step"] <= resumed_at]
            text = "".join(json.dumps(line) + "\n" for line in kept)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            with disk_errors(path.name, path.parent):
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(path)

    def expect(self, steps: int) -> None:
        """Write down how many optimizer steps the training will take, and when it began or went on with which one.

        Whoever looks at the Run knows by them how far it is.
        """
        change_record(self.path.parent, plan={"steps": steps, "began": time.time(), "resumed_at": self.resumed_at})

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


class StopOnSignal:
    """SIGINT and SIGTERM end the training after the step that is running, with a checkpoint; a second one ends it at once.

    received: the signal that came. stopped: the training has ended because of it.
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
