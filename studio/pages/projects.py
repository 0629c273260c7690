"""Projects that a page can watch and improve: those whose ``project.yaml`` lies in the workspace, beside it, or where we work."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from studio.core.errors import StudioError
from studio.core.translation import later
from studio.core.workspace import Workspace
from studio.jobs.records import Job, active_jobs, list_jobs
from studio.loop.memory import Memory
from studio.loop.rounds import Round, list_rounds
from studio.schema.loading import load_yaml
from studio.schema.project import Project

_NEWEST_JOBS = 100
ROUND_WORDS = tuple(map(later, ("open", "trial", "promoted", "rejected", "went back", "given up")))
"""How rounds stand, as templates show them translated; ``waiting`` is a word of jobs too."""


@dataclass(frozen=True)
class Kept:
    """A project as it stands. problem: why its file cannot be read, None where it can. standing: alarms of the newest look.

    rounds: newest first. last_look: seconds since 1970. looking: the job that watches on and on; last: the newest job about it.
    """

    file: Path
    name: str
    plan: Project | None = None
    problem: str | None = None
    rounds: tuple[Round, ...] = ()
    standing: tuple[str, ...] = ()
    last_look: float | None = None
    looking: Job | None = None
    last: Job | None = None

    @property
    def looked(self) -> str | None:
        """The moment of the newest look, as records have it."""
        return datetime.fromtimestamp(self.last_look, UTC).isoformat() if self.last_look else None

    @property
    def newest(self) -> Round | None:
        """The round that is going on, or was the last."""
        return self.rounds[0] if self.rounds else None


def projects_folder(workspace: Workspace) -> Path:
    """Where projects that were begun on a page lie."""
    return workspace.root / "projects"


def project_files(workspace: Workspace) -> list[Path]:
    """``project.yaml`` in the current folder, in the workspace, its projects, beside it, and one folder below each."""
    roots = [Path.cwd(), workspace.root, projects_folder(workspace), workspace.root.parent]
    found = [file for root in roots for file in (root / "project.yaml", *sorted(root.glob("[!.]*/project.yaml")))]
    return list(dict.fromkeys(file.resolve() for file in found if file.is_file()))


def told_of(file: Path) -> str:
    """What a project is for, also of one that is not finished; empty where nobody has said it."""
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ""
    task = str(value.get("task", "")) if isinstance(value, dict) else ""
    return "" if task.startswith("FILL IN") else task


def projects_of(workspace: Workspace) -> list[Kept]:
    """All projects, in the order in which their files are found."""
    return [_read(file, workspace) for file in project_files(workspace)]


def project_named(workspace: Workspace, name: str) -> Kept | None:
    """A project by its name; None where there is none, so that no path of an address is opened."""
    return next((kept for kept in projects_of(workspace) if kept.name == name and kept.plan is not None), None)


def _read(file: Path, workspace: Workspace) -> Kept:
    """How one project stands."""
    try:
        plan = load_yaml(file, Project)
        rounds = tuple(reversed(list_rounds(workspace, plan.name)))
    except StudioError as error:
        return Kept(file, file.parent.name, problem=str(error))
    memory = _remembered(workspace.root / "watch" / f"{plan.name}.json")
    standing = tuple(
        str(entry["sentence"]) for entry in memory.standing.values() if isinstance(entry, dict) and "sentence" in entry
    )
    mine = [job for job in list_jobs(workspace, _NEWEST_JOBS) if str(file) in job.record.arguments]
    active = {job.id for job in active_jobs(workspace)}
    looking = next((job for job in mine if job.id in active and _goes_on(job)), None)
    last = next((job for job in mine if not _goes_on(job)), None)
    return Kept(file, plan.name, plan, None, rounds, standing, memory.last, looking, last)


def _remembered(path: Path) -> Memory:
    """What the newest look left. A damaged file is put right by the next look, not by whoever reads a page."""
    memory = Memory(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        memory.standing, memory.last = dict(value["standing"]), float(value["last"])
    except (OSError, ValueError, KeyError, TypeError):
        return Memory(path)
    return memory


def _goes_on(job: Job) -> bool:
    """True for a watch that looks again and again."""
    return job.record.arguments[0] == "watch" and "--once" not in job.record.arguments
