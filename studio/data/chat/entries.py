"""Conversations as pages show them."""

from __future__ import annotations

from pathlib import Path

from studio.data.chat.rows import ChatRow, RemovedRow, read_removed, read_split
from studio.data.chat.turns import shown_turn
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
    shown = [shown_turn(turn) for turn in row.turns]
    return Entry(row.id, shown, facts | _tools(row) | facts_of(row.meta), messages=row.turns, tools=row.tools)


def _tools(row: ChatRow) -> dict[str, str]:
    """The names of the tools that the assistant may call."""
    return {"tools": ", ".join(str(tool["function"].get("name")) for tool in row.tools)} if row.tools else {}


def _removed(gone: RemovedRow) -> Entry:
    """A removed conversation."""
    facts = {"found": gone.value, "allowed": gone.threshold, "repeats": gone.matched, "source": gone.row.source}
    return Entry(gone.row.id, [shown_turn(turn) for turn in gone.row.messages], given(facts), f"{gone.step}: {gone.reason}")
