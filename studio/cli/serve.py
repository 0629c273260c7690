"""``studio serve``: an OpenAI-compatible endpoint on vLLM, its keys, and what its aliases stand for."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from studio.cli import output

if TYPE_CHECKING:
    from studio.core.workspace import Workspace
    from studio.models.vllm_environment import BuildName, Environment
    from studio.schema.server import ServerProfile
    from studio.serve.launch import Server
    from studio.serve.reference import Prepared
    from studio.serve.state import RunningServer, StatePaths

_START = "start"


class ServeGroup(typer.core.TyperGroup):
    """``studio serve RUN`` is short for ``studio serve start RUN``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name in front of what is not one."""
        if args and args[0] not in self.commands and args[0] not in {"--help", "-h"} and not ctx.resilient_parsing:
            args = [_START, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ServeGroup,
    help="Serve runs through vLLM, OpenAI-compatible. 'studio serve RUN' is short for 'studio serve start RUN'.",
)


@app.command(_START)
def start(
    runs: Annotated[list[str] | None, typer.Argument(help="Runs to serve, each under its name; NAME=RUN gives another.")] = None,
    profile: Annotated[str, typer.Option("--profile", help="Server profile: a name (local, team) or a YAML file.")] = "local",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting of the profile, key=value.")] = None,
    merged: Annotated[bool, typer.Option("--merged", help="Serve the merged model inside the run, not its adapter.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only prove that the server answers as the run does, then stop.")
    ] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Start without that proof.")] = False,
    install: Annotated[bool, typer.Option("--install", help="Install vLLM for this machine into a folder of its own.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="With --install: make the folder anew even when it is whole.")] = False,
) -> None:
    """Serve runs: checks before, proof after, then the URL and examples to paste."""
    from studio.core.content import find_content
    from studio.core.errors import UserError
    from studio.models.vllm_environment import install_environment, wanted_build
    from studio.schema.loading import load_yaml
    from studio.schema.server import ServerProfile

    chosen = load_yaml(find_content("apps", profile), ServerProfile, settings or [])
    build = wanted_build() if chosen.build == "auto" else chosen.build
    if install:
        made = install_environment(build, say=output.note, anew=anew)
        if not runs:
            _tell_environment(made)
            return
    if not runs:
        raise UserError("which run? studio serve RUN [RUN...]; the newest is 'last'. Runs: studio runs list")
    if check and no_check:
        raise UserError("--check proves and stops, --no-check leaves the proof out: give one of them.")
    _serve(runs, chosen, build, merged=merged, check=not no_check, only_check=check)


def _serve(runs: list[str], profile: ServerProfile, build: BuildName, *, merged: bool, check: bool, only_check: bool) -> None:
    """Prepare, start, prove, tell, watch, end."""
    from studio.core.errors import UserError
    from studio.models.vllm_environment import find_environment
    from studio.serve.command import check_flags
    from studio.serve.keys import list_keys
    from studio.serve.launch import Place, start_server
    from studio.serve.naming import name_runs, with_aliased
    from studio.serve.parsers import parsers_of
    from studio.serve.reference import prepare
    from studio.serve.state import StatePaths, free_port, is_loopback

    workspace = output.open_workspace()
    named = name_runs(workspace, runs)  # before a look for vLLM: who mistypes a name should not install it first
    environment = find_environment(build)
    workspace.check_writable()
    paths = StatePaths.of(workspace)
    check_flags(profile.vllm, environment.flags, f"{environment.package} {environment.version}")
    if not is_loopback(profile.host):
        profile = profile.model_copy(update={"session_key": False})
        if not any(key.revoked is None for key in list_keys(paths.keys)):
            raise UserError(
                f"{profile.host} can be reached by others, and there is no key yet. Make one: studio serve keys add NAME"
            )
    feedback = _feedback_file(workspace, profile)
    named = with_aliased(named, workspace, paths, merged=merged, warn=output.warn)
    place = Place(paths, profile.host, free_port(profile.host, profile.port), feedback)
    prepared = prepare(
        named,
        cache=paths.references,
        merged=merged,
        max_lora_rank=profile.max_lora_rank,
        dtype=profile.dtype,
        check=check,
        say=output.note,
    )
    for note in [note for servable in prepared.served for note in servable.notes]:
        output.note(f"note: {note}")
    parsers = parsers_of(prepared.served[0], environment)
    if any(parsers.told):
        output.note(f"tools     {parsers.told[0]}\nthoughts  {parsers.told[1]}")
    if prepared.served[0].pools and profile.record != "none":
        raise UserError(f"record: {profile.record} keeps questions and answers, and {runs[0]} gives none. Use --set record=none.")
    server = start_server(place, prepared, profile, environment, _session_user(), parsers)
    server.catch_signals()
    try:
        server.wait_ready(profile.start_timeout)
        proofs = _prove(server, prepared) if check else []
        if only_check:
            if output.json_wanted():
                output.emit_json({"parity": proofs})
            return
        server.open(output.note)
        _tell(server, prepared, proofs, paths)
        server.watch()
    finally:
        server.stop(output.note)
    output.note("stopped")


def _session_user() -> str:
    """Whose the session's key is: this account, where it has a name that a key may have."""
    from studio.core.errors import UserError
    from studio.serve.keys import make_key

    try:
        user = getpass.getuser()
        make_key(user)
    except (UserError, OSError, KeyError):
        return "session"
    return user


def _feedback_file(workspace: Workspace, profile: ServerProfile) -> Path:
    """The feedback file; made now when requests are to be written down, so that a broken one is known before the start.

    Raises:
        UserError: texts are asked for and the file has not been told to keep them.
    """
    from studio.core.errors import UserError
    from studio.feedback.store import FILE_NAME, FeedbackStore

    path = workspace.root / FILE_NAME
    if profile.record != "none":
        store = FeedbackStore(path)
        kept = store.settings().keep_texts
        store.close()
        if profile.record == "texts" and not kept:
            raise UserError(
                f"record: texts would keep people's words, and {path} has not been told to. Switch it on there first "
                "(studio feedback settings --texts), or use --set record=figures."
            )
    return path


def _prove(server: Server, prepared: Prepared) -> list[Any]:
    """The parity check of every run that is served: answers, with tools where the server takes them, or vectors and scores."""
    from studio.core.errors import GateNotMetError, InterruptedRunError, StudioError
    from studio.core.progress import Progress
    from studio.serve.parity import check_parity
    from studio.serve.vectors import check_vectors

    proofs: list[Any] = []
    tools, pools = not server.record.no_tools, prepared.served[0].pools

    def counted(done: int) -> None:
        if server.stopping:
            raise InterruptedRunError("stopped during the check.")
        server.must_live("during the check")
        progress.advance(done)

    total = sum(len(reference["rows"]) for reference in prepared.references.values())
    try:
        with Progress("parity", total, "texts" if pools else "conversations") as progress:
            for name, reference in prepared.references.items():
                if pools:
                    proofs.append(check_vectors(server.client, name, reference, advance=counted))
                else:
                    proofs.append(check_parity(server.client, name, reference, tools=tools, advance=counted))
    except (GateNotMetError, InterruptedRunError):
        raise
    except StudioError:
        server.blame("during the check")
        raise
    for proof in proofs:
        output.note(proof.sentence())
    return proofs


def _tell(server: Server, prepared: Prepared, proofs: list[Any], paths: StatePaths) -> None:
    """Print the address, the names, and examples that work as pasted."""
    from studio.serve.aliases import list_aliases
    from studio.serve.examples import examples

    aliases = {name: now["model"] for name, now in list_aliases(paths.aliases).items() if now["model"] in server.models}
    key = server.session_key or "$STUDIO_API_KEY"
    shown = examples(prepared, server.record.url, key, server.models[0])
    if output.json_wanted():
        output.emit_json(
            {
                "url": server.record.url,
                "openai_base_url": f"{server.record.url}/v1",
                "models": server.models,
                "base": server.base,
                "aliases": aliases,
                "key": server.session_key,
                "log": server.log,
                "parity": proofs,
                "curl": shown[0],
                "python": shown[1],
            }
        )
        return
    output.say()
    output.pairs(
        [
            ("url", f"{server.record.url}/v1"),
            ("models", ", ".join(server.models + ([f"{server.base} (the base)"] if server.base else []))),
            *([("aliases", ", ".join(f"{alias} = {model}" for alias, model in aliases.items()))] if aliases else []),
            ("key", f"{server.session_key} (this session's)" if server.session_key else "made with: studio serve keys add NAME"),
            ("log", server.log),
        ]
    )
    if server.session_key is None:
        output.say("\nPut your key into the environment first: export STUDIO_API_KEY=...")
    output.say(f"\nIn a shell:\n\n{shown[0]}\n\nIn Python (pip install openai):\n\n{shown[1]}\n\nCtrl-C ends it.")


def _tell_environment(made: Environment) -> None:
    """Say what was installed where."""
    if output.json_wanted():
        output.emit_json({"python": made.python, "build": made.build, "package": made.package, "version": made.version})
        return
    output.say(f"{made.package} {made.version} ({made.build} build, torch {made.torch}) is installed: {made.python.parents[1]}")
    output.say("Serve a run: studio serve last")


@app.command("keys")
def keys(
    action: Annotated[str, typer.Argument(help="add, list or revoke.")],
    user: Annotated[str | None, typer.Argument(help="Who the key is for; to revoke, also the id of one key.")] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="The key may also read /metrics and load promoted runs, without limits.")
    ] = False,
) -> None:
    """Make, list and revoke API keys. Only hashes are kept; a running server takes changes at once."""
    from studio.core.errors import UserError, nearest
    from studio.serve.keys import add_key, list_keys, revoke_keys
    from studio.serve.state import StatePaths

    path = StatePaths.of(output.open_workspace()).keys
    if action == "list":
        known = list_keys(path)
        if output.json_wanted():
            output.emit_json([{name: value for name, value in vars(key).items() if name != "sha256"} for key in known])
            return
        rows = [[key.id, key.user, key.role, key.created, key.revoked] for key in known]
        output.table(
            ["id", "user", "role", "created", "revoked"], rows, empty="No keys yet. Make one: studio serve keys add NAME"
        )
        return
    if action not in {"add", "revoke"}:
        raise UserError(f"keys {action!r}?{nearest(action, ['add', 'list', 'revoke'])} Allowed: add NAME, list, revoke NAME.")
    if user is None:
        raise UserError(f"whose key? studio serve keys {action} NAME")
    if action == "add":
        text, key = add_key(path, user, "operator" if operator else "client")
        if output.json_wanted():
            output.emit_json({"key": text, "id": key.id, "user": key.user, "role": key.role})
            return
        output.note(f"The {key.role} key of {user}; it is shown this once, only its hash is kept:")
        output.say(text)
        return
    gone = revoke_keys(path, user)
    if output.json_wanted():
        output.emit_json([{"id": key.id, "user": key.user} for key in gone])
    else:
        output.say(f"Revoked: {', '.join(f'{key.id} ({key.user})' for key in gone)}.")


@app.command("promote")
def promote(
    run: Annotated[str, typer.Argument(help="Run to put behind the alias; NAME=RUN gives the model's name.")],
    alias: Annotated[str, typer.Option("--as", help="The alias that clients ask for.")] = "production",
    port: Annotated[int | None, typer.Option("--port", help="Which running server, where there are several.")] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Switch without the proof that the server answers as the run.")
    ] = False,
) -> None:
    """Let an alias stand for a run from the next request on; a running server loads it first, and proves it."""
    from studio.serve.aliases import check_name, promote
    from studio.serve.naming import name_runs
    from studio.serve.state import StatePaths, choose_server

    check_name(alias, "an alias")
    workspace = output.open_workspace()
    paths = StatePaths.of(workspace)
    server = choose_server(paths, port)
    (name, folder), *_ = name_runs(workspace, [run])
    if server is None:
        from studio.serve.reference import prepare

        prepare([(name, folder)], cache=paths.references, check=False)
        output.note("no server runs: the alias takes effect with the next start")
    else:
        name = _load_into(server, workspace, name, folder, given="=" in run, check=not no_check)
    before = promote(paths.aliases, alias, name, f"{folder.parent.name}/{folder.name}")
    _tell_switch(alias, name, before)


@app.command("rollback")
def rollback(
    alias: Annotated[str, typer.Option("--as", help="The alias to take back.")] = "production",
    port: Annotated[int | None, typer.Option("--port", help="Which running server, where there are several.")] = None,
) -> None:
    """Let an alias stand for what it stood for before; a running server loads that first where it has to."""
    from studio.serve.aliases import previous, rollback
    from studio.serve.state import StatePaths, choose_server

    workspace = output.open_workspace()
    paths = StatePaths.of(workspace)
    server = choose_server(paths, port)
    back = previous(paths.aliases, alias)
    if server is not None:
        _load_into(server, workspace, back["model"], workspace.find_run(back["run"]), given=True, check=False)
    left, now = rollback(paths.aliases, alias)
    _tell_switch(alias, now, left)


def _load_into(server: RunningServer, workspace: Workspace, name: str, folder: Path, *, given: bool, check: bool) -> str:
    """Load a run into a running server unless it is there, prove it, and return the name it has there.

    Raises:
        UserError: it does not fit that server.
        GateNotMetError: the server does not answer as the run does; the alias stays where it was.
    """
    from studio.serve.hot import load_run_into

    place = load_run_into(server, workspace, name, folder, rename=not given, check=check, say=output.note)
    if place.parity is not None:
        output.note(place.parity.sentence())
    return place.name


def _tell_switch(alias: str, now: str, before: str | None) -> None:
    """Say what the alias stands for now."""
    if output.json_wanted():
        output.emit_json({"alias": alias, "model": now, "before": before})
    else:
        output.say(f"{alias} = {now}" + (f" (was {before}; studio serve rollback takes it back)" if before else ""))
