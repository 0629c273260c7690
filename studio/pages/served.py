"""How the servers of a workspace stand: those that answer, those that still start, and the job behind each."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psutil

from studio.core.errors import StudioError, UserError
from studio.core.translation import later
from studio.core.workspace import Workspace
from studio.jobs.records import Job, active_jobs, ask_to_stop, last_line, list_jobs
from studio.serve.client import Client
from studio.serve.state import RunningServer, StatePaths, running_servers

State = Literal["answering", "ending", "not answering"]
STATES: dict[State, str] = {
    "answering": later("answering"),
    "ending": later("ending"),
    "not answering": later("not answering"),
}
# A guard on this machine answers in milliseconds; one that does not is said to be silent.
_SECONDS_TO_ANSWER = 1.0
_NEWEST_JOBS = 60


@dataclass(frozen=True)
class Served:
    """A server that runs. models: as its guard names them, aliases too. job: that started it, None for a terminal's."""

    server: RunningServer
    state: State
    models: tuple[str, ...]
    job: Job | None

    @property
    def first(self) -> str:
        """The model that examples ask for."""
        return self.models[0] if self.models else self.server.base


@dataclass(frozen=True)
class Starting:
    """A start that goes on, or has ended without a server. line: what it said last."""

    job: Job
    line: str


def served(workspace: Workspace) -> list[Served]:
    """Servers that run, by port."""
    jobs = [job for job in active_jobs(workspace) if is_start(job.record.arguments)]
    return [_asked(server, _job_of(server, jobs)) for server in running_servers(StatePaths.of(workspace))]


def starting(workspace: Workspace, running: Sequence[Served]) -> list[Starting]:
    """Starts and installations whose server does not run yet."""
    up = {one.job.id for one in running if one.job is not None}
    return [
        Starting(job, last_line(job))
        for job in active_jobs(workspace)
        if job.id not in up and (is_start(job.record.arguments) or is_installation(job.record.arguments))
    ]


def ended(workspace: Workspace, newest: int = 3) -> list[Starting]:
    """The newest commands of serving that are over."""
    found = [job for job in list_jobs(workspace, _NEWEST_JOBS) if job.record.arguments[0] == "serve" and job.over]
    return [Starting(job, last_line(job)) for job in found[:newest]]


def is_start(arguments: Sequence[str]) -> bool:
    """True for ``studio serve start RUN``."""
    return list(arguments[:2]) == ["serve", "start"] and not is_installation(arguments)


def is_installation(arguments: Sequence[str]) -> bool:
    """True for ``studio serve start --install``."""
    return arguments[0] == "serve" and "--install" in arguments


def stop(workspace: Workspace, port: int) -> None:
    """Ask the server on a port to end in order; it finishes the answers in progress.

    Raises:
        UserError: none runs there, or it is another account's.
    """
    found = next((one for one in served(workspace) if one.server.port == port), None)
    if found is None:
        raise UserError(f"no server of this workspace runs on port {port} any more.")
    if found.job is not None:
        ask_to_stop(found.job)
        return
    try:
        os.kill(found.server.pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise UserError(f"the server on port {port} was started by another account, and only that one can end it.") from error


def _asked(server: RunningServer, job: Job | None) -> Served:
    """A server with what its guard says."""
    client = Client(server.url, server.key)
    try:
        ready, _ = client.get("/healthz", timeout=_SECONDS_TO_ANSWER)
        status, listed = client.get("/v1/models", timeout=_SECONDS_TO_ANSWER)
        models = tuple(str(entry["id"]) for entry in listed["data"]) if status == 200 else ()
    except (StudioError, KeyError, TypeError):
        return Served(server, "not answering", (), job)
    return Served(server, "answering" if ready == 200 else "ending", models, job)


def _job_of(server: RunningServer, jobs: Sequence[Job]) -> Job | None:
    """The job whose command a server is: its runner is the parent of the command."""
    try:
        parent = psutil.Process(server.pid).ppid()
    except psutil.Error:
        return None
    return next((job for job in jobs if job.record.pid == parent), None)
