"""Who may not use the servers of a workspace, whatever keys they hold; in force with the next request. Standard library only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.core.errors import UserError, nearest
from studio.serve.books import Watched, changing, read_book

FILE_NAME = "blocked.json"
"""Beside ``keys.json``."""
EMPTY: dict[str, Any] = {"format": 1, "users": {}}


def block(path: Path, user: str, why: str | None = None) -> None:
    """Refuse a user from the next request on.

    Raises:
        UserError: they are blocked already.
    """
    with changing(path, {"format": 1, "users": {}}) as book:
        if user in book["users"]:
            raise UserError(f"{user!r} has been blocked already ({book['users'][user]['since']}).")
        book["users"][user] = {"since": datetime.now(UTC).isoformat(timespec="seconds"), "why": why}


def unblock(path: Path, user: str) -> None:
    """Let a user in again.

    Raises:
        UserError: they are not blocked.
    """
    known = list_blocked(path)
    if user not in known:
        raise UserError(f"{user!r} is not blocked.{nearest(user, known)} Blocked: {', '.join(sorted(known)) or 'nobody'}.")
    with changing(path, {"format": 1, "users": {}}) as book:
        book["users"].pop(user, None)


def list_blocked(path: Path) -> dict[str, dict[str, str | None]]:
    """User to ``since`` and ``why``."""
    return dict(read_book(path, EMPTY)["users"])


def blocked_reader(path: Path) -> Watched[frozenset[str]]:
    """Blocked users, for the guard."""
    return Watched(path, lambda book: frozenset(book["users"]), EMPTY)
