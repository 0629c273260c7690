"""Rows of a Dataset in one form for the pages that show them, be they conversations or pictures, kept or removed."""

from __future__ import annotations

import functools
import html
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.workspace import read_dataset
from studio.data.chat.rows import ChatRow, RemovedRow, facts_of, read_removed, read_split
from studio.data.images.rows import ImageRow, RemovedImage, open_image, read_image_split, read_removed_images

if TYPE_CHECKING:
    from PIL import Image

REMOVED = "removed"
_SHOWN = 140


@dataclass(frozen=True)
class Entry:
    """One row.

    turns: role and text, in order (a picture's caption is a turn of its own). facts: everything else, in words. reason: why it
    was removed, else empty. picture: opens the picture, None for conversations.
    """

    id: str
    turns: list[dict[str, str]]
    facts: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    picture: Callable[[], Image.Image] | None = None

    @property
    def text(self) -> str:
        """What a search looks through."""
        return "\n".join([self.id, *(turn["content"] for turn in self.turns), *self.facts.values(), self.reason]).casefold()

    @property
    def question(self) -> str:
        """The first thing asked, shortened."""
        return _short(next((turn["content"] for turn in self.turns if turn["role"] == "user"), ""))

    @property
    def answer(self) -> str:
        """The last thing answered, or a picture's caption, shortened."""
        spoken = [turn["content"] for turn in self.turns if turn["role"] not in {"user", "system"}]
        return _short(spoken[-1] if spoken else "")


@functools.lru_cache(maxsize=8)
def read_entries(folder: Path, part: str) -> tuple[Entry, ...]:
    """Rows of one split of a finished Dataset, or its removed rows. A finished Dataset never changes, so they are kept in memory.

    Raises:
        StudioError: a file is missing or damaged.
    """
    pictures = read_dataset(folder).kind == "image"
    if part == REMOVED and pictures:
        return tuple(_removed_picture(gone) for gone in read_removed_images(folder))
    if part == REMOVED:
        return tuple(_removed_row(gone) for gone in read_removed(folder))
    if pictures:
        return tuple(_picture(folder, row) for row in read_image_split(folder, part))
    return tuple(_row(row) for row in read_split(folder, part))


def _row(row: ChatRow) -> Entry:
    """A conversation."""
    facts = {"source": row.source, **({"group": row.group} if row.group else {})}
    return Entry(row.id, row.turns, facts | facts_of(row.meta))


def _removed_row(gone: RemovedRow) -> Entry:
    """A removed conversation."""
    facts = {"found": gone.value, "allowed": gone.threshold, "repeats": gone.matched, "source": gone.row.source}
    return Entry(gone.row.id, gone.row.messages, _given(facts), f"{gone.step}: {gone.reason}")


def _picture(folder: Path, row: ImageRow) -> Entry:
    """A picture."""
    facts = {
        "label": row.label,
        "group": row.group,
        "pixels": f"{row.width} x {row.height}",
        "bucket": row.bucket,
        "source": row.source,
        "file": row.image,
    }
    said = [{"role": "caption", "content": row.caption}]
    return Entry(row.id, said, _given(facts) | facts_of(row.meta), "", _opener(folder, row))


def _opener(folder: Path, row: ImageRow) -> Callable[[], Image.Image]:
    """Opens the picture of a row when it is looked at."""
    return lambda: open_image(folder, row)


def _removed_picture(gone: RemovedImage) -> Entry:
    """A removed picture with the thumbnail that was kept."""
    facts = {"found": gone.value, "allowed": gone.threshold, "repeats": gone.matched, "file": gone.file, "source": gone.source}
    said = [{"role": "caption", "content": gone.caption}] if gone.caption else []
    return Entry(gone.id, said, _given(facts), f"{gone.step}: {gone.reason}", lambda: _thumbnail(gone.thumbnail))


def _thumbnail(data: bytes | None) -> Image.Image:
    """A kept thumbnail, or a grey field where the picture could not be decoded."""
    from PIL import Image

    return Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB") if data else Image.new("RGB", (96, 96), "#9ca3af")


def _given(facts: dict[str, str | None]) -> dict[str, str]:
    """Facts that are there."""
    return {name: value for name, value in facts.items() if value}


def _short(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN].rstrip()} …"


def as_html(entry: Entry) -> str:
    """A row for a page: turns, facts and the reason. Everything in it is shown as the characters it is."""
    parts = [f'<p class="studio-reason">{html.escape(entry.reason)}</p>'] if entry.reason else []
    for turn in entry.turns:
        role = html.escape(turn["role"])
        parts.append(f'<div class="studio-turn studio-{role}"><span>{role}</span><div>{html.escape(turn["content"])}</div></div>')
    facts = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in entry.facts.items())
    return f'<article class="studio-entry">{"".join(parts)}<dl><dt>id</dt><dd>{html.escape(entry.id)}</dd>{facts}</dl></article>'
