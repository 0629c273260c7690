"""Under which names runs are served, and which runs the aliases bring along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from studio.core.errors import StudioError, UserError
from studio.core.workspace import Workspace, read_run
from studio.serve.aliases import check_name, list_aliases, list_canaries
from studio.serve.kinds import check_kind
from studio.serve.state import StatePaths


def name_runs(workspace: Workspace, runs: list[str]) -> list[tuple[str, Path]]:
    """Run folders with the names they are served under: the run's own, with its id where two would be alike, or NAME=RUN.

    Raises:
        UserError: no such run, a name that cannot be used, or one given twice.
    """
    found: list[tuple[str, Path]] = []
    for text in runs:
        name, equals, reference = text.partition("=")
        folder = workspace.find_run(reference if equals else text)
        record = read_run(folder)
        check_kind(record, f"{folder.parent.name}/{folder.name}")
        taken = {known for known, _ in found}
        own = record.name if record.name not in taken else f"{record.name}-{record.id}"
        chosen = name if equals else own
        check_name(chosen, "the name of a model; give one with NAME=RUN. A name")
        if chosen in taken or folder in [other for _, other in found]:
            raise UserError(f"{text!r} is given twice. Name each run once, under a name of its own.")
        found.append((chosen, folder))
    return found


def with_aliased(
    named: list[tuple[str, Path]], workspace: Workspace, paths: StatePaths, *, merged: bool, warn: Callable[[str], None]
) -> list[tuple[str, Path]]:
    """The runs, and those that aliases stand for or try, so that a restart keeps what was promoted.

    Raises:
        UserError: a run would be served under an alias's name.
    """
    aliases = list_aliases(paths.aliases)
    first = read_run(named[0][1])
    tried = [(alias, {"model": one.model, "run": one.run}) for alias, one in list_canaries(paths.aliases).items()]
    for alias, now in [*aliases.items(), *tried]:
        if alias in {name for name, _ in named}:
            raise UserError(
                f"{alias!r} is an alias (of {now['model']}), so no run can be served under it. Give another: NAME=RUN"
            )
        if now["model"] in {name for name, _ in named}:
            continue
        try:
            folder = workspace.find_run(now["run"])
            other = read_run(folder)
        except StudioError:
            warn(f"{alias} stands for {now['run']}, which is gone: {alias} is not served.")
            continue
        chats = first.kind == other.kind == "chat"
        fits = chats and first.method != "full" and other.method != "full" and not merged
        if not fits or other.base.get("sha256") != first.base.get("sha256") or folder in [known for _, known in named]:
            warn(f"{alias} stands for {now['model']} ({now['run']}), which is not served here: {alias} answers 404.")
            continue
        named = [*named, (now["model"], folder)]
    return named
