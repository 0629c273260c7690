"""What a person sees when the studio itself is wrong: one sentence, and a file with everything a maintainer needs."""

from __future__ import annotations

import platform
import tempfile
import time
import traceback
from pathlib import Path

from studio import __version__
from studio.cli import output
from studio.cli.quiet import debugging
from studio.core.errors import StudioError
from studio.core.files import disk_errors, write_text


def bug_sentence(error: Exception, arguments: list[str]) -> str:
    """Write the traceback to ``tmp/`` of the workspace (else to the system's) and say where it is.

    A full, read-only or forbidden disk is no bug: it is told as such.
    """
    if isinstance(error, OSError):
        try:
            with disk_errors("a file", Path(error.filename or ".")):
                raise error
        except StudioError as plain:
            return str(plain)
        except OSError:
            pass
    report = "".join(traceback.format_exception(error))
    if debugging():
        output.note(report)
        return f"this is a bug in the studio: {_one_line(error)}."
    head = f"studio {__version__}, Python {platform.python_version()}, {platform.platform()}\nstudio {' '.join(arguments)}\n\n"
    place = _write(head + report)
    where = f"The traceback is in {place}" if place else "STUDIO_DEBUG=1 shows the traceback"
    return f"this is a bug in the studio: {_one_line(error)}. {where}; please report it with the command you ran."


def _one_line(error: Exception) -> str:
    """Type and message of an exception, cut to a line."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".: ")
    return text if len(text) <= 200 else text[:199] + "…"


def _write(report: str) -> Path | None:
    """Write the report where it can be written (a workspace is not made for it); None when nowhere."""
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}.log"
    workspace = output.open_workspace().root
    folders = [workspace / "tmp"] if workspace.is_dir() else []
    for folder in [*folders, Path(tempfile.gettempdir())]:
        try:
            write_text(folder / name, report)
        except (OSError, StudioError):
            continue
        return folder / name
    return None
