"""What the training of a network of our own loop takes, as far as that is the same for all of them: forecast, words, refusal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import ClassVar

from studio.core.errors import GateNotMetError
from studio.core.telling import duration_text, size_text
from studio.train.recording import StopOnSignal, read_metrics

_PROBED = 4
"""Steps that a probe takes at least; the first is left out, for it pays for what is done once."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The forecast. ``parts`` are bytes by name. memory, free_disk: bytes there are, None when not known.

    steps: at most. seconds: of a step, None without a probe.
    """

    headroom: ClassVar[float]
    """Needed for each byte of the parts."""
    remedy: ClassVar[str]
    """What to set where memory will not do."""

    parameters: int
    trained: int
    steps: int
    parts: dict[str, int]
    disk: int
    memory: int | None
    free_disk: int | None
    seconds: float | None = None

    @property
    def needed(self) -> int:
        """Bytes at the peak, with the headroom."""
        return round(sum(self.parts.values()) * self.headroom)

    @property
    def fits(self) -> bool:
        """Whether memory and disk will do, as far as they are known."""
        return (self.memory is None or self.needed <= self.memory) and (self.free_disk is None or self.disk <= self.free_disk)

    def check(self) -> None:
        """Refuse what cannot fit.

        Raises:
            GateNotMetError: memory or disk will not do.
        """
        if self.memory is not None and self.needed > self.memory:
            raise GateNotMetError(
                f"the training needs about {self.needed / 1e9:.1f} GB and there are {self.memory / 1e9:.1f} GB. {self.remedy}"
            )
        if self.free_disk is not None and self.disk > self.free_disk:
            raise GateNotMetError(
                f"the run needs about {self.disk / 1e9:.1f} GB of disk and {self.free_disk / 1e9:.1f} GB are free. Make room, or "
                "choose another place with --workspace."
            )

    def told(self) -> list[tuple[str, object]]:
        """Memory by what holds it, disk, and time where it was measured."""
        lines: list[tuple[str, object]] = [
            ("memory", f"about {size_text(self.needed)}"),
            *((f"  {name}", size_text(size)) for name, size in self.parts.items()),
            ("memory there is", size_text(self.memory) if self.memory is not None else "not known"),
            ("disk", f"about {size_text(self.disk)}"),
        ]
        if self.seconds is not None:
            whole = duration_text(self.seconds * self.steps)
            lines += [("a step", f"{self.seconds:.3g} s"), ("time", f"{whole} at most, without the validation rows")]
        return lines


def disk_of(parameters: int, trained: int) -> int:
    """Bytes on disk: two checkpoints and one that is being written (weights, the best ones, Adam's moments), and the model."""
    return 3 * 16 * trained + 4 * parameters


class StopAfterAFewSteps(StopOnSignal):
    """Ends a training after a few steps, as a signal would."""

    def __init__(self, folder: Path) -> None:
        """``folder`` of the run, whose ``metrics.jsonl`` counts the steps."""
        super().__init__()
        self._metrics = folder / "metrics.jsonl"

    @property
    def received(self) -> int | None:  # type: ignore[override]
        """A signal once there are enough steps."""
        return 2 if self._metrics.is_file() and len(read_metrics(self._metrics)) >= _PROBED else None

    @received.setter
    def received(self, value: int | None) -> None:
        """No signal is taken over."""


def probed_seconds(folder: Path) -> float:
    """Median seconds of the steps of a probe, from ``metrics.jsonl`` in its folder."""
    seconds = [line["seconds"] for line in read_metrics(folder / "metrics.jsonl") if "seconds" in line]
    return float(median(seconds[1:] or seconds))
