"""Pictures on a terminal: a table of rows, and where the contact sheet is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from studio.core.telling import Pairs, Table, Told
from studio.core.workspace import read_dataset
from studio.data.images.rows import ImageRow, RemovedImage, read_image_split, read_removed_images
from studio.data.kinds import Wanted
from studio.data.showing import choose, next_page

PAGE = 20
_SHOWN = 60


def show_pictures(folder: Path, wanted: Wanted) -> Told:
    """Rows of one split, or removed rows.

    Raises:
        UserError: no such split, row, id or page.
    """
    rows: Sequence[Any] = read_removed_images(folder) if wanted.removed else read_image_split(folder, wanted.split)
    chosen, first = choose(rows, wanted, page=PAGE, id_of=lambda item: str(item.id))
    name = read_dataset(folder).name
    table = _removed(chosen, first, name) if wanted.removed else _kept(chosen, first)
    places = Pairs([("folder", folder), ("contact sheet", folder / "report.html")])
    document = [_as_json(item, folder, first + offset) for offset, item in enumerate(chosen)]
    return Told((table, places, *next_page(wanted, first, len(chosen), len(rows))), document)


def _removed(rows: Sequence[RemovedImage], first: int, name: str) -> Table:
    """Removed pictures with the reason."""
    return Table(
        ["row", "id", "step", "reason", "value", "matched", "caption"],
        [
            [first + offset, item.id, item.step, item.reason, _cut(item.value), item.matched or "", _cut(item.caption)]
            for offset, item in enumerate(rows)
        ],
        right=["row"],
        empty=f"{name}: nothing was removed.",
    )


def _kept(rows: Sequence[ImageRow], first: int) -> Table:
    """Pictures of a split."""
    return Table(
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
            for offset, item in enumerate(rows)
        ],
        right=["row"],
    )


def _cut(text: str | None) -> str:
    """A cell of a table."""
    text = text or ""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _as_json(item: ImageRow | RemovedImage, folder: Path, number: int) -> dict[str, Any]:
    """A row as a plain value, without the thumbnail's bytes."""
    value = {"row": number, **asdict(item)}
    value.pop("thumbnail", None)
    return value | ({"path": str(folder / item.image)} if isinstance(item, ImageRow) else {})
