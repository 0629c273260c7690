"""``studio app``: open the studio in the browser, or one of its apps."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from studio.apps.catalogue import all_names, page_builder
from studio.cli.output import emit_json, json_wanted, note, open_workspace, say
from studio.core.translation import t


def app(
    name: Annotated[str | None, typer.Argument(help=f"{all_names()}; without one, the whole studio.")] = None,
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="Run, address of an OpenAI-compatible server (http://…), or a Dataset for data and annotate."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; one that others reach needs --accounts.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port; without it the first free one.")] = None,
    accounts: Annotated[
        Path | None, typer.Option("--accounts", help="File of lines 'name:password', readable by you alone: who may come in.")
    ] = None,
    hostname: Annotated[
        str | None, typer.Option("--hostname", help="Name under which a proxy on this machine offers the page; needs --accounts.")
    ] = None,
    guidelines: Annotated[
        str | None, typer.Option("--guidelines", help="annotate: a markdown file or a text, shown beside every row.")
    ] = None,
    suggest: Annotated[
        str | None,
        typer.Option("--suggest", help="annotate: run that predicts, or column, whose labels people confirm or change."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in this machine's browser.")] = False,
) -> None:
    """Open an app in the browser."""
    if name is None:
        _whole_studio(host, port, accounts, hostname, open_browser)
        return
    build = page_builder(name, reference, {"guidelines": guidelines, "suggest": suggest})
    from studio.apps.accounts import Accounts
    from studio.apps.frame import Door, launch

    door = Door(host, port, Accounts.read(accounts) if accounts else None, hostname, open_browser)
    serving = launch(build(open_workspace()), door)
    if json_wanted():
        emit_json({"app": name, "url": serving.url})
    else:
        say(f"{name}: {serving.url}")
        note(t("Ctrl-C ends it."))
    # Ctrl-C is how an app is meant to end.
    with suppress(KeyboardInterrupt):
        serving.wait()


def _whole_studio(host: str, port: int | None, accounts: Path | None, hostname: str | None, open_browser: bool) -> None:
    """Serve all pages on one address until Ctrl-C."""
    from studio.apps.accounts import Accounts
    from studio.pages.serving import Studio

    studio = Studio(open_workspace(), host=host, port=port, accounts=Accounts.read(accounts) if accounts else None, name=hostname)
    if json_wanted():
        emit_json({"app": None, "url": studio.url})
    else:
        say(f"studio: {studio.url}")
        note(t("Ctrl-C ends the page; what runs goes on. See: studio jobs list"))
    with suppress(KeyboardInterrupt):
        studio.run(open_browser=open_browser)


# What --help says; the names come from the catalogue.
app.__doc__ = f"Open the studio in the browser, or one app of it: {all_names()}. Ctrl-C ends it."
