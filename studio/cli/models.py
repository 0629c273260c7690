"""``studio models``: the starter models, and fetching a base model before it is needed."""

from __future__ import annotations

from typing import Annotated

import typer

from studio.cli import output

app = typer.Typer(help="List and fetch base models.")


@app.command("list")
def list_models() -> None:
    """List the starter models, and whether each is already here."""
    from studio.core.files import folder_size
    from studio.models.starters import ALL_STARTERS, starter_folder
    from studio.models.weights import manifest_of

    found = []
    for starter in ALL_STARTERS.values():
        folder = starter_folder(starter.name)
        manifest = manifest_of(folder)
        found.append(
            {
                "name": starter.name,
                "title": starter.title,
                "use": starter.use,
                "parameters": starter.parameters,
                "licence": starter.licence,
                "hub_id": starter.hub_id,
                "here": bool(manifest),
                "folder": folder if manifest else None,
                "source": manifest.get("source"),
                "bytes": folder_size(folder) if manifest else None,
                "download": starter.download,
            }
        )
    if output.json_wanted():
        output.emit_json(found)
        return
    output.table(
        ["name", "use", "parameters", "licence", "here", "what it is"],
        [
            [
                one["name"],
                one["use"],
                f"{int(str(one['parameters'])) / 1e6:.0f} M",
                one["licence"],
                output.size_text(float(str(one["bytes"]))) if one["here"] else f"no, up to {output.size_text(starter.download)}",
                one["title"],
            ]
            for one, starter in zip(found, ALL_STARTERS.values(), strict=True)
        ],
        right=["parameters"],
    )
    output.say(
        "\nWherever a model is asked for, a Hub id (owner/name), a name on ModelScope (ms:owner/name) or a local folder of\n"
        "safetensors does as well."
    )


@app.command("pull")
def pull(
    name: Annotated[
        str,
        typer.Argument(
            help="A starter, a Hub id (owner/name), a name on ModelScope (ms:owner/name), or a local folder to check."
        ),
    ],
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or (on the Hub) commit; the main branch when left out.")
    ] = None,
) -> None:
    """Fetch a base model, convert it if needed, and check it, so that it can be used without a network."""
    from studio.core.files import folder_size
    from studio.models.bases import resolve_base

    base = resolve_base(name, revision, use=None)
    if output.json_wanted():
        output.emit_json(base.record() | {"bytes": folder_size(base.folder)})
        return
    output.say(f"{base.name} is here and whole ({output.size_text(folder_size(base.folder))}).")
    output.pairs(
        [("folder", base.folder), ("revision", base.revision), ("sha256", base.sha256), ("licence", base.licence or "not stated")]
    )
