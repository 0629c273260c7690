"""Whose turn it is: one command that computes on each device, the others in the order in which they were asked for.

A training that somebody started in a terminal takes a device too, although it never asked here.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from studio.core.errors import StudioError
from studio.core.files import disk_errors
from studio.core.records import RunRecord
from studio.core.runs import process_alive
from studio.core.workspace import Workspace, read_run
from studio.jobs.records import Job, active_jobs, jobs_folder

CPU = "cpu"
# Where the driver of NVIDIA lists the cards of this machine, a folder each.
_CARDS = Path("/proc/driver/nvidia/gpus")
# Runs that are looked at for one that trains in a terminal: the newest, by when their record was last written.
_NEWEST_RUNS = 20


def devices() -> list[str]:
    """What may compute here: the numbers of the GPUs, or the processor."""
    cards = len(list(_CARDS.iterdir())) if _CARDS.is_dir() else 0
    return [str(number) for number in range(cards)] or [CPU]


@contextmanager
def queue_lock(workspace: Workspace) -> Iterator[None]:
    """Hold the queue of a workspace; it is let go with the process, however that ends."""
    folder = jobs_folder(workspace)
    with disk_errors("the lock of the queue", folder):
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("w")
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def free_device(workspace: Workspace, me: str) -> str | None:
    """The device on which the job ``me`` may start now, or None while it has to wait. Call it with the lock held."""
    jobs = active_jobs(workspace)
    running = [job for job in jobs if job.record.queued and job.status == "running"]
    waiting = sorted(job.id for job in jobs if job.record.queued and job.status == "waiting")
    taken = {job.record.device for job in running}
    free = [device for device in devices() if device not in taken]
    # Which card a terminal's training uses is not written down; it takes the first that is free.
    free = free[len(trainings_elsewhere(workspace, running)) :]
    place = waiting.index(me) if me in waiting else 0
    return free[place] if place < len(free) else None


def waiting_for(workspace: Workspace, jobs: Sequence[Job], job: Job) -> tuple[int, list[str]]:
    """How many of the queue come before a job that waits, and what computes meanwhile (commands, runs of a terminal)."""
    running = [other for other in jobs if other.record.queued and other.status == "running"]
    before = [other for other in jobs if other.record.queued and other.status == "waiting" and other.id < job.id]
    elsewhere = [f"{folder.parent.name}/{folder.name}" for folder in trainings_elsewhere(workspace, running)]
    return len(before), [*(other.command for other in running), *elsewhere]


def trainings_elsewhere(workspace: Workspace, running: Sequence[Job]) -> list[Path]:
    """Folders of Runs that train now and that none of the running jobs started."""
    ours = {child for job in running for child in _family(job.record.pid)}
    found = []
    for folder in _newest_runs(workspace):
        try:
            record: RunRecord = read_run(folder)
        except (StudioError, OSError):
            continue
        pid = record.machine.get("pid")
        if record.status == "running" and isinstance(pid, int) and pid not in ours and process_alive(record, folder / "run.json"):
            found.append(folder)
    return found


def _newest_runs(workspace: Workspace) -> list[Path]:
    """Folders of the Runs whose records were written last."""
    files = []
    for file in workspace.runs.glob("[!.]*/[!.]*/run.json"):
        with suppress(OSError):
            files.append((file.stat().st_mtime, file.parent))
    return [folder for _, folder in sorted(files, reverse=True)[:_NEWEST_RUNS]]


def _family(pid: int | None) -> set[int]:
    """A process and all it started."""
    if pid is None:
        return set()
    try:
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.Error:
        return {pid}
