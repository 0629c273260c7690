"""API keys: one per person, only hashes kept, effective without a restart. Standard library only.

A key is 256 random bits, so a plain SHA-256 of it cannot be searched; a slow password hash would only slow down the server.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from studio.core.errors import UserError, nearest
from studio.serve.books import Watched, changing, read_book

Role = Literal["client", "operator"]

PREFIX = "studio"
_USER = re.compile(r"[^\W_][\w.@+-]{0,63}")
EMPTY: dict[str, Any] = {"format": 1, "keys": []}


@dataclass(frozen=True)
class Key:
    """One key as it is kept: ``id`` is its public part, ``sha256`` the hash of the whole."""

    id: str
    user: str
    role: Role
    sha256: str
    created: str
    revoked: str | None = None


def hash_key(key: str) -> str:
    """Hex sha256 of a key as it is sent."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def make_key(user: str, role: Role = "client") -> tuple[str, Key]:
    """A new key and what is kept of it.

    Raises:
        UserError: the name cannot stand in a list, a log and a metric.
    """
    if not _USER.fullmatch(user):
        raise UserError(
            f"{user!r} cannot be the name of a key: give letters, digits and . _ @ + -, at most 64, "
            "beginning with a letter or digit."
        )
    identity = secrets.token_hex(4)
    text = f"{PREFIX}-{identity}-{secrets.token_urlsafe(32)}"
    return text, Key(identity, user, role, hash_key(text), datetime.now(UTC).isoformat(timespec="seconds"))


def add_key(path: Path, user: str, role: Role = "client") -> tuple[str, Key]:
    """Make a key and keep its hash; the key itself is only in the answer.

    Raises:
        UserError: the name cannot be used.
        StudioError: the file is damaged or cannot be written.
    """
    text, key = make_key(user, role)
    with changing(path, {"format": 1, "keys": []}) as book:
        book["keys"].append(vars(key))
    return text, key


def list_keys(path: Path) -> list[Key]:
    """All keys, revoked ones too, oldest first."""
    return [_key(entry) for entry in read_book(path, EMPTY)["keys"]]


def revoke_keys(path: Path, name: str) -> list[Key]:
    """Revoke the key of an id, or all keys of a user; returns those that were in force.

    Raises:
        UserError: nobody has that id or name, or all of it is revoked already.
    """
    known = list_keys(path)
    meant = [key for key in known if name in {key.id, key.user}]
    if not meant:
        names = sorted({part for key in known for part in (key.id, key.user)})
        raise UserError(f"there is no key {name!r}.{nearest(name, names)} See: studio serve keys list")
    living = {key.id for key in meant if key.revoked is None}
    if not living:
        raise UserError(f"{name!r} has been revoked already ({meant[-1].revoked}).")
    when = datetime.now(UTC).isoformat(timespec="seconds")
    with changing(path, {"format": 1, "keys": []}) as book:
        for entry in book["keys"]:
            if entry["id"] in living:
                entry["revoked"] = when
    return [key for key in meant if key.id in living]


def forget_keys(path: Path, user: str) -> int:
    """Take every record of a user's keys away, so that they open nothing and the name is gone; returns how many there were."""
    count = sum(key.user == user for key in list_keys(path))
    if count:
        with changing(path, {"format": 1, "keys": []}) as book:
            book["keys"] = [entry for entry in book["keys"] if entry["user"] != user]
    return count


class KeyReader:
    """Who a key belongs to, for the guard: the file's keys that are not revoked, and those given at the start."""

    def __init__(self, path: Path, fixed: list[Key]) -> None:
        """``fixed`` are keys that no file holds (of the session, of the command line)."""
        self._fixed = {key.sha256: key for key in fixed}
        self._file = Watched(path, self._in_force, EMPTY)

    def find(self, text: str) -> Key | None:
        """The key behind what was sent, None when it is unknown or revoked.

        The look-up is by hash: what an attacker learns from its time is about a hash he cannot choose.
        """
        digest = hash_key(text)
        return self._fixed.get(digest) or self._file.value().get(digest)

    @staticmethod
    def _in_force(book: Any) -> dict[str, Key]:
        """Hash to key, revoked ones left out."""
        return {key.sha256: key for key in map(_key, book["keys"]) if key.revoked is None}


def _key(entry: dict[str, Any]) -> Key:
    """A key from its JSON; keys of a newer studio's JSON that are not known are left aside."""
    return Key(**{name: entry[name] for name in Key.__dataclass_fields__ if name in entry})
