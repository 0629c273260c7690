"""Opening and closing a Run: the folder, its record, the machine and versions it was made with."""

from __future__ import annotations

import os
import platform
import resource
import secrets
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import psutil
import yaml

from studio.core.errors import UserError
from studio.core.files import disk_errors, sha256_file, write_json, write_text
from studio.core.records import DatasetRecord, RunRecord
from studio.core.workspace import Workspace, check_run_name, read_run
from studio.models.bases import ResolvedBase

_STACK = (
    "torch", "transformers", "peft", "trl", "accelerate", "datasets", "bitsandbytes", "tokenizers", "safetensors", "diffusers",
    "timm", "scikit-learn", "imbalanced-learn", "statsmodels", "skops",
)  # fmt: skip


class Preset(Protocol):
    """What opening a run needs of a preset, whatever it trains."""

    @property
    def kind(self) -> str:
        """What is trained."""

    @property
    def seed(self) -> int:
        """Seed of everything random."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Every setting as plain values."""


def open_run(
    adapter: Preset,
    workspace: Workspace,
    *,
    name: str,
    dataset_folder: Path,
    dataset: DatasetRecord,
    base: dict[str, Any],
    processes: int,
    method: str,
    start: dict[str, Any] | None = None,
) -> Path:
    """Make a Run folder with its resolved preset and a record that says ``running``.

    Args:
        base: what ``ResolvedBase.record`` gives.
        method: the usual name of what is done, as records and cards give it.
        start: what is written down of a run that is trained on; None for a base.
    Raises:
        UserError: the name is not usable as a folder name.
        StudioError: the workspace cannot be written.
    """
    check_run_name(name)
    created = datetime.now(UTC)
    identity = secrets.token_hex(3)
    folder = workspace.runs / name / f"{created:%Y%m%d-%H%M%S}-{identity}"
    where = {"path": str(dataset_folder), "name": dataset.name, "fingerprint": dataset.fingerprint}
    record = RunRecord(
        kind=adapter.kind,
        name=name,
        id=identity,
        status="running",
        created=created.isoformat(timespec="seconds"),
        method=method,
        base=base,
        dataset=where,
        start=start or {},
        seed=adapter.seed,
        versions=versions(),
        git_commit=_git_commit(),
        machine={**machine(), "processes": processes},
    )
    # The record comes first and takes no time any more, so that no signal leaves a folder that says nothing.
    with disk_errors("a new run", folder.parent):
        folder.mkdir(parents=True)
    save_record(folder, record)
    write_text(folder / "config.yaml", yaml.safe_dump(adapter.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    return folder


def unchanged(base: ResolvedBase, record: RunRecord) -> ResolvedBase:
    """The base itself, refused when its weights are not those that the Run was opened with.

    Raises:
        UserError: they have changed.
    """
    if record.base.get("sha256") not in {None, base.sha256}:
        raise UserError(
            f"the weights of {base.name} have changed since this run was started (sha256 {base.sha256[:12]}…, then "
            f"{record.base['sha256'][:12]}…). Bring the old weights back, or start a new run."
        )
    return base


def save_record(folder: Path, record: RunRecord) -> None:
    """Write ``run.json`` in one step."""
    write_json(folder / "run.json", record.model_dump(mode="json"))


def change_record(folder: Path, **changes: Any) -> RunRecord:
    """Read, change and write ``run.json``."""
    record = read_run(folder).model_copy(update=changes)
    save_record(folder, record)
    return record


def mark_running(folder: Path, **known: Any) -> RunRecord:
    """Write down that this process trains the Run, and what is known before the first step."""
    return change_record(folder, status="running", error=None, machine={**read_run(folder).machine, "pid": os.getpid()}, **known)


def now() -> str:
    """UTC time as it stands in records."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def hashes(folder: Path, *names: str) -> dict[str, str]:
    """The sha256 of every file under the named files and folders of a Run, by its path in the Run."""
    found: dict[str, str] = {}
    for name in names:
        place = folder / name
        files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
        found |= {file.relative_to(folder).as_posix(): sha256_file(file) for file in files}
    return found


def versions() -> dict[str, str]:
    """Python and the libraries that decide the result."""
    found = {"python": platform.python_version(), "studio": metadata.version("finetuning-studio")}
    for name in _STACK:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Host, process, processor, memory in bytes, and the first GPU when there is one."""
    import torch

    found: dict[str, Any] = {
        "host": platform.node(),
        "pid": os.getpid(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "device": "cpu",
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        found |= {"device": "cuda", "gpu": properties.name, "gpus": torch.cuda.device_count()}
        found["gpu_memory_bytes"] = properties.total_memory
    return found


def peak_memory() -> int:
    """Bytes: most GPU memory allocated in this process, or its largest resident size on a CPU."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _git_commit() -> str | None:
    """Commit of the checkout that the command was called in, None outside of one."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
