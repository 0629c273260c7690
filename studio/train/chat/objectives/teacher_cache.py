"""What a teacher says at every target, computed once and kept beside the checkpoints, so that a run goes on without it.

Legend: t targets of all rows, k tokens kept of each.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.errors import StudioError
from studio.core.files import disk_errors, sha256_file, sha256_json, write_json
from studio.core.progress import Progress
from studio.models.chat.encoding import EncodedRow
from studio.train.chat.batches import collate_padded, targets_of
from studio.train.chat.objectives.divergence import Taught
from studio.train.chat.objectives.teacher import Asking

FOLDER = "teacher"
UNKNOWN = -1
"""Number that stands first where the teacher says nothing of a target."""
BYTES = 8
"""Bytes of each kept token: a number and a log-probability of 32 bits."""
_FILES = ("ids.npy", "logprobs.npy")
_ABOUT = "teacher.json"
_POLL_SECONDS = 0.5


def rows_hash(rows: Sequence[EncodedRow]) -> str:
    """Hash of the tokens and targets of all rows, by which a cache knows that it belongs to them."""
    return sha256_json([targets_of(row) + row.input_ids for row in rows])


@contextmanager
def new_cache(folder: Path, rows: Sequence[EncodedRow], about: dict[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Arrays to be filled: ids int32 [t, k], log-probabilities float32 [t, k], and where each row begins, int64 [rows + 1].

    They are published by one rename when the block ends without an error.

    Args:
        about: what identifies the teacher and the settings, with ``top_k``; written beside it.
    Raises:
        StudioError: the disk is full or cannot be written.
    """
    starts = _starts(rows)
    shape = (int(starts[-1]), int(about["top_k"]))
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    with disk_errors(folder.name, folder.parent):
        for left in folder.parent.glob(f".{folder.name}.*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            ids = _mapped(partial / _FILES[0], np.int32, shape)
            logprobs = _mapped(partial / _FILES[1], np.float32, shape)
            yield ids, logprobs, starts
            ids.flush()
            logprobs.flush()
            hashes = {name: sha256_file(partial / name) for name in _FILES}
            write_json(partial / _ABOUT, {**about, "targets": shape[0], "rows": rows_hash(rows), "files": hashes})
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _mapped(path: Path, kind: type[np.generic], shape: tuple[int, int]) -> Any:
    """A new array on disk whose bytes are all there: one that is written to where the disk is full kills the process instead."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    return array


def write_cache(
    folder: Path, rows: Sequence[EncodedRow], ask: Asking, about: dict[str, Any], *, batch: int, pad_id: int, device: torch.device
) -> None:
    """Ask the teacher about every row, longest first, and keep what it says; see :func:`new_cache`.

    Args:
        batch: rows per pass.
    """
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index].input_ids))
    with new_cache(folder, rows, about) as (ids, logprobs, starts), Progress("teacher", len(rows), "rows") as progress:
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            found = _asked(ask, [rows[index] for index in chosen], pad_id, device)
            done = 0
            for index in chosen:
                part = slice(int(starts[index]), int(starts[index + 1]))
                count = part.stop - part.start
                ids[part], logprobs[part] = (each[done : done + count].numpy() for each in found)
                done += count
            progress.advance(len(chosen))


def wait_for_cache(folder: Path) -> None:
    """Wait until the first process has published it; if that fails, the launcher ends this one."""
    while not (folder / _ABOUT).is_file():
        time.sleep(_POLL_SECONDS)


def has_cache(folder: Path) -> bool:
    """True when it was published; one that is damaged is told when it is opened."""
    return (folder / _ABOUT).is_file()


class CachedTeacher:
    """What a teacher said, read from the disk row by row."""

    def __init__(self, folder: Path, rows: Sequence[EncodedRow], device: torch.device) -> None:
        """``rows``: those that it was asked about, in the same order.

        Raises:
            StudioError: a file is damaged, or the rows are others.
        """
        remedy = f"Start the run again; the teacher is then asked anew ({folder} can be deleted)."
        try:
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            broken = next((name for name in _FILES if sha256_file(folder / name) != about["files"][name]), None)
        except (OSError, ValueError, KeyError) as error:
            raise StudioError(f"what the teacher said cannot be read from {folder} ({error}). {remedy}") from error
        if broken is not None:
            raise StudioError(f"{folder / broken} differs from its recorded hash. {remedy}")
        if about["rows"] != rows_hash(rows):
            raise StudioError(f"what the teacher said, in {folder}, is about other rows than those of this run. {remedy}")
        self.about: dict[str, Any] = about
        self._ids, self._logprobs = (np.load(folder / name, mmap_mode="r") for name in _FILES)
        self._starts, self._device = _starts(rows), device

    def __call__(self, inputs: dict[str, Tensor]) -> Taught:
        """What it said at the targets of a micro batch, in their order; ``numbers`` [b] says which rows those are (-1: none)."""
        parts = [slice(int(self._starts[row]), int(self._starts[row + 1])) for row in inputs["numbers"].tolist() if row >= 0]
        logprobs = torch.from_numpy(np.concatenate([self._logprobs[part] for part in parts]))
        ids = torch.from_numpy(np.concatenate([self._ids[part] for part in parts]))
        known = ids[:, 0] != UNKNOWN
        everywhere = bool(known.all())
        ids = ids.clamp(min=0).to(self._device, torch.int64)
        return Taught(logprobs.to(self._device), ids, None if everywhere else known.to(self._device))


def _starts(rows: Sequence[EncodedRow]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where the targets of each row begin among those of all; int64 [rows + 1]."""
    return np.concatenate([[0], np.cumsum([sum(row.trained[1:]) for row in rows], dtype=np.int64)])


def _asked(ask: Asking, rows: Sequence[EncodedRow], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids int32 and log-probabilities float32 [n, k] of the targets of some rows, on the CPU."""
    batch = {name: value.to(device) for name, value in collate_padded([(row, False) for row in rows], pad_id).items()}
    found = ask(batch)
    assert found.ids is not None  # only a teacher of the top k is cached
    return found.ids.to("cpu", torch.int32), found.logprobs.to("cpu", torch.float32)
