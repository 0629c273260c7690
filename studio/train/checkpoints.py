"""Checkpoints that are whole or not there: written aside, listed with their hashes, made visible by one rename."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.core.errors import UserError
from studio.core.files import disk_errors, sha256_file, write_json

PARTIAL = ".partial"
MANIFEST = "whole.json"
_PREFIX = "checkpoint-"


def clear_partial(folder: Path) -> None:
    """Remove what an interrupted write left behind; it was never visible as a checkpoint."""
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)


@contextmanager
def new_checkpoint(folder: Path, step: int) -> Iterator[Path]:
    """An empty hidden folder to write a checkpoint into; it becomes ``checkpoint-<step>`` when the block ends without an error.

    Raises:
        StudioError: the disk is full or cannot be written; older checkpoints stay.
    """
    clear_partial(folder)
    hidden = folder / PARTIAL / f"{_PREFIX}{step}"
    with disk_errors(hidden.name, folder):
        hidden.mkdir(parents=True)
        yield hidden
    publish_checkpoint(folder, step)


def publish_checkpoint(folder: Path, step: int) -> Path:
    """List the files of the hidden checkpoint with size and sha256, flush them to disk, and rename it into view.

    Raises:
        StudioError: no space or no permission; the checkpoints that were there stay.
    """
    hidden, final = folder / PARTIAL / f"{_PREFIX}{step}", folder / f"{_PREFIX}{step}"
    with disk_errors(final.name, folder):
        files = {}
        for file in sorted(path for path in hidden.rglob("*") if path.is_file()):
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            files[file.relative_to(hidden).as_posix()] = {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
        write_json(hidden / MANIFEST, {"step": step, "files": files})
        if final.exists():  # the same step again after a resume: the new one is whole, the old one may go
            shutil.rmtree(final)
        hidden.rename(final)
        clear_partial(folder)
    return final


def why_not_whole(checkpoint: Path) -> str | None:
    """None when every listed file is there with its hash, else the first thing that is wrong."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, dict[str, object]] = manifest["files"]
    except (OSError, ValueError, KeyError):
        return f"it has no readable {MANIFEST}, so it was cut off while being written"
    for name, expected in files.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != expected["bytes"]:
            return f"{name} has {file.stat().st_size:,} bytes instead of {expected['bytes']:,}"
        if sha256_file(file) != expected["sha256"]:
            return f"{name} differs from its recorded hash"
    return None


def list_checkpoints(folder: Path) -> list[Path]:
    """Visible checkpoints, whole or not, newest step first."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Optimizer steps done when the checkpoint was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def newest_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint and one line for every newer one that is skipped."""
    skipped: list[str] = []
    for checkpoint in list_checkpoints(folder):
        reason = why_not_whole(checkpoint)
        if reason is None:
            return checkpoint, skipped
        skipped.append(f"{checkpoint.name} is skipped: {reason}")
    return None, skipped


def resume_point(run_folder: Path, say: Callable[[str], None]) -> Path:
    """The newest whole checkpoint of a Run, each newer broken one told in a line.

    Raises:
        UserError: there is none.
    """
    checkpoint, skipped = newest_whole(run_folder / "checkpoints")
    for line in skipped:
        say(line)
    if checkpoint is None:
        raise UserError(f"{run_folder} has no whole checkpoint to resume from. Start it again with: studio train {run_folder}")
    say(f"resuming from {checkpoint.name}")
    return checkpoint


def rotate_checkpoints(folder: Path, *, keep: int, best_step: int | None) -> None:
    """Delete the oldest checkpoints beyond ``keep``; the newest and the best one always stay."""
    checkpoints = list_checkpoints(folder)
    stay = {path for path in checkpoints[:1] if path} | {path for path in checkpoints if step_of(path) == best_step}
    for checkpoint in checkpoints[1:]:
        if len(stay) < keep:
            stay.add(checkpoint)
    for checkpoint in checkpoints:
        if checkpoint not in stay:
            shutil.rmtree(checkpoint, ignore_errors=True)
