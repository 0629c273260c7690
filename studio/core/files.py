"""Writing so that nothing is ever half there: temp-then-rename, hashes, and plain words for a full or read-only disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError

_DISK_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "there is no permission to write",
    errno.EPERM: "there is no permission to write",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "something else of that name is there already",
    errno.ENOTEMPTY: "something else of that name is there already",
    errno.EIO: "the disk reports a fault",
}


@contextmanager
def disk_errors(what: str, path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into one sentence; other errors pass unchanged.

    Raises:
        StudioError: says what could not be written, where, why, and the remedy.
    """
    try:
        yield
    except Exception as error:
        words = _DISK_WORDS.get(_disk_number(error))
        if words is None:
            raise
        raise StudioError(
            f"could not write {what} to {path}: {words}. "
            "Make room or choose another place with --workspace (or STUDIO_WORKSPACE)."
        ) from error


def _disk_number(error: Exception) -> int:
    """The system's number of an error; safetensors, written in Rust, has it in its text only. 0 where there is none."""
    if isinstance(error, OSError):
        return error.errno or 0
    said = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(said[1]) if said else 0


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step: a reader sees the old file or the whole new one."""
    with disk_errors(path.name, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one step, keys in the order given, newline at the end."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary sibling that becomes ``final`` by one rename when the block ends well.

    Raises:
        StudioError: the disk is full or read-only, or ``final`` exists already (nothing is overwritten).
    """
    with disk_errors(final.name, final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
        try:
            yield temporary
            if final.exists():
                raise StudioError(f"{final} exists already and is not overwritten. Move it away or choose another name.")
            temporary.chmod(0o755)
            temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode()).hexdigest()


def folder_size(path: Path) -> int:
    """Bytes of all regular files under a folder; links and files that vanish meanwhile count nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                status = Path(folder, name).lstat()
                total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total
