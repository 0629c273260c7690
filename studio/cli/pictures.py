"""``studio data show`` for pictures: a table of rows, and where the contact sheet is."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from studio.cli import output
from studio.core.errors import UserError, nearest
from studio.core.workspace import read_dataset
from studio.data.images.rows import ImageRow, RemovedImage, read_image_split, read_removed_images

_PAGE = 20
_SHOWN = 60


def show_pictures(folder: Path, split: str, *, removed: bool, row: int | None, identity: str | None, page: int) -> None:
    """Print rows of one split, or removed rows.

    Raises:
        UserError: no such split, row, id or page.
    """
    rows: list[Any] = list(read_removed_images(folder) if removed else read_image_split(folder, split))
    name = read_dataset(folder).name
    chosen, first = _choose(rows, row, identity, page)
    if output.json_wanted():
        output.emit_json([_as_json(item, folder, first + offset) for offset, item in enumerate(chosen)])
        return
    if removed:
        output.table(
            ["row", "id", "step", "reason", "value", "matched", "caption"],
            [
                [first + offset, item.id, item.step, item.reason, _cut(item.value), item.matched or "", _cut(item.caption)]
                for offset, item in enumerate(chosen)
            ],
            right=["row"],
            empty=f"{name}: nothing was removed.",
        )
    else:
        output.table(
            ["row", "id", "caption", "label", "pixels", "bucket", "group", "image"],
            [
                [
                    first + offset,
                    item.id,
                    _cut(item.caption),
                    item.label or "",
                    f"{item.width}x{item.height}",
                    item.bucket or "",
                    item.group or "",
                    item.image,
                ]
                for offset, item in enumerate(chosen)
            ],
            right=["row"],
        )
    output.pairs([("folder", folder), ("contact sheet", folder / "report.html")])
    last = first + len(chosen) - 1
    if row is None and identity is None and last < len(rows) and sys.stdout.isatty():
        output.note(f"rows {first} to {last} of {len(rows):,}; next: --page {page + 1}")


def _choose(rows: list[Any], row: int | None, identity: str | None, page: int) -> tuple[list[Any], int]:
    """The rows asked for and the number of the first one, counted from 1."""
    if identity is not None:
        ids = [item.id for item in rows]
        if identity not in ids:
            like = f" Ids look like {ids[0]!r}." if ids else ""
            raise UserError(f"there is no row {identity!r} here.{nearest(identity, ids)}{like}")
        return [rows[ids.index(identity)]], ids.index(identity) + 1
    if row is not None:
        if not 1 <= row <= len(rows):
            raise UserError(f"there is no row {row}: rows go from 1 to {len(rows)}.")
        return [rows[row - 1]], row
    start = (page - 1) * _PAGE
    if start and start >= len(rows):
        raise UserError(f"there is no page {page}: the last one is {max(0, len(rows) - 1) // _PAGE + 1}.")
    return rows[start : start + _PAGE], start + 1


def _cut(text: str | None) -> str:
    """A cell of a table."""
    text = text or ""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _as_json(item: ImageRow | RemovedImage, folder: Path, number: int) -> dict[str, Any]:
    """A row as a plain value, without the thumbnail's bytes."""
    value = {"row": number, **asdict(item)}
    value.pop("thumbnail", None)
    return value | ({"path": str(folder / item.image)} if isinstance(item, ImageRow) else {})
