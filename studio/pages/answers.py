"""Answers of commands that a page needs: asked once as a job, and kept by what was asked and what it was asked about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from studio.core.errors import StudioError
from studio.core.files import write_json
from studio.core.workspace import Workspace
from studio.jobs.records import LOG, Job, jobs_folder, read_job
from studio.pages.site import workspace_of
from studio.pages.work import begin

# Beside the jobs: for each question the job that answers it.
_ASKED = ".asked"


@dataclass(frozen=True)
class Answer:
    """What a command said. value: its JSON document, None as long as there is none."""

    job: Job
    value: Any

    @property
    def pending(self) -> bool:
        """True as long as something may still come."""
        return not self.job.over


def known_answer(workspace: Workspace, arguments: Sequence[str], about: Sequence[str] = ()) -> Answer | None:
    """The answer that was asked for last; None where nobody has asked yet.

    Args:
        arguments: of the command, with ``--json``.
        about: contents on which the answer rests beside its arguments: a preset's text, a fingerprint.
    """
    try:
        named = json.loads(_file(workspace, arguments, about).read_text(encoding="utf-8"))["job"]
        job = read_job(jobs_folder(workspace) / Path(str(named)).name)
    except (OSError, ValueError, KeyError, TypeError, StudioError):
        return None
    return Answer(job, document_of(job) if job.over else None)


def ask(request: Request, arguments: Sequence[str], about: Sequence[str] = (), *, anew: bool = False) -> None:
    """Begin the job that answers, unless one is at it or has; ``anew`` where the old answer is not wanted.

    Raises:
        StudioError: the workspace cannot be written.
    """
    workspace = workspace_of(request)
    answer = known_answer(workspace, arguments, about)
    if answer is not None and (answer.pending or not anew):
        return
    # What takes real steps waits for the device; all else computes beside what runs.
    job = begin(request, arguments, queued="--probe" in arguments)
    file = _file(workspace, arguments, about)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"job": job.id})


def document_of(job: Job) -> Any:
    """The JSON document in what a command printed, remarks around it left out; None where there is none."""
    try:
        lines = (job.folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for at, line in enumerate(lines):
        if line[:1] in {"{", "["}:
            try:
                return json.JSONDecoder().raw_decode("\n".join(lines[at:]))[0]
            except json.JSONDecodeError:
                continue
    return None


def _file(workspace: Workspace, arguments: Sequence[str], about: Sequence[str]) -> Path:
    """Where the job of a question is named."""
    asked = hashlib.sha256(json.dumps([list(arguments), list(about)]).encode()).hexdigest()[:32]
    return jobs_folder(workspace) / _ASKED / f"{asked}.json"
