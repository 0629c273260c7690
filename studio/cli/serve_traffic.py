"""Who is answered by what: a model on trial, users that are blocked, users that are forgotten."""

from __future__ import annotations

from typing import Annotated

import typer

from studio.cli import output


def canary(
    run: Annotated[str | None, typer.Argument(help="Run to try behind the alias; NAME=RUN gives the model's name.")] = None,
    share: Annotated[float, typer.Option("--share", help="Share of people, or of conversations, that it answers.")] = 0.1,
    by: Annotated[
        str, typer.Option("--by", help="What keeps its side: user (of the key and the request), or conversation.")
    ] = "user",
    end: Annotated[bool, typer.Option("--end", help="End the trial: the alias stands for its model alone again.")] = False,
    alias: Annotated[str, typer.Option("--as", help="The alias that clients ask for.")] = "production",
    port: Annotated[int | None, typer.Option("--port", help="Which running server, where there are several.")] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Begin without the proof that the server answers as the run.")
    ] = False,
) -> None:
    """Try a run on a share of those who ask for an alias; without a run, say what is on trial."""
    from studio.core.errors import UserError
    from studio.serve.aliases import check_canary, end_canary, list_aliases, list_canaries, start_canary
    from studio.serve.state import StatePaths

    workspace = output.open_workspace()
    path = StatePaths.of(workspace).aliases
    if end:
        if run is not None:
            raise UserError("--end ends what is on trial, whatever it is: leave the run out.")
        gone = end_canary(path, alias)
        told = {"alias": alias, "ended": gone.model, "model": list_aliases(path)[alias]["model"]}
        if output.json_wanted():
            output.emit_json(told)
        else:
            output.say(f"{alias} = {told['model']} alone; {gone.model} was tried")
        return
    if run is not None:
        check_canary(path, alias, share, by)
        from studio.serve.switching import bring

        found = bring(workspace, run, port=port, check=not no_check, say=output.note)
        start_canary(path, alias, found.model, found.run, share=share, by=by)
    known = list_canaries(path)
    if output.json_wanted():
        output.emit_json({name: vars(one) for name, one in known.items()})
        return
    rows = [[name, one.model, one.run, f"{one.share:.0%}", one.by, one.since] for name, one in known.items()]
    output.table(["alias", "on trial", "run", "share", "by", "since"], rows, empty="Nothing is on trial.")


def block(
    user: Annotated[str | None, typer.Argument(help="Whose keys are refused, as 'studio serve keys list' names them.")] = None,
    why: Annotated[str | None, typer.Option("--why", help="A note for yourself.")] = None,
) -> None:
    """Refuse a user at once, whatever keys they hold or get; without one, list who is blocked."""
    from studio.core.errors import UserError, nearest
    from studio.serve.blocked import block, list_blocked
    from studio.serve.keys import list_keys
    from studio.serve.state import StatePaths

    paths = StatePaths.of(output.open_workspace())
    if user is None:
        known = list_blocked(paths.blocked)
        if output.json_wanted():
            output.emit_json(known)
            return
        rows = [[name, entry["since"], entry["why"]] for name, entry in sorted(known.items())]
        output.table(["user", "since", "why"], rows, empty="Nobody is blocked.")
        return
    names = sorted({key.user for key in list_keys(paths.keys)} | set(_users_kept()))
    if user not in names:
        raise UserError(f"nobody is called {user!r}: no key, and nothing written down.{nearest(user, names)}")
    block(paths.blocked, user, why)
    if output.json_wanted():
        output.emit_json({"user": user, "blocked": True})
    else:
        output.say(f"{user} is refused from the next request on, and what they say trains nothing (studio serve unblock {user})")


def unblock(user: Annotated[str, typer.Argument(help="Whom to let in again.")]) -> None:
    """Let a blocked user in again."""
    from studio.serve.blocked import unblock
    from studio.serve.state import StatePaths

    unblock(StatePaths.of(output.open_workspace()).blocked, user)
    if output.json_wanted():
        output.emit_json({"user": user, "blocked": False})
    else:
        output.say(f"{user} is let in again")


def forget(
    user: Annotated[str, typer.Argument(help="A user of the server: the name of their keys.")],
) -> None:
    """Delete what is kept of a user: requests with their words, thumbs, corrections, and the record of their keys."""
    from studio.core.errors import UserError, nearest
    from studio.feedback.store import FILE_NAME, FeedbackStore
    from studio.serve.blocked import list_blocked
    from studio.serve.keys import forget_keys, list_keys
    from studio.serve.state import StatePaths

    workspace = output.open_workspace()
    paths, kept = StatePaths.of(workspace), _users_kept()
    holders = {key.user for key in list_keys(paths.keys)}
    if user not in {*kept, *holders}:
        raise UserError(f"nothing is kept of {user!r}.{nearest(user, sorted({*kept, *holders}))} See: studio feedback users")
    keys = forget_keys(paths.keys, user)
    deleted = FeedbackStore(workspace.root / FILE_NAME).forget(user) if user in kept else {}
    blocked = user in list_blocked(paths.blocked)
    if output.json_wanted():
        output.emit_json({"user": user, "deleted": {**deleted, "keys": keys}, "blocked": blocked})
        return
    counts = [f"{count} {table}" for table, count in {**deleted, "keys": keys}.items() if count]
    output.say(f"forgot {user}: {', '.join(counts) or 'nothing'} deleted; their keys open nothing any more")
    if blocked:
        output.note(f"{user} stays blocked, and so their name is kept there: studio serve unblock {user} takes it away.")
    output.note("Datasets, rounds and exports made before still hold copies: build them again, and remove the old ones.")


def _users_kept() -> list[str]:
    """Of whom the feedback file holds something; nobody without one."""
    from studio.feedback.store import FILE_NAME, FeedbackStore

    path = output.open_workspace().root / FILE_NAME
    return FeedbackStore(path).users() if path.is_file() else []
