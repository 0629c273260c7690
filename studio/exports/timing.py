"""Exports beside their run: how large, how fast, how much memory, how far from the run; each in a process of its own.

What is asked differs from kind to kind (:class:`Asking`); how it is timed stands once, in
``studio/models/runtimes/time_program.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import studio
from studio.core.environments import find_python, run_script, threads
from studio.core.errors import StudioError, UserError
from studio.core.files import folder_size
from studio.core.telling import Table, Told, size_text
from studio.models.exported import ExportLine, ExportRecord, is_export, read_export
from studio.models.runtimes import time_program
from studio.models.runtimes.sessions import RUNTIMES, check_runtime

_SCRIPT = Path(time_program.__file__)


@dataclass(frozen=True)
class Compared:
    """One line of the table.

    bytes: of the files. rate: rows per second in batches. alone: seconds for one row alone. peak: bytes of memory of the process.
    difference, agreement: from the proof; None where the form has none. note: what it ran in, or what could not be measured.
    """

    form: str
    bytes: int | None = None
    rate: float | None = None
    alone: float | None = None
    peak: int | None = None
    difference: float | None = None
    agreement: float | None = None
    note: str = ""


class Asking(ABC):
    """How the exports of a kind are asked."""

    unit: ClassVar[tuple[str, str]] = ("row", "rows")
    """What one answer is of, and several are."""
    runner: ClassVar[str]
    """Module that asks the run itself: ``python -m runner RUN_FOLDER ANSWER.json``; what it writes is what
    :func:`studio.models.runtimes.time_program.timed` gives, with ``peak`` and ``note``."""
    batch: ClassVar[int] = 32
    """Rows at once, at most."""
    agrees: ClassVar[bool] = False
    """Whether proofs say a share of equal labels."""
    asked: ClassVar[str]
    """What is asked, for people."""

    @abstractmethod
    def programs(self, record: ExportRecord) -> dict[str, Path]:
        """The studio's own programs beside an export, by the name that they import each other by."""

    @abstractmethod
    def given(self, run_folder: Path, record: ExportRecord, place: Path) -> dict[str, Any]:
        """Rows for ``time_program``: ``items`` or ``arrays``, written into a folder."""

    def ask(self, run_folder: Path, folder: Path, record: ExportRecord) -> dict[str, Any]:
        """Rows per second, seconds for one row and peak memory of an export.

        Raises:
            UserError, StudioError: its program is not installed, or fails.
        """
        if record.form not in RUNTIMES:
            raise UserError(f"read by {record.runtime}; not asked from here")
        check_runtime(record.form)
        runtime = RUNTIMES[record.form]
        python = Path(sys.executable) if runtime.environment is None else find_python(runtime.environment)
        with tempfile.TemporaryDirectory(prefix="studio-compare-") as temporary:
            place = Path(temporary)
            # In this order: what is imported by others comes first.
            programs = {"runtime": runtime.path, **self.programs(record)}
            question = {
                "folder": str(folder.resolve()),
                "programs": {name: str(path) for name, path in programs.items()},
                "batch": self.batch,
                "processors": threads(),
                **self.given(run_folder, record, place),
            }
            found: dict[str, Any] = run_script(python, _SCRIPT, question, folder=place)
        return found

    def size(self, run_folder: Path) -> int:
        """Bytes of the run's own model."""
        return folder_size(run_folder / "model")

    def difference(self, proof: Mapping[str, Any]) -> float | None:
        """The figure of a proof that stands in the table."""
        return proof.get("difference")


def compare_asked(asking: Asking, run_folder: Path, lines: Sequence[ExportLine]) -> Told:
    """Measure every export that is still there, one after the other, and the run itself."""
    rows = [_of_run(asking, run_folder), *(_of_export(asking, line, run_folder) for line in lines)]
    one, several = asking.unit
    columns = ["form", "size", f"{several}/s", f"ms for one {one}", "peak memory", "difference"]
    columns += [*(["same label"] if asking.agrees else []), "note"]
    table = Table(columns, [_cells(row, agrees=asking.agrees) for row in rows], right=columns[1:-1])
    many = threads()
    how = (
        f"Measured now, on this machine, on {many} processor{'s' if many > 1 else ''}: {asking.asked}, in batches of up to "
        f"{asking.batch} and one by one, each form in a process of its own with the program that lies beside it. Differences are "
        "from the proof."
    )
    return Told((table, f"\n{how}"), {"exports": [asdict(row) for row in rows], "threads": many, "batch": asking.batch})


def _cells(row: Compared, *, agrees: bool) -> list[object]:
    """For the table."""
    cells: list[object] = [
        row.form,
        None if row.bytes is None else size_text(row.bytes),
        row.rate,
        None if row.alone is None else 1000 * row.alone,
        None if row.peak is None else size_text(row.peak),
        None if row.difference is None else f"{row.difference:.1e}",
    ]
    if agrees:
        cells.append(None if row.agreement is None else f"{row.agreement:.1%}")
    return [*cells, row.note]


def run_apart(module: str, run_folder: Path) -> dict[str, Any]:
    """What a module of the studio writes about a run, in a process of its own.

    Raises:
        StudioError: its last words.
    """
    with tempfile.TemporaryDirectory() as place:
        answer = Path(place) / "answer.json"
        # -P: neither this folder nor the current one may lend its modules.
        command = [sys.executable, "-P", "-m", module, str(run_folder), str(answer)]
        environment = {**os.environ, "PYTHONPATH": str(Path(studio.__file__).parents[1])}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, check=False)
        if done.returncode or not answer.is_file():
            last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
            raise StudioError("".join(last) or f"ended ({done.returncode})")
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found


def _of_run(asking: Asking, run_folder: Path) -> Compared:
    """The run as the studio asks it."""
    size = asking.size(run_folder)
    try:
        found = run_apart(asking.runner, run_folder)
    except StudioError as error:
        return Compared("the run itself", size, note=str(error))
    agreement = 1.0 if asking.agrees else None
    rate, alone = found["rows_per_second"], found["seconds_per_row"]
    return Compared("the run itself", size, rate, alone, found["peak"], 0.0, agreement, found["note"])


def _of_export(asking: Asking, line: ExportLine, run_folder: Path) -> Compared:
    """One export, asked by the studio's own copy of the program that lies beside it."""
    name, folder = " ".join(part for part in (line.form, line.quant) if part), Path(line.path)
    if not folder.exists():
        inside = folder.relative_to(run_folder) if folder.is_relative_to(run_folder) else folder
        return Compared(name, note=f"gone from {inside}")
    size = folder_size(folder) if folder.is_dir() else folder.stat().st_size
    if not folder.is_dir() or not is_export(folder):
        return Compared(name, size, note=f"read by {line.runtime}; not asked from here")
    proof: Mapping[str, Any] = {}
    try:
        record = read_export(folder)
        proof = record.proof
        found = asking.ask(run_folder, folder, record)
    except (UserError, StudioError) as error:
        return Compared(name, size, difference=asking.difference(proof), agreement=proof.get("agreement"), note=str(error))
    figures = found["rows_per_second"], found["seconds_per_row"], found["peak"]
    return Compared(name, size, *figures, asking.difference(proof), proof.get("agreement"), record.runtime)
