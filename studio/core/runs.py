"""Looking over all runs of a workspace: what each is, what it scored, and what may be deleted. Never trips over a damaged one."""

from __future__ import annotations

import os
import platform
import shutil
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml

from studio.core.errors import StudioError
from studio.core.files import disk_errors, folder_size
from studio.core.records import ReportRecord, RunRecord, read_record
from studio.core.workspace import Workspace, read_run

Status = Literal["running", "finished", "interrupted", "failed", "stopped", "damaged"]

# A hidden folder is what a killed write leaves behind; a younger one may still be written.
_LEFTOVER_SECONDS = 24 * 3600


@dataclass(frozen=True)
class RunSummary:
    """One run as lists show it. ``stopped`` is a run that says it is running but whose process is gone."""

    folder: Path
    status: Status
    record: RunRecord | None = None
    problem: str | None = None

    @cached_property
    def bytes(self) -> int:
        """Size of the folder; every file in it is looked at, so lists that do not show it do not ask."""
        return folder_size(self.folder)

    @cached_property
    def reports(self) -> dict[str, ReportRecord]:
        """The newest readable report of each suite that was run on it."""
        return newest_reports(self.folder)

    @property
    def suites(self) -> list[str]:
        """Names of the suites that it was measured with; no report is read for them."""
        return sorted({file.parents[1].name for file in (self.folder / "evals").glob("[!.]*/[!.]*/scores.json")})

    @property
    def reference(self) -> str:
        """``name/time-id``, which every command takes."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def has_model(self) -> bool:
        """True when an adapter or a tuned model lies in the folder."""
        return (self.folder / "adapter").is_dir() or (self.folder / "model").is_dir()

    @property
    def checkpoints(self) -> list[Path]:
        """Checkpoint folders, oldest step first."""
        found = [path for path in (self.folder / "checkpoints").glob("[!.]*") if path.is_dir()]
        return sorted(found, key=lambda path: (_trailing_number(path.name), path.name))


@dataclass(frozen=True)
class Removable:
    """Something that ``prune`` would delete: where, how much, and why."""

    path: Path
    bytes: int
    reason: str


def summarize_run(folder: Path) -> RunSummary:
    """Read what is known about a run; a damaged ``run.json`` is a status, not an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = read_run(folder)
    except (StudioError, OSError) as error:
        return RunSummary(folder, "damaged", problem=str(error))
    status: Status = record.status
    if record.status == "running" and not process_alive(record, folder / "run.json"):
        status = "stopped"
    return RunSummary(folder, status, record, record.error)


def newest_reports(folder: Path) -> dict[str, ReportRecord]:
    """The newest readable report of each suite that was run on this run."""
    reports: dict[str, ReportRecord] = {}
    for file in sorted((folder / "evals").glob("[!.]*/[!.]*/scores.json"), reverse=True):
        if (suite := file.parents[1].name) not in reports:
            with suppress(StudioError, OSError):
                reports[suite] = read_record(file, ReportRecord)
    return dict(sorted(reports.items()))


def settings_of(folder: Path) -> dict[str, Any]:
    """Settings in ``config.yaml``, nested names joined by dots; empty when the file is missing or damaged."""
    try:
        value = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return flatten(value) if isinstance(value, dict) else {}


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"lora": {"rank": 16}}`` as ``{"lora.rank": 16}``."""
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            flat.update(flatten(inner, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = inner
    return flat


def differing_settings(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Settings, base, Dataset and template that are not the same in all runs, with the value of each; None where it has none."""
    columns: list[dict[str, Any]] = []
    for run in runs:
        record = run.record
        origin = {} if record is None else {
            "base": record.base.get("name"),
            "base sha256": record.base.get("sha256"),
            "dataset": record.dataset.get("name"),
            "dataset fingerprint": record.dataset.get("fingerprint"),
            "template": record.template.get("name"),
        }  # fmt: skip
        columns.append(origin | settings_of(run.folder))
    names = dict.fromkeys(name for column in columns for name in column)
    rows = {name: [column.get(name) for column in columns] for name in names}
    return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


# The figures that comparisons show first, and their names in run.json's `result`.
FIGURES = {"steps": "steps", "final loss": "final_loss", "validation loss": "validation_loss"}


def compared_figures(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """Status, steps and losses, then every other number of the results that all runs have."""
    results = [dict(run.record.result) if run.record else {} for run in runs]
    for result in results:
        result.pop("first_step_at", None)  # a clock reading, for benchmarks
    rows: dict[str, list[Any]] = {"status": [run.status for run in runs]}
    rows |= {figure: [result.get(name) for result in results] for figure, name in FIGURES.items()}
    for name in results[0]:
        values = [result.get(name) for result in results]
        if name not in FIGURES.values() and all(isinstance(value, int | float) for value in values):
            rows[name.replace("_", " ")] = values
    return rows


def find_removable(workspace: Workspace, folders: list[Path], *, resumable: bool = False) -> list[Removable]:
    """What can go without losing a result.

    Failed, stopped and damaged runs; checkpoints of finished runs; what killed writes left behind. A run in progress, a
    finished run's adapter and anything damaged that still holds an adapter are never in the list.

    Args:
        folders: the runs to look at.
        resumable: also take unfinished runs that have a checkpoint to go on from.
    """
    found: list[Removable] = []
    for folder in folders:
        run = summarize_run(folder)
        if run.status == "running" or folder.is_symlink():
            continue
        if run.status == "finished":
            checkpoints = folder / "checkpoints"
            if run.has_model and run.checkpoints:
                found.append(
                    Removable(checkpoints, folder_size(checkpoints), f"{len(run.checkpoints)} checkpoints of a finished run")
                )
        elif run.has_model or (run.checkpoints and not resumable):
            continue
        else:
            how = f"{run.status}, can be resumed from {run.checkpoints[-1].name}" if run.checkpoints else run.status
            found.append(Removable(folder, run.bytes, f"{how} run"))
    for left in workspace.runs.glob("*/.*"):
        if left.is_dir() and not left.is_symlink() and time.time() - left.stat().st_mtime > _LEFTOVER_SECONDS:
            found.append(Removable(left, folder_size(left), "left behind by a write that was killed"))
    return found


def remove(item: Removable) -> None:
    """Delete a folder; it is renamed first, so that a half-deleted run is never taken for a run.

    Raises:
        StudioError: it cannot be deleted.
    """
    hidden = item.path.with_name(f".deleted-{item.path.name}-{os.getpid()}")
    try:
        with disk_errors(item.path.name, item.path.parent):
            item.path.rename(hidden)
            shutil.rmtree(hidden)
    except OSError as error:
        raise StudioError(f"could not delete {item.path} ({error.strerror}). What is left of it is in {hidden}.") from error


def process_alive(record: RunRecord, file: Path) -> bool:
    """False when the process that wrote the record is surely gone; True when it lives or cannot be known."""
    pid = record.machine.get("pid")
    if not isinstance(pid, int) or record.machine.get("host", platform.node()) != platform.node():
        return True
    try:
        process = psutil.Process(pid)
        # A process that started after the record was last written is another one with the same number.
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= file.stat().st_mtime + 1)
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def _trailing_number(name: str) -> int:
    """The step in ``checkpoint-120`` or ``step-120``; 0 without one."""
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0
