"""Exports of a chat beside its run: how large, how fast, how much memory, how far from the run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.core.environments import threads
from studio.core.errors import StudioError, UserError
from studio.core.files import folder_size
from studio.core.telling import Table, Told, size_text
from studio.core.workspace import read_run
from studio.evals.chat.exported import ExportSubject
from studio.exports.chat.speaking import ASKED, TOKENS
from studio.exports.timing import run_apart
from studio.models.chat.runtimes import RUNTIMES, ChatRuntime, continued
from studio.models.exported import ExportLine, is_export, read_export

COLUMNS = ("form", "size", "tokens/s", "peak memory", "divergence", "same token", "note")


@dataclass(frozen=True)
class Compared:
    """One line of the table.

    bytes: of the files. speed: tokens written per second, after the prompt was read. peak: bytes of memory of the process.
    divergence, agreement: from the proof of the export; see :class:`studio.exports.chat.measuring.Measured`. note: what could not
    be measured, and why.
    """

    form: str
    bytes: int | None = None
    speed: float | None = None
    peak: int | None = None
    divergence: float | None = None
    agreement: float | None = None
    note: str = ""

    def cells(self) -> list[object]:
        """For the table."""
        return [
            self.form,
            None if self.bytes is None else size_text(self.bytes),
            self.speed,
            None if self.peak is None else size_text(self.peak),
            None if self.divergence is None else f"{self.divergence:.1e}",
            None if self.agreement is None else f"{self.agreement:.1%}",
            self.note,
        ]


def compare_exports(run_folder: Path, lines: Sequence[ExportLine]) -> Told:
    """Measure every export that is still there, one after the other, and the run itself in a process of its own."""
    rows = [_of_run(run_folder), *(_of_export(line, run_folder) for line in lines)]
    table = Table(COLUMNS, [row.cells() for row in rows], right=COLUMNS[1:-1])
    how = (
        f"Measured now, on this machine, with {threads()} thread{'s' if threads() > 1 else ''}: {TOKENS} tokens after a short "
        "question, each in a process of its own. The divergence (nats per token) and the share of equal likeliest tokens are "
        "from the proof."
    )
    return Told((table, f"\n{how}"), {"exports": [asdict(row) for row in rows], "threads": threads(), "tokens": TOKENS})


def _of_run(run_folder: Path) -> Compared:
    """The run as the studio speaks with it."""
    record = read_run(run_folder)
    weights = run_folder / ("model" if record.method == "full" else "adapter")
    base = Path(str(record.base.get("path") or ""))
    size = folder_size(weights) + (folder_size(base) if record.method != "full" and base.is_dir() else 0)
    try:
        spoken = run_apart("studio.exports.chat.speaking", run_folder)
    except StudioError as error:
        return Compared("the run itself", size, note=str(error))
    return Compared("the run itself", size, spoken["speed"], spoken["peak"], 0.0, 1.0, f"torch, {spoken['dtype']}")


def _of_export(line: ExportLine, run_folder: Path) -> Compared:
    """One export, opened in its program."""
    name, folder = " ".join(part for part in (line.form, line.quant) if part), Path(line.path)
    if not folder.exists():
        inside = folder.relative_to(run_folder) if folder.is_relative_to(run_folder) else folder
        return Compared(name, note=f"gone from {inside}")
    size = folder_size(folder) if folder.is_dir() else folder.stat().st_size
    if not folder.is_dir() or not is_export(folder) or line.form not in RUNTIMES:
        return Compared(name, size, note=f"read by {line.runtime}; not asked from here")
    proof: Mapping[str, Any] = {}
    try:
        proof = _figures(read_export(folder, whole=False).proof)
        subject = ExportSubject.open("tuned", folder)
        try:
            speed = speed_of(subject.runtime, subject.words._prompt(ASKED, ()))
            peak, note = subject.runtime.peak_bytes(), subject.runtime.name
        finally:
            subject.close()
    except (UserError, StudioError) as error:
        return Compared(name, size, None, None, proof.get("divergence"), proof.get("agreement"), str(error))
    return Compared(name, size, speed, peak, proof.get("divergence"), proof.get("agreement"), note)


def speed_of(runtime: ChatRuntime, prompt: Sequence[int]) -> float:
    """Tokens per second that a runtime writes after a prompt; reading the prompt is not counted."""
    runtime.logits(prompt, fresh=True)
    started = time.monotonic()
    written = sum(1 for _ in continued(runtime, prompt, TOKENS))
    return written / (time.monotonic() - started)


def _figures(proof: Mapping[str, Any]) -> Mapping[str, Any]:
    """The figures of the last program that read an export back; a form with one program has them bare."""
    return next((each for each in reversed(list(proof.values())) if isinstance(each, Mapping)), proof)
