"""A progress bar for people: one moving line on a terminal, a plain line now and then when piped. Standard library only."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import TextIO, TypeVar

T = TypeVar("T")

# A terminal is redrawn often enough to look alive; a log file gets a line seldom enough to stay readable.
_SECONDS_ON_TERMINAL = 0.1
_SECONDS_IN_LOG = 10.0


class Progress:
    """Counts steps on stderr with rate, time left, and figures such as the loss.

    Use as a context manager::

        with Progress("train", total=57, unit="steps") as progress:
            progress.advance(loss=1.234)
    """

    def __init__(self, what: str, total: int | None = None, unit: str = "rows", stream: TextIO | None = None) -> None:
        """``total`` None means that the end is not known: no bar, no time left."""
        self.what, self.total, self.unit = what, total, unit
        self.done = self._offset = 0
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._started = time.monotonic()
        self._shown_at = self._started
        self._figures: dict[str, object] = {}
        self._per_second = True
        self._logged: tuple[int, dict[str, object]] | None = None

    def __enter__(self) -> Progress:
        """Start the clock."""
        self._started = self._shown_at = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the last state as a finished line, unless a log has just been given it."""
        if self._terminal or self._logged != (self.done, self._figures):
            self._show(end="\n")

    def advance(self, steps: int = 1, **figures: object) -> None:
        """Count steps and remember figures to show beside them; draws only when it is time."""
        self.done += steps
        self._figures.update(figures)
        now = time.monotonic()
        if now - self._shown_at >= (_SECONDS_ON_TERMINAL if self._terminal else _SECONDS_IN_LOG):
            self._shown_at = now
            self._show(end="" if self._terminal else "\n")

    def start_at(self, done: int) -> None:
        """Set the count without letting it into the rate, for work that is resumed."""
        self.done = self._offset = done

    def line(self) -> str:
        """The state as text: ``train  12/57 steps  21%  3.1 steps/s  00:14 left  loss 1.23``."""
        seconds = time.monotonic() - self._started
        rate = (self.done - self._offset) / seconds if seconds > 0 else 0.0
        parts = [self.what, f"{self.done}/{self.total} {self.unit}" if self.total else f"{self.done} {self.unit}"]
        if self.total:
            parts.append(f"{100 * self.done // self.total}%")
        if rate > 0:
            # A rate near one must not be told as steps per second on one line and as seconds per step on the next.
            self._per_second = rate > (0.5 if self._per_second else 2)
            parts.append(f"{rate:.3g} {self.unit}/s" if self._per_second else f"{1 / rate:.3g} s/{self.unit.removesuffix('s')}")
        finished = self.total is not None and self.done >= self.total
        if self.total and rate > 0 and not finished:
            parts.append(f"{clock_text((self.total - self.done) / rate)} left")
        else:
            parts.append(f"in {clock_text(seconds)}")
        parts += [f"{name} {_figure(value)}" for name, value in self._figures.items()]
        return "  ".join(parts)

    def _show(self, end: str) -> None:
        """Draw the line; a closed stream is no reason to stop the work."""
        text = self.line()
        self._logged = (self.done, dict(self._figures))
        if self._terminal:
            text = "\r\x1b[2K" + text[: shutil.get_terminal_size().columns - 1]
        try:
            print(text, end=end, file=self._stream, flush=True)
        except (OSError, ValueError):
            self._terminal = False


def track(items: Iterable[T], what: str, total: int | None = None, unit: str = "rows") -> Iterator[T]:
    """Yield the items while a progress bar counts them; the length is asked from the items when it is not given."""
    known = total if total is not None else len(items) if isinstance(items, Sized) else None
    with Progress(what, known, unit) as progress:
        for item in items:
            yield item
            progress.advance()


def clock_text(seconds: float) -> str:
    """Seconds as ``mm:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes:02d}:{rest:02d}"


def _figure(value: object) -> str:
    """A figure beside the bar, floats with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
