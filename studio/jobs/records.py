"""A job on disk: ``jobs/<time>-<id>/`` of a workspace holds ``job.json`` and ``output.log``, what its command printed.

The process that runs a job (:mod:`studio.jobs.runner`) is the only one that writes ``job.json`` once the job was added; whoever
wants it to end asks by a file of its own, ``stop``, so that no writer ever undoes another's.
"""

from __future__ import annotations

import platform
import re
import secrets
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil

from studio.core.errors import StudioError, UserError, nearest
from studio.core.files import disk_errors, new_folder, write_json, write_text
from studio.core.records import Record, read_record
from studio.core.workspace import Workspace

FILE, LOG, STOP = "job.json", "output.log", "stop"
# Beside the jobs, an empty file for each that is not over, so that the queue need not read all there ever were.
_ACTIVE = ".active"

Status = Literal["waiting", "running", "done", "failed", "stopped", "lost"]
ENDED: frozenset[Status] = frozenset({"done", "failed", "stopped", "lost"})

# Commands that compute for minutes on the device; all others (a build, a plan, a list) run at once beside them.
_COMPUTING = {"train", "search", "compare", "eval", "improve", "quickstart"}


class JobRecord(Record):
    """``job.json``: one command.

    ``arguments`` is what stands after ``studio``; ``by`` the account that asked, empty on a page without accounts or a terminal;
    ``device`` the number of the GPU it was given, ``cpu``, or None for a command that waits for no device; ``pid`` and
    ``pid_created`` the process that runs it; ``code`` its exit code; ``said`` the sentence it ended with; ``made`` the artefacts
    that it told (``runs/NAME/ID``, ``datasets/NAME/FINGERPRINT``).
    """

    id: str
    arguments: list[str]
    by: str = ""
    folder: str
    queued: bool
    status: Literal["waiting", "running", "done", "failed", "stopped"] = "waiting"
    created: str
    started: str | None = None
    finished: str | None = None
    device: str | None = None
    host: str = ""
    pid: int | None = None
    pid_created: float | None = None
    code: int | None = None
    said: str | None = None
    made: list[str] = []


@dataclass(frozen=True)
class Job:
    """A job as it stands now. ``status`` is ``lost`` where it should be waiting or running and its process is gone."""

    folder: Path
    record: JobRecord
    status: Status

    @property
    def id(self) -> str:
        """Name of its folder."""
        return self.folder.name

    @property
    def command(self) -> str:
        """The line that does the same in a terminal."""
        return command_line(self.record.arguments)

    @property
    def over(self) -> bool:
        """True once nothing more will come of it."""
        return self.status in ENDED


def command_line(arguments: Sequence[str]) -> str:
    """``studio train chat/lora --data mine``, quoted for a shell."""
    return shlex.join(["studio", *arguments])


def jobs_folder(workspace: Workspace) -> Path:
    """Where the jobs of a workspace lie."""
    return workspace.root / "jobs"


def add_job(workspace: Workspace, arguments: Sequence[str], *, by: str = "", queued: bool | None = None) -> Path:
    """Write a new job down; :func:`studio.jobs.runner.start` begins it. Gives back its folder.

    Args:
        arguments: what stands after ``studio``.
        queued: wait for a free device; None asks the command: what trains or evaluates waits, what builds or plans does not.
    Raises:
        StudioError: the disk is full or read-only.
    """
    name = f"{datetime.now(UTC).strftime('%Y%m%d-%H%M%S-%f')[:-3]}-{secrets.token_hex(3)}"
    folder = jobs_folder(workspace) / name
    waits = arguments[0] in _COMPUTING if queued is None else queued
    marker = _marker(folder)
    with disk_errors("a job", marker.parent):
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    with new_folder(folder) as made:
        record = JobRecord(
            id=name, arguments=list(arguments), by=by, folder=str(Path.cwd()), queued=waits, created=now(), host=platform.node()
        )
        write_json(made / FILE, record.model_dump(mode="json"))
        (made / LOG).touch()
    return folder


def read_job(folder: Path) -> Job:
    """Read one job.

    Raises:
        StudioError: ``job.json`` is missing or damaged.
    """
    record = read_record(folder / FILE, JobRecord)
    alive = record.status in ENDED or _runner_alive(folder, record)
    return Job(folder, record, record.status if alive else "lost")


def list_jobs(workspace: Workspace, newest: int | None = None) -> list[Job]:
    """Jobs, newest first; damaged ones are left out.

    Args:
        newest: only so many.
    """
    folders = sorted((path for path in jobs_folder(workspace).glob("[!.]*") if path.is_dir()), reverse=True)
    jobs = []
    for folder in folders[:newest]:
        try:
            jobs.append(read_job(folder))
        except StudioError:
            continue
    return jobs


def active_jobs(workspace: Workspace) -> list[Job]:
    """Jobs that wait or run, oldest first; the marks of those that are over or lost are taken away."""
    jobs = []
    for marker in sorted((jobs_folder(workspace) / _ACTIVE).glob("*")):
        try:
            job = read_job(marker.parent.parent / marker.name)
        except StudioError:
            job = None
        if job is not None and not job.over:
            jobs.append(job)
        elif time.time() - marker.stat().st_mtime > _SECONDS_TO_START:  # one that is being added has no folder yet
            marker.unlink(missing_ok=True)
    return jobs


def set_over(folder: Path) -> None:
    """Take away the mark of a job that has ended."""
    _marker(folder).unlink(missing_ok=True)


def _marker(folder: Path) -> Path:
    """The file that says a job is not over."""
    return folder.parent / _ACTIVE / folder.name


def find_job(workspace: Workspace, reference: str) -> Job:
    """A job by its id, by the end of it, or ``last``.

    Raises:
        UserError: there is none; the newest are named.
    """
    jobs = list_jobs(workspace)
    if reference == "last" and jobs:
        return jobs[0]
    for job in jobs:
        if job.id == reference or (len(reference) >= 4 and job.id.endswith(reference)):
            return job
    ids = [job.id for job in jobs]
    raise UserError(
        f"there is no job {reference!r} in {jobs_folder(workspace)}.{nearest(reference, ids)} "
        f"Newest: {', '.join(ids[:5]) or 'none'}. See: studio jobs list"
    )


def ask_to_stop(job: Job) -> None:
    """Ask a job to end: one that waits never starts, one that trains saves first. A second time ends it at once.

    Raises:
        UserError: it is over.
    """
    if job.over:
        raise UserError(f"the job {job.id} is over ({job.status}). See: studio jobs list")
    twice = (job.folder / STOP).exists()
    write_text(job.folder / STOP, "now\n" if twice else "please\n")


def log_text(job: Job, characters: int = 20_000) -> str:
    """The end of what a job printed, broken characters replaced."""
    try:
        with (job.folder / LOG).open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 4 * characters))
            return stream.read().decode("utf-8", errors="replace")[-characters:]
    except OSError:
        return ""


def last_line(job: Job) -> str:
    """What it said last, for a list: the sentence it ended with, or its progress."""
    lines = [line.strip() for line in log_text(job, 2_000).splitlines() if line.strip()]
    return job.record.said or (lines[-1] if lines else "")


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


# A run's name may hold spaces, so what ends it is the form of its id.
_MADE = re.compile(
    r"^run (?P<run>[^/\n]+/\d{8}-\d{6}-\w+)$|(?P<folder>runs/[^/\n]+/\d{8}-\d{6}-\w+|(?:runs|datasets)/[^\s/]+/[\w-]+)",
    re.MULTILINE,
)


def made_by(text: str) -> list[str]:
    """The artefacts that a command's lines name: ``runs/NAME/ID``, ``datasets/NAME/FINGERPRINT``, each once."""
    found = [f"runs/{match['run']}" if match["run"] else str(match["folder"]) for match in _MADE.finditer(text)]
    return list(dict.fromkeys(found))


# A job whose runner has not yet come up has no pid; after so many seconds it will not come up any more.
_SECONDS_TO_START = 30.0


def _runner_alive(folder: Path, record: JobRecord) -> bool:
    """False when the process that runs the job is surely gone."""
    if record.host and record.host != platform.node():
        return True
    if record.pid is None:
        return time.time() - (folder / FILE).stat().st_mtime < _SECONDS_TO_START
    try:
        process = psutil.Process(record.pid)
        same = record.pid_created is None or abs(process.create_time() - record.pid_created) < 1
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
