"""Who may open an app that others can reach: a file of names and passwords, and what each may do in the browser's studio."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from studio.core.errors import UserError, nearest

# One of the equivalent settings of OWASP's password storage cheat sheet; it keeps a login at 16 MB of memory.
_SCRYPT = {"n": 2**14, "r": 8, "p": 5}
_SHORTEST_PASSWORD = 8

ROLES = ("look", "talk", "train", "administer")
"""What people may do, each including what stands before it: read; talk, rate and label; train, build and evaluate; serve and
delete."""
USUAL_ROLE = "talk"
"""Of accounts that stand under no heading."""


@dataclass(frozen=True)
class Accounts:
    """Names with hashes of their passwords; the passwords themselves are not kept in memory. ``roles``: those not as usual."""

    salt: bytes
    hashes: dict[str, bytes]
    roles: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, passwords: dict[str, str], roles: dict[str, str] | None = None) -> Accounts:
        """Accounts from names and passwords.

        Raises:
            UserError: there is none, or a password is too short.
        """
        if not passwords:
            raise UserError("no account was given. Write at least one line 'name:password'.")
        for name, password in passwords.items():
            if len(password) < _SHORTEST_PASSWORD:
                raise UserError(f"the password of {name!r} is too short: use at least {_SHORTEST_PASSWORD} characters.")
        salt = os.urandom(16)
        return cls(salt, {name: _hash(password, salt) for name, password in passwords.items()}, roles or {})

    @classmethod
    def read(cls, path: Path) -> Accounts:
        """Accounts from a file of lines ``name:password``; empty lines and lines that start with ``#`` are passed over.

        A line ``[role]`` is a heading: the accounts below it have that role.

        Raises:
            UserError: no such file, others may read it, or a line is not of this form (named by its number).
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the file of accounts {path} cannot be read ({error}).") from error
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            raise UserError(f"others on this machine can read {path}, which holds passwords. Change that: chmod 600 {path}")
        passwords, roles, role = {}, {}, USUAL_ROLE
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if text.startswith("[") and text.endswith("]"):
                role = _role(text[1:-1].strip(), f"{path}:{number}")
                continue
            name, colon, password = text.partition(":")
            if not (name.strip() and colon and password):
                raise UserError(f"{path}:{number}: is neither 'name:password' nor a heading such as [train].")
            passwords[name.strip()], roles[name.strip()] = password, role
        return cls.of(passwords, roles)

    def role(self, name: str) -> str:
        """What a person may do."""
        return self.roles.get(name, USUAL_ROLE)

    def check(self, name: str, password: str) -> bool:
        """True for a known name with its password; an unknown name takes as long as a wrong password."""
        known = self.hashes.get(name, b"")
        return hmac.compare_digest(known, _hash(password, self.salt))


def _hash(password: str, salt: bytes) -> bytes:
    """Slow hash of a password."""
    return hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)


def _role(name: str, place: str) -> str:
    """A role by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in ROLES:
        raise UserError(f"{place}: there is no role {name!r}.{nearest(name, ROLES)} Allowed: {', '.join(ROLES)}.")
    return name
