"""The places that a run can be deployed to, found through one table; the command line names none of them.

A place writes a folder and runs nothing. Nothing here, nor the modules that the table names, imports a heavy library before a
folder is written: help texts are made of what a place says of itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from studio.core.errors import UserError, nearest
from studio.core.records import RunRecord
from studio.core.registry import Registry
from studio.core.workspace import Workspace, read_run
from studio.schema.server import ServerProfile

Say = Callable[[str], None]
PORT = 8000
"""Where the server listens in its container."""

PLACES = Registry(
    "place",
    {
        "compose": "studio.deploy.compose:Compose",
        "kubernetes": "studio.deploy.kubernetes:Kubernetes",
        "ray": "studio.deploy.ray:RayServe",
        "skypilot": "studio.deploy.skypilot:SkyPilot",
        "lambda": "studio.deploy.aws_lambda:Lambda",
        "space": "studio.deploy.space:Space",
        "ollama": "studio.deploy.ollama:Ollama",
        "jetson": "studio.deploy.boards:Jetson",
        "pi": "studio.deploy.boards:RaspberryPi",
        "android": "studio.deploy.android:Android",
        "systemd": "studio.deploy.systemd:Systemd",
    },
)
"""Name of a place to the class that writes its folder, in the order of the help."""


@dataclass(frozen=True)
class Asked:
    """What is to be deployed. name: what clients call the model; slug: the same as a DNS label, for services and images."""

    run_folder: Path
    record: RunRecord
    name: str
    slug: str
    workspace: Workspace
    profile: ServerProfile
    profile_name: str
    settings: tuple[str, ...] = ()
    """``key=value`` of ``--set``, for a command line that starts the same server."""

    @property
    def run(self) -> str:
        """``name/time-id``."""
        return f"{self.run_folder.parent.name}/{self.run_folder.name}"


@dataclass(frozen=True)
class Written:
    """A folder's content before it is written.

    files: text by path. begin: Markdown of the README on how it is set going. limits: what nobody has run or validated here.
    facts: name and value, for the record and the README. start: the command that ``--run`` starts in the folder. variables: for
    it. front: what stands at the README's very top, where another program reads it.
    """

    files: Mapping[str, str]
    begin: str
    limits: tuple[str, ...]
    facts: Mapping[str, Any]
    start: tuple[str, ...] = ()
    variables: Mapping[str, str] | None = None
    front: str = ""
    executable: tuple[str, ...] = ()


class Place(ABC):
    """One place: what the help says of it, which runs it holds, and its folder."""

    what: ClassVar[str]
    """What is written, as the help of ``studio deploy`` lists it."""
    kinds: ClassVar[tuple[str, ...]]
    """Kinds of Runs that it can hold; a run of another kind is refused before any work."""
    starts: ClassVar[str | None] = None
    """The program that ``--run`` needs on this machine; None where nothing can be started from here."""
    prepares: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Commands that ``--run`` runs in the folder first."""

    @abstractmethod
    def write(self, asked: Asked, say: Say) -> Written:
        """The content of the folder.

        Raises:
            UserError: this run cannot go there as it is; one sentence with the remedy.
        """


def places() -> dict[str, Place]:
    """Every place by its name, in the order of the table."""
    return {name: PLACES.get(name)() for name in PLACES.in_order()}


def place_for(name: str, run_folder: Path) -> Place:
    """The place of a name, for a run.

    Raises:
        UserError: there is no such place, it holds no runs of this kind (those that do are named), or the run is not finished.
    """
    known = places()
    if name not in known:
        raise UserError(f"cannot deploy to {name!r}.{nearest(name, known)} Allowed: {', '.join(known)}.")
    record = read_run(run_folder)
    run = f"{run_folder.parent.name}/{run_folder.name}"
    if record.kind not in known[name].kinds:
        ours = [other for other, place in known.items() if record.kind in place.kinds]
        instead = f"Allowed for it: {', '.join(ours)}." if ours else "No place holds runs of this kind yet."
        raise UserError(
            f"--to {name} holds runs of kind {', '.join(map(repr, known[name].kinds))}, and {run} is of kind {record.kind!r}. "
            f"{instead}"
        )
    if record.status != "finished":
        raise UserError(f"the run {run} is not finished (status: {record.status}). Finish it: studio train --resume {run}")
    return known[name]
