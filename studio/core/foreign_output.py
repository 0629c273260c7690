"""Keeping what another library prints, and the programs that it starts, off the terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO


@contextmanager
def set_aside(written: list[str]) -> Iterator[TextIO]:
    """Put what is written to stdout and stderr into ``written``, in one text, at the end of the block.

    It works on the file descriptors, so that child processes are heard too, and on Python's streams, which a notebook replaces.
    Gives a stream to the real stderr, for a progress bar.
    """
    with tempfile.TemporaryDirectory(prefix="studio-") as folder:
        path = Path(folder) / "output"
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        try:
            with (
                path.open("a", encoding="utf-8", errors="replace") as file,
                os.fdopen(os.dup(kept[1]), "w", encoding="utf-8", errors="replace") as terminal,
            ):
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                with redirect_stdout(file), redirect_stderr(file):
                    yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in enumerate(kept, 1):
                os.dup2(old, number)
                os.close(old)
            written.append(path.read_text(encoding="utf-8", errors="replace"))
