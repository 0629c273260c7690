"""What the kinds share whose runs are written by a format: the check that a run is finished, the writer, asking the program."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from studio.core.environments import find_python, quiet_environment
from studio.core.errors import StudioError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.exports.formats.base import FORMATS, Format
from studio.exports.forms import Export

MODEL = "model"
"""Folder of a run's model, of the kinds that have one."""


class FormatExport(Export):
    """A form that a format writes."""

    format: ClassVar[str]
    """Name in :data:`studio.exports.formats.base.FORMATS`."""

    @cached_property
    def writer(self) -> Format:
        """What writes the files."""
        made: Format = FORMATS.get(self.format)()
        return made


def finished_run(run_folder: Path, *, holds: str | None = None) -> RunRecord:
    """The record of a run that can be exported.

    Args:
        holds: a folder in it that has to be there.
    Raises:
        UserError: it is not finished.
    """
    record = read_run(run_folder)
    if record.status != "finished" or (holds is not None and not (run_folder / holds).is_dir()):
        name = f"{run_folder.parent.name}/{run_folder.name}"
        raise UserError(f"the run {name} is {record.status} and has no model yet. Finish it: studio train --resume {name}")
    return record


def ask_program(folder: Path, form: str, given: str) -> list[Any]:
    """What ``predict.py`` of an export answers in a process of its own, as people will ask it.

    Args:
        given: the rows as a JSON list.
    Raises:
        StudioError: it fails.
    """
    from studio.models.runtimes.sessions import RUNTIMES

    environment = RUNTIMES[form].environment
    python = Path(sys.executable) if environment is None else find_python(environment)
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import predict\n"
        "print(json.dumps(predict.Model().predict(json.load(sys.stdin))))"
    )
    command = [str(python), "-c", code, str(folder.resolve())]
    bare = quiet_environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=bare, cwd=folder)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        raise StudioError(f"predict.py of the {form} export fails ({last}), so nothing was written.")
    answers: list[Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answers
