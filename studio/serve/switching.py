"""Bringing a run behind an alias: checked or loaded into the running server first, so that the alias moves only where it can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.core.workspace import Workspace
from studio.serve.naming import name_runs
from studio.serve.state import StatePaths, choose_server

Say = Callable[[str], None]
NOT_RUNNING = "no server runs: the alias takes effect with the next start"


@dataclass(frozen=True)
class Brought:
    """A run that can stand behind an alias. model: name it is served under; run: ``name/time-id``."""

    model: str
    run: str


def bring(
    workspace: Workspace, reference: str, *, port: int | None = None, check: bool = True, say: Say = lambda _: None
) -> Brought:
    """Check that a run can be served; a running server loads it, and proves it.

    Args:
        reference: a run, or ``NAME=RUN`` for another name. port: which server, where there are several.
    Raises:
        UserError: no such run, or it cannot be served there.
        GateNotMetError: the server does not answer as the run does.
    """
    paths = StatePaths.of(workspace)
    server = choose_server(paths, port)
    (name, folder), *_ = name_runs(workspace, [reference])
    if server is None:
        from studio.serve.reference import look_over

        look_over(name, folder)
        say(NOT_RUNNING)
    else:
        name = load(workspace, name, folder, port=port, given="=" in reference, check=check, say=say)
    return Brought(name, f"{folder.parent.name}/{folder.name}")


def load(workspace: Workspace, name: str, folder: Path, *, port: int | None, given: bool, check: bool, say: Say) -> str:
    """Load a run into the running server unless it is there, prove it, and return the name it has there.

    Args:
        given: the name is a person's own, and may not be changed.
    Raises:
        UserError: it does not fit that server.
        GateNotMetError: the server does not answer as the run does; the alias stays where it was.
    """
    from studio.serve.hot import load_run_into

    server = choose_server(StatePaths.of(workspace), port)
    if server is None:
        return name
    place = load_run_into(server, workspace, name, folder, rename=not given, check=check, say=say)
    if place.parity is not None:
        say(place.parity.sentence())
    return place.name
