"""Replacing a folder that the studio itself wrote, so that a reader sees the old one or the new one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.core.files import disk_errors


@contextmanager
def replace_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary sibling that takes the place of ``final`` when the block ends well; otherwise nothing changes.

    Raises:
        StudioError: the disk is full or cannot be written; the old folder is still there.
    """
    with disk_errors(final.name, final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
        previous = final.with_name(f".{final.name}.previous-{os.getpid()}")
        try:
            yield temporary
            temporary.chmod(0o755)
            if final.exists():
                final.rename(previous)
            temporary.rename(final)
        except BaseException:
            if previous.exists() and not final.exists():
                previous.rename(final)
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        shutil.rmtree(previous, ignore_errors=True)
