"""Rows of a Dataset for the pages that show them, kept in memory and as HTML."""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping
from pathlib import Path

from studio.core.workspace import read_dataset
from studio.data.annotations.base import ANNOTATED, Item, all_items
from studio.data.entries import Entry
from studio.data.kinds import dataset_kind


@functools.lru_cache(maxsize=8)
def read_entries(folder: Path, part: str) -> tuple[Entry, ...]:
    """Rows of one split of a finished Dataset, or its removed rows. A finished Dataset never changes, so they are kept in memory.

    Raises:
        StudioError: a file is missing or damaged.
    """
    return tuple(dataset_kind(read_dataset(folder)).entries(folder, part))


@functools.lru_cache(maxsize=4)
def read_items(folder: Path) -> Mapping[str, Item]:
    """Rows of a finished Dataset that can be annotated, by id; kept in memory as above. Empty where its kind cannot be.

    Raises:
        StudioError: a file is missing or damaged.
    """
    return all_items(folder) if read_dataset(folder).kind in ANNOTATED else {}


def as_html(entry: Entry) -> str:
    """A row for a page: turns, facts and the reason. Everything in it is shown as the characters it is."""
    parts = [f'<p class="studio-reason">{html.escape(entry.reason)}</p>'] if entry.reason else []
    for turn in entry.turns:
        role = html.escape(turn["role"])
        parts.append(f'<div class="studio-turn studio-{role}"><span>{role}</span><div>{html.escape(turn["content"])}</div></div>')
    facts = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in entry.facts.items())
    return f'<article class="studio-entry">{"".join(parts)}<dl><dt>id</dt><dd>{html.escape(entry.id)}</dd>{facts}</dl></article>'
