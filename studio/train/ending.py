"""How a training ends, whatever it trains: finished, stopped and saved, or failed, each with one sentence."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from studio.adapters.card import write_model_card
from studio.core.allocator import keep_freed_memory
from studio.core.errors import InterruptedRunError, StudioError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.train.checkpoints import clear_partial, newest_whole
from studio.train.record import change_record, hashes, now
from studio.train.recording import StopOnSignal

# A disk with less room than this is full, whatever the library that could not write says.
_FULL_BYTES = 1 << 16

_FULL = "the disk is full: "


def to_the_end(run_folder: Path, story: Callable[[StopOnSignal], None], *, main: bool = True) -> RunRecord:
    """Train, and leave a record that says how it ended: finished, interrupted after saving, or failed and why.

    Args:
        story: trains, and marks the Run as finished unless a signal stopped it.
        main: False in all processes but the first, which alone writes.
    Raises:
        InterruptedRunError: a signal came; a checkpoint was saved.
        Exception: what the story raises.
    """
    keep_freed_memory()
    try:
        # A story guards the steps itself and says what could not be written; a loss plot or a card may not fit either.
        with StopOnSignal() as stop, plain_words(run_folder, lambda: "what the training made could not be written"):
            story(stop)
    except BaseException as error:
        if main:
            _close_badly(run_folder, error)
        raise
    if main and stop.stopped:
        change_record(run_folder, status="interrupted", error=None)
        raise InterruptedRunError(
            f"stopped and saved. Go on with: studio train --resume {run_folder.parent.name}/{run_folder.name}"
        )
    return read_run(run_folder)


@contextmanager
def plain_words(run_folder: Path, unwritten: Callable[[], str], *, check_disk: bool = False) -> Iterator[None]:
    """Turn the ways in which a training ends early into one sentence each.

    Args:
        unwritten: says what could not be written to where, once the disk is full.
        check_disk: look at the disk after any error, because what is raised does not always say that it is full.
    Raises:
        StudioError: the GPU's memory or the disk is full.
    """
    try:
        yield
    except Exception as error:
        if _is_gpu_full(error):
            raise StudioError(
                "the GPU ran out of memory. Set micro_batch_size to half of what it was (the result stays the same), or "
                "gradient_checkpointing: true; 'studio plan' tells beforehand."
            ) from error
        checkpoints = run_folder / "checkpoints"
        told = isinstance(error, StudioError) and str(error).startswith(_FULL)
        full = not told and ("No space left" in str(error) or "the disk is full" in str(error))
        if told or (not full and not (check_disk and _is_full(checkpoints if checkpoints.is_dir() else run_folder))):
            raise
        clear_partial(checkpoints)  # half a checkpoint is of no use, and its room is what the record needs
        whole, _ = newest_whole(checkpoints)
        run = f"{run_folder.parent.name}/{run_folder.name}"
        stays = f"the last good checkpoint, {whole.name}, stays" if whole else "no checkpoint had been saved yet"
        again = f"studio train --resume {run}" if whole else f"studio train {run}"
        raise StudioError(f"{_FULL}{unwritten()}; {stays}. Make room, then: {again}") from error


def close_well(run_folder: Path, result: dict[str, Any], *made: str) -> None:
    """Write down that the Run is finished, with its figures and the hashes of the files and folders it made, and its card."""
    files = hashes(run_folder, *made)
    change_record(run_folder, status="finished", finished=now(), result=result, files=files, error=None)
    write_model_card(run_folder)


def _close_badly(run_folder: Path, error: BaseException) -> None:
    """Say in the record how it ended; a full disk must not hide the error that is on its way."""
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    words = str(error) if isinstance(error, StudioError) else "".join(traceback.format_exception_only(error)).strip()
    with suppress(StudioError, OSError):
        change_record(run_folder, status=status, error=words)


def _is_gpu_full(error: Exception) -> bool:
    """True for torch's own error; torch is not loaded for this, because what needs no torch starts in seconds without it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def _is_full(folder: Path) -> bool:
    """True when nothing more goes onto the disk of a folder."""
    return shutil.disk_usage(folder).free <= _FULL_BYTES
