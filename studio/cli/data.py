"""``studio data``: look at a file, build a Dataset from a recipe, list what was built, and look into it row by row."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import output
from studio.cli.options import with_kinds_options
from studio.core.errors import UserError
from studio.data.kinds import EXAMPLE_RECIPE, all_dataset_kinds

if TYPE_CHECKING:
    from studio.data.kinds import DatasetKind
    from studio.data.workers import Hire

app = typer.Typer(help="Build a Dataset from a recipe, and look into it.")


@app.command("build")
def build(
    recipe: Annotated[str, typer.Argument(help=f"A recipe: its name ({EXAMPLE_RECIPE}), short name, or a YAML file.")],
    set_values: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value of the recipe: --set split.test=100. May be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the Dataset, instead of the recipe's.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="'here', or 'ray' for processes of a Ray cluster.")] = "here",
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="A Ray cluster that runs, HOST:PORT, instead of RAY_ADDRESS.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, help="Processes that help at once, instead of one per processor.")
    ] = None,
) -> None:
    """Build a Dataset from a recipe; what was built before from the same bytes is found again."""
    from studio.core.content import find_content
    from studio.data.kinds import load_recipe
    from studio.data.page import REPORT_FILE

    path = find_content("data_recipes", recipe)
    kind, settings = load_recipe(path, set_values or [])
    called = name or getattr(settings, "name", None) or path.stem
    hire = _helpers(engine, ray_address, processes)
    told: Any = {"name": called, "beside": path.parent, "tell": output.note}
    workspace = output.open_workspace()
    outcome = kind.build_with(settings, workspace, **told, hire=hire) if hire else kind.build(settings, workspace, **told)
    record = outcome.record
    for remark in outcome.notes:
        output.warn(remark)
    if output.json_wanted():
        output.emit_json({"folder": str(outcome.folder), "cached": outcome.cached, "reused": outcome.reused, "record": record})
        return
    sizes = ", ".join(f"{split} {rows:,}" for split, rows in record.splits.items())
    added = (record.model_extra or {}).get("rows_added", 0)
    more = f"{added:,} copies added; " if added else ""
    output.say(f"{'found unchanged' if outcome.cached else 'built'}: {record.name}/{record.fingerprint}")
    output.pairs(
        [
            ("rows", f"{record.rows_read:,} read, {record.rows_removed:,} removed; {more}{sizes}"),
            ("folder", outcome.folder),
            *([("report", outcome.folder / REPORT_FILE)] if (outcome.folder / REPORT_FILE).is_file() else []),
            ("look", f"studio data show {record.name}"),
        ]
    )


def _helpers(engine: str, address: str | None, processes: int | None) -> Hire | None:
    """Who helps with a build; None for what the kind does by itself.

    Raises:
        UserError: there is no such engine, or an address without Ray. MissingExtraError: Ray is not installed.
    """
    from studio.core.ray_cluster import wants_ray

    if not wants_ray(engine):
        if address is not None:
            raise UserError(f"--ray-address {address} needs --engine ray. Add it, or leave the address out.")
        if processes is None:
            return None
        from studio.data.workers import hire_here

        return partial(hire_here, count=processes)
    from studio.data.ray_workers import hire_on_ray

    return hire_on_ray(address or os.environ.get("RAY_ADDRESS") or None, processes, output.note)


@app.command("look")
def look(
    place: Annotated[str, typer.Argument(help="A file or a folder.", metavar="FILE|FOLDER")],
    recipe: Annotated[bool, typer.Option("--recipe", help="Print the proposed recipe and nothing else.")] = False,
    to: Annotated[str | None, typer.Option("--to", help="Write the proposed recipe into this file; none is overwritten.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Propose a recipe of this kind only.")] = None,
) -> None:
    """Look at a file or folder: what it is, what stands in it, and the recipe that reads it."""
    from pathlib import Path

    from studio.data.looking import look_at, proposed_text, told_of, write_recipe

    looked = look_at(Path(place).expanduser(), kind)
    if to is not None:
        write_recipe(looked, Path(to).expanduser())
        output.note(f"written: {to}. Build it: studio data build {to}")
    if recipe and not output.json_wanted():
        output.say(proposed_text(looked).rstrip())
    elif to is None or output.json_wanted():
        output.tell(told_of(looked))


@app.command("card")
def card(
    dataset: Annotated[str, typer.Argument(help="A Dataset: its name (the newest build), its fingerprint, or its folder.")],
) -> None:
    """Print the data card of a Dataset, as its README.md has it: what hubs read, from the record of the build alone."""
    from studio.core.workspace import read_dataset
    from studio.data.card import card_text

    text = card_text(read_dataset(output.open_workspace().find_dataset(dataset)))
    if output.json_wanted():
        output.emit_json({"card": text})
        return
    output.say(text.rstrip())


@app.command("list")
def list_datasets() -> None:
    """List the Datasets of the workspace, newest first, and the recipes that can be built."""
    from studio.core.content import list_content
    from studio.core.workspace import read_dataset

    workspace = output.open_workspace()
    records = [(folder, read_dataset(folder)) for folder in workspace.list_datasets()]
    recipes = list(list_content("data_recipes"))
    if output.json_wanted():
        datasets = [
            {"folder": str(folder), **record.model_dump(mode="json", exclude={"recipe", "steps"})} for folder, record in records
        ]
        output.emit_json({"datasets": datasets, "recipes": recipes})
        return
    output.table(
        ["name", "fingerprint", "kind", "train", "validation", "test", "removed", "licence", "created"],
        [
            [
                record.name,
                record.fingerprint,
                record.kind,
                *(record.splits.get(split, 0) for split in ("train", "validation", "test")),
                record.rows_removed,
                ", ".join(dict.fromkeys(source.licence or "-" for source in record.sources)),
                record.created,
            ]
            for _, record in records
        ],
        right=["train", "validation", "test", "removed"],
        empty=f"No datasets in {workspace.datasets} yet.",
    )
    output.say(f"Recipes: {', '.join(recipes) or 'none'}. Build one: studio data build RECIPE")


@app.command("prune")
def prune(
    older: Annotated[
        float | None, typer.Option("--older", min=0, help="Also what is this many days old and no Dataset here is made of.")
    ] = None,
    used: Annotated[
        bool, typer.Option("--used", help="With --older: also what Datasets are made of, and crawls that were stopped.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it, all that is kept is only listed.")] = False,
) -> None:
    """See and delete web pages and fetched files that are kept in the cache, which all workspaces share."""
    from studio.core.workspace import cache_folder
    from studio.data.kept_files import kept_items, remove_kept

    if used and older is None:
        raise UserError("--used says that the age alone decides, so give an age: --older DAYS (0 takes everything).")
    items = kept_items(cache_folder(), output.open_workspace(), older=older, used=used)
    going = [item for item in items if item.goes]
    total = sum(item.bytes for item in going)
    if yes:
        remove_kept(cache_folder(), going)
    if output.json_wanted():
        told = [{"what": item.what, "bytes": item.bytes, "goes": item.goes, "stays": item.stays or None} for item in items]
        output.emit_json({"deleted": yes, "bytes": total, "items": told})
        return
    rows = [
        [item.what, "goes" if item.goes else "stays", item.goes or item.stays, output.size_text(item.bytes)] for item in items
    ]
    output.table(["what", "", "why", "size"], rows, right=["size"], empty="No web pages and no fetched files are kept.")
    if going and yes:
        output.say(f"Deleted {len(going)}, {output.size_text(total)} ({total} bytes).")
    elif going:
        output.say(f"Would delete {len(going)}, {output.size_text(total)} ({total} bytes). Do it: add --yes")


def show(
    dataset: Annotated[str, typer.Argument(help="A Dataset: its name (the newest build), its fingerprint, or its folder.")],
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "train",
    removed: Annotated[bool, typer.Option("--removed", help="Rows that were dropped, with the reason.")] = False,
    row: Annotated[int | None, typer.Option("--row", help="Only this row, counted from 1.")] = None,
    identity: Annotated[str | None, typer.Option("--id", help="Only the row with this id.")] = None,
    page: Annotated[int, typer.Option("--page", min=1, help="Which page of 10 rows.")] = 1,
    **options: Any,
) -> None:
    """Page through the rows of a Dataset: conversations (with --tokens as the model sees them), or a table of pictures."""
    from studio.core.workspace import read_dataset
    from studio.data.kinds import Wanted, dataset_kind

    folder = output.open_workspace().find_dataset(dataset)
    record = read_dataset(folder)
    kind = dataset_kind(record)
    _refuse_foreign(kind, options, record.name)
    own = {option.name: options[option.name] for option in kind.options}
    output.tell(kind.show(folder, Wanted(split, removed, row, identity, page), **own))


def _refuse_foreign(kind: DatasetKind, options: dict[str, Any], name: str) -> None:
    """Refuse an option that only rows of another kind have.

    Raises:
        UserError: says whose it is.
    """
    from studio.data.kinds import all_dataset_kinds

    for other in all_dataset_kinds():
        for option in other.options:
            if option not in kind.options and options[option.name] != option.default:
                raise UserError(f"{name} holds {kind.rows}; {option.flag} is for {other.rows}. Leave it out.")


app.command("show")(with_kinds_options(show, all_dataset_kinds()))
