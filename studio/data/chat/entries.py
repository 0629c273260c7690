"""Conversations as pages show them."""

from __future__ import annotations

from pathlib import Path

from studio.data.chat.rows import ChatRow, RemovedRow, read_removed, read_split
from studio.data.entries import REMOVED, Entry, facts_of, given


def chat_entries(folder: Path, part: str) -> list[Entry]:
    """Rows of one split of a finished Dataset, or its removed rows.

    Raises:
        StudioError: a file is missing or damaged.
    """
    if part == REMOVED:
        return [_removed(gone) for gone in read_removed(folder)]
    return [_row(row) for row in read_split(folder, part)]


def _row(row: ChatRow) -> Entry:
    """A conversation."""
    facts = {"source": row.source, **({"group": row.group} if row.group else {})}
    return Entry(row.id, row.turns, facts | facts_of(row.meta))


def _removed(gone: RemovedRow) -> Entry:
    """A removed conversation."""
    facts = {"found": gone.value, "allowed": gone.threshold, "repeats": gone.matched, "source": gone.row.source}
    return Entry(gone.row.id, gone.row.messages, given(facts), f"{gone.step}: {gone.reason}")
