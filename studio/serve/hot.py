"""Bringing a run into a server that is running: checked first, loaded by name, proven, and only then put behind an alias."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_run
from studio.serve.books import read_book
from studio.serve.client import Client
from studio.serve.folder import write_models
from studio.serve.parity import Parity, check_parity
from studio.serve.reference import prepare
from studio.serve.servable import Servable
from studio.serve.state import RunningServer, StatePaths


@dataclass(frozen=True)
class Loaded:
    """A run in a running server. parity: what its check saw, None without one."""

    name: str
    parity: Parity | None


def load_run_into(
    server: RunningServer,
    workspace: Workspace,
    name: str,
    folder: Path,
    *,
    rename: bool,
    check: bool,
    say: Callable[[str], None] = lambda _: None,
) -> Loaded:
    """Load a run's adapter into a server unless it is there already.

    Args:
        name: to serve it under. rename: add the run's id where the name belongs to another run.
        check: prove that the server answers as the run does.
    Raises:
        UserError: the run does not fit the server, or the name is taken.
        GateNotMetError: the server answers otherwise; no alias has been touched.
    """
    paths = StatePaths.of(workspace)
    client = Client(server.url, server.key)
    run = f"{folder.parent.name}/{folder.name}"
    state = client.get("/studio/state")[1]
    known = read_book(paths.server(server.port) / "models.json", {"models": {}})["models"]
    name = _name_for(name, run, folder, known, rename=rename)
    there = name in state["models"] and known.get(name, {}).get("run") == run
    # The accelerator belongs to the server now.
    prepared = prepare(
        [(name, folder)],
        cache=paths.references,
        max_lora_rank=server.max_lora_rank,
        dtype=server.dtype,
        check=check,
        device="cpu",
        say=say,
        merged=known.get(name, {}).get("path", "").endswith("/merged"),
    )
    servable = replace(prepared.served[0], name=name)
    must_fit(server, servable, there=there)
    if not there:
        write_models(paths.server(server.port) / "models.json", [servable], no_tools=server.no_tools)
        client.must("/studio/load", {"model": name})
        say(f"loaded {name} into the server on port {server.port}")
    parity = check_parity(client, name, prepared.references[name], tools=not server.no_tools) if check else None
    return Loaded(name, parity)


def _name_for(name: str, run: str, folder: Path, known: dict[str, dict[str, str]], *, rename: bool) -> str:
    """The name of a run in a server: the one it has there, the wanted one, or that with the run's id.

    Raises:
        UserError: the wanted name belongs to another run, and may not be changed.
    """
    if rename:
        for other, entry in known.items():
            if entry.get("run") == run:
                return other
    if name not in known or known[name].get("run") == run:
        return name
    if rename:
        return f"{name}-{read_run(folder).id}"
    raise UserError(f"{name!r} is {known[name].get('run', 'the base')} in the running server. Give another name: NAME=RUN")


def must_fit(server: RunningServer, servable: Servable, *, there: bool) -> None:
    """Refuse what this server cannot serve beside what it has.

    Raises:
        UserError: names the difference and the remedy.
    """
    remedy = "Start another server for it: studio serve RUN --set port=8001"
    if there:
        return
    if server.kind != "adapter" or servable.kind != "adapter":
        raise UserError(
            f"the server on port {server.port} and {servable.run} are not both adapters on one base, so it cannot be loaded "
            f"while running. {remedy}"
        )
    if servable.base["sha256"] != server.base_sha256:
        raise UserError(f"{servable.run} was trained on another base ({servable.base['name']}) than {server.base}. {remedy}")
    missing = sorted(set(servable.modules) - set(server.modules)) if server.modules is not None else []
    if missing:
        raise UserError(
            f"{servable.run} changes layers that the server on port {server.port} did not prepare "
            f"({', '.join(missing)}). {remedy}"
        )
    if servable.template_hash != server.template_hash:
        raise UserError(f"{servable.run} was trained with another chat template than the server uses. {remedy}")
