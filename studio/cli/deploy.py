"""``studio deploy``: a folder for the place where people will use a run; the places stand in ``studio.deploy.places``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli import output
from studio.core.errors import GateNotMetError, StudioError, UserError
from studio.core.telling import Told
from studio.deploy.places import Asked, Place, places

_PLACES = places()
_TO = f"Where to: {'; '.join(f'{name} ({place.what})' for name, place in _PLACES.items())}."
_STARTED = ", ".join(name for name, place in _PLACES.items() if place.starts)


def deploy(
    run: Annotated[
        str | None, typer.Argument(help="A run: its name (the newest), id, folder or 'last'; NAME=RUN names it.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help=_TO)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write; it must not exist. Default: deploy/NAME-PLACE.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", help="Server profile: a name (local, team) or a YAML file.")] = "team",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting of the profile, key=value.")] = None,
    check: Annotated[
        Path | None, typer.Option("--check", help="Check a folder written before, perhaps changed, and note it in its README.")
    ] = None,
    start: Annotated[
        bool, typer.Option("--run", help=f"Start it here once the folder is written and checked ({_STARTED}).")
    ] = False,
) -> None:
    """Write a folder for the place where people will use a run; nothing is started."""
    from studio.deploy.writing import check_target, default_folder, recheck, write_place

    if check is not None:
        if run is not None or to is not None or out is not None or start:
            raise UserError("--check FOLDER checks a folder that is there: give no run, --to, --out or --run with it.")
        _tell(*recheck(check, parse=parse_line, say=output.note), check)
        return
    if run is None or to is None:
        raise UserError(
            f"which run, and where to? studio deploy RUN --to PLACE; the newest run is 'last'. Places: {', '.join(_PLACES)}."
        )
    place, asked = _asked(run, to, profile, settings or [])
    if start and place.starts is None:
        raise UserError(f"--run starts nothing for --to {to}: it goes to another machine. Leave it out; it starts {_STARTED}.")
    if start and shutil.which(place.starts or "") is None:
        raise UserError(
            f"--run needs {place.starts}, which is not on this machine. Leave --run out: the folder can be taken to another."
        )
    target = check_target(out or default_folder(asked, to))
    _tell(*write_place(to, place, asked, target, parse=parse_line, say=output.note), target)
    if start:
        _start(place, asked, target)


def _tell(told: Told, whole: bool, folder: Path) -> None:
    """Print the result.

    Raises:
        GateNotMetError: a check failed.
    """
    output.tell(told)
    if not whole:
        raise GateNotMetError(f"{folder} does not pass every check; what failed stands above and in its README.md.")


def _asked(run: str, to: str, profile: str, settings: list[str]) -> tuple[Place, Asked]:
    """The place and what is to go there, refused before any work where it cannot."""
    from studio.core.content import find_content
    from studio.core.workspace import read_run
    from studio.deploy.places import place_for
    from studio.deploy.quoting import slug_of
    from studio.schema.loading import load_yaml
    from studio.schema.server import ServerProfile
    from studio.serve.aliases import check_name

    workspace = output.open_workspace()
    given, equals, reference = run.partition("=")
    folder = workspace.find_run(reference if equals else run)
    place = place_for(to, folder)
    record = read_run(folder)
    name = check_name(given if equals else record.name, "the name of a model; give one with NAME=RUN. A name")
    chosen = load_yaml(find_content("apps", profile), ServerProfile, settings)
    return place, Asked(folder, record, name, slug_of(name), workspace, chosen, profile, tuple(settings))


def _start(place: Place, asked: Asked, target: Path) -> None:
    """Start what was written, in the foreground; its words go to the terminal.

    Raises:
        StudioError: it failed.
    """
    written = place.write(asked, lambda _line: None)
    for words in place.prepares:
        output.note(f"$ {' '.join(words)}")
        _call(list(words), target, {})
    output.note(f"$ cd {target} && {' '.join(written.start)}")
    _call(list(written.start), target, dict(written.variables or {}))


def _call(words: list[str], folder: Path, variables: dict[str, str]) -> None:
    """Run a program in the folder; the studio that it may call is this one."""
    variables = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}", **variables}
    try:
        done = subprocess.run(words, cwd=folder, env={**os.environ, **variables}, check=False)
    except KeyboardInterrupt:
        # How a page that was started here is meant to end.
        output.note("stopped")
        return
    if done.returncode:
        raise StudioError(
            f"{words[0]} ended with {done.returncode}; what it said stands above. The folder stays as it is: {folder}"
        )


def parse_line(words: list[str]) -> str | None:
    """What is wrong with a command line of the studio, without running it; None when it is right."""
    from studio.cli.main import COMMANDS, load_command

    name, *rest = words
    if name not in COMMANDS:
        return f"unknown command {name!r}"
    command: Any = load_command(name)
    try:
        context = command.make_context(name, list(rest))
        if hasattr(command, "commands"):
            inner, under, left = command.resolve_command(context, [*context._protected_args, *context.args])
            under.make_context(inner, left, parent=context)
    except (typer.TyperException, StudioError) as error:
        return str(getattr(error, "message", None) or error)
    except typer.Exit:
        return None
    return None
