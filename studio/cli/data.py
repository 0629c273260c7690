"""``studio data``: build a Dataset from a recipe, list what was built, and look into it row by row."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import output
from studio.core.errors import UserError, nearest

if TYPE_CHECKING:
    from studio.data.chat.rows import ChatRow, RemovedRow

app = typer.Typer(help="Build a Dataset from a recipe, and look into it.")

_PAGE = 10


@app.command("build")
def build(
    recipe: Annotated[str, typer.Argument(help="A recipe: its name (chat/construction-faq-en), short name, or a YAML file.")],
    set_values: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value of the recipe: --set split.test=100. May be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the Dataset, instead of the recipe's.")] = None,
) -> None:
    """Build a Dataset from a recipe; what was built before from the same bytes is found again."""
    from studio.core.content import find_content
    from studio.schema.image_recipe import ImageRecipe, load_recipe

    path = find_content("data_recipes", recipe)
    settings = load_recipe(path, set_values or [])
    workspace, called = output.open_workspace(), name or settings.name or path.stem
    if isinstance(settings, ImageRecipe):
        from studio.data.images.build import build_image_dataset

        outcome = build_image_dataset(settings, workspace, name=called, beside=path.parent, tell=output.note)
    else:
        from studio.data.chat.build import build_dataset

        outcome = build_dataset(settings, workspace, name=called, beside=path.parent, tell=output.note)
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
            ("report", outcome.folder / "report.html"),
            ("look", f"studio data show {record.name}"),
        ]
    )


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


@app.command("show")
def show(
    dataset: Annotated[str, typer.Argument(help="A Dataset: its name (the newest build), its fingerprint, or its folder.")],
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "train",
    removed: Annotated[bool, typer.Option("--removed", help="Rows that were dropped, with the reason.")] = False,
    row: Annotated[int | None, typer.Option("--row", help="Only this row, counted from 1.")] = None,
    identity: Annotated[str | None, typer.Option("--id", help="Only the row with this id.")] = None,
    page: Annotated[int, typer.Option("--page", min=1, help=f"Which page of {_PAGE} rows.")] = 1,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Rows as the model sees them: trained, masked and special tokens.")
    ] = False,
    model: Annotated[str, typer.Option("--model", help="Base model whose tokenizer is used.")] = "smollm2-135m-instruct",
    chat_template: Annotated[
        str | None, typer.Option("--chat-template", help="Template, instead of the tokenizer's own.")
    ] = None,
    train_on: Annotated[str, typer.Option("--train-on", help="assistant, last_assistant or all.")] = "assistant",
    max_length: Annotated[int | None, typer.Option("--max-length", min=1, help="Cut rows after so many tokens.")] = None,
) -> None:
    """Page through the rows of a Dataset: conversations (with --tokens as the model sees them), or a table of pictures."""
    from studio.core.workspace import read_dataset
    from studio.data.chat.rows import read_removed, read_split

    folder = output.open_workspace().find_dataset(dataset)
    if read_dataset(folder).kind == "image":
        if tokens:
            raise UserError(f"{read_dataset(folder).name} holds pictures; --tokens is for conversations. Leave it out.")
        from studio.cli.pictures import show_pictures

        show_pictures(folder, split, removed=removed, row=row, identity=identity, page=page)
        return
    if removed:
        rows: list[Any] = list(read_removed(folder))
        what = f"{read_dataset(folder).name}, removed"
    else:
        rows = list(read_split(folder, split))
        what = f"{read_dataset(folder).name}, {split}"
    if not rows:
        if output.json_wanted():
            output.emit_json([])
        output.say(f"{what}: no rows.")
        return
    chosen, first = _choose(rows, row, identity, page)
    if tokens:
        _show_tokens([_plain(item) for item in chosen], first, model, chat_template, train_on, max_length)
        return
    if output.json_wanted():
        output.emit_json([_as_json(item, first + offset) for offset, item in enumerate(chosen)])
        return
    from studio.cli.conversation import print_conversation, print_removed

    for offset, item in enumerate(chosen):
        number = f"{first + offset:,}/{len(rows):,}"
        (print_removed if removed else print_conversation)(item, f"{what} {number}")
    last = first + len(chosen) - 1
    if row is None and identity is None and last < len(rows) and sys.stdout.isatty():
        output.note(f"rows {first} to {last} of {len(rows):,}; next: --page {page + 1}")


def _choose(rows: list[Any], row: int | None, identity: str | None, page: int) -> tuple[list[Any], int]:
    """The rows asked for and the number of the first one, counted from 1."""
    if identity is not None:
        ids = [_plain(item).id for item in rows]
        if identity not in ids:
            raise UserError(f"there is no row {identity!r} here.{nearest(identity, ids)} Ids look like {ids[0]!r}.")
        position = ids.index(identity)
        return rows[position : position + 1], position + 1
    if row is not None:
        if not 1 <= row <= len(rows):
            raise UserError(f"there is no row {row}: rows go from 1 to {len(rows)}.")
        return rows[row - 1 : row], row
    start = (page - 1) * _PAGE
    if start >= len(rows):
        raise UserError(f"there is no page {page}: the last one is {(len(rows) - 1) // _PAGE + 1}.")
    return rows[start : start + _PAGE], start + 1


def _plain(item: ChatRow | RemovedRow) -> ChatRow:
    """The conversation of a kept or a removed row."""
    from studio.data.chat.rows import RemovedRow

    return item.row if isinstance(item, RemovedRow) else item


def _as_json(item: ChatRow | RemovedRow, number: int) -> dict[str, Any]:
    """A row as a plain value."""
    row = _plain(item)
    value: dict[str, Any] = {"row": number, "id": row.id, "source": row.source, "messages": row.messages}
    if item is row:
        answers = {"chosen": row.chosen, "rejected": row.rejected} if row.is_preference else {}
        return value | answers | {"group": row.group, "meta": row.meta}
    return value | {name: getattr(item, name) for name in ("step", "reason", "value", "threshold", "matched")}


def _show_tokens(
    rows: list[ChatRow], first: int, model: str, chat_template: str | None, train_on: str, max_length: int | None
) -> None:
    """Rows as the model sees them."""
    allowed = ("assistant", "last_assistant", "all")
    if train_on not in allowed:
        raise UserError(f"--train-on is {train_on!r}.{nearest(train_on, allowed)} Allowed: {', '.join(allowed)}.")
    from studio.cli.conversation import print_tokens
    from studio.models.bases import resolve_base
    from studio.models.chat.encoding import encode_conversation
    from studio.models.chat.loading import load_tokenizer
    from studio.models.chat.templates import choose_template

    tokenizer = load_tokenizer(resolve_base(model))
    template = choose_template(tokenizer, chat_template, model)
    encoded = [
        encode_conversation(tokenizer, template, row.messages, train_on=train_on, max_length=max_length)  # type: ignore[arg-type]
        for row in rows
    ]
    if output.json_wanted():
        output.emit_json(
            [
                {
                    "row": first + offset,
                    "id": row.id,
                    "tokens": tokenizer.convert_ids_to_tokens(item.input_ids),
                    "input_ids": item.input_ids,
                    "trained": item.trained,
                    "cut": item.cut,
                }
                for offset, (row, item) in enumerate(zip(rows, encoded, strict=True))
            ]
        )
        return
    for offset, (row, item) in enumerate(zip(rows, encoded, strict=True)):
        print_tokens(tokenizer, item, f"{row.id} (row {first + offset})", legend=offset == 0)
