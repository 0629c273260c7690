"""Who may open an app that others can reach: a file of names and passwords."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import UserError

# One of the equivalent settings of OWASP's password storage cheat sheet; it keeps a login at 16 MB of memory.
_SCRYPT = {"n": 2**14, "r": 8, "p": 5}
_SHORTEST_PASSWORD = 8


@dataclass(frozen=True)
class Accounts:
    """Names with hashes of their passwords; the passwords themselves are not kept in memory."""

    salt: bytes
    hashes: dict[str, bytes]

    @classmethod
    def of(cls, passwords: dict[str, str]) -> Accounts:
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
        return cls(salt, {name: _hash(password, salt) for name, password in passwords.items()})

    @classmethod
    def read(cls, path: Path) -> Accounts:
        """Accounts from a file of lines ``name:password``; empty lines and lines that start with ``#`` are passed over.

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
        passwords: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, colon, password = line.strip().partition(":")
            if not (name.strip() and colon and password):
                raise UserError(f"{path}:{number}: is not 'name:password'.")
            passwords[name.strip()] = password
        return cls.of(passwords)

    def check(self, name: str, password: str) -> bool:
        """True for a known name with its password; an unknown name takes as long as a wrong password."""
        known = self.hashes.get(name, b"")
        return hmac.compare_digest(known, _hash(password, self.salt))


def _hash(password: str, salt: bytes) -> bytes:
    """Slow hash of a password."""
    return hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT)
