"""Who reads a page and what they may do: accounts, a signed cookie, a token for everything that changes something."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from studio.apps.accounts import ROLES, Accounts
from studio.core.errors import StudioError
from studio.core.files import write_text
from studio.core.workspace import Workspace

COOKIE, TOKEN = "studio-visitor", "token"
# A working week; whoever comes back later signs in again.
TRIES, WAIT_SECONDS = 5, 60.0
"""So many wrong passwords for a name, then nobody signs in under it for so long."""
COOKIE_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Visitor:
    """Who asks. name: the account, empty on a page without accounts. token: what their forms carry. fresh: the cookie that their
    browser has to be given, for which the token holds; None where it has one.
    """

    name: str
    role: str
    token: str
    fresh: str | None = None

    def may(self, role: str) -> bool:
        """True when they may do what a role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Doorkeeper:
    """Tells who asks. Its secret lies in the workspace, so that a page that starts anew still knows its people."""

    def __init__(self, workspace: Workspace, accounts: Accounts | None) -> None:
        """``accounts`` None lets everyone in who reaches the address, to do everything."""
        self.accounts = accounts
        self._wrong: dict[str, list[float]] = {}
        self._lock = threading.Lock()
        self._secret = _secret(workspace.root / "jobs" / ".secret")

    def visitor(self, request: Request) -> Visitor | None:
        """Who asks, or None for somebody who has to sign in first."""
        cookie = request.cookies.get(COOKIE, "")
        if self.accounts is None:
            # Each browser has a token of its own, which no other page can know.
            if self._signed(cookie, ""):
                return Visitor("", "administer", self._token(cookie))
            fresh = self._cookie("")
            return Visitor("", "administer", self._token(fresh), fresh)
        name = self._name(cookie)
        return Visitor(name, self.accounts.role(name), self._token(cookie)) if name is not None else None

    def signs_in(self, name: str, password: str) -> bool | None:
        """Whether name and password are right; None, without looking, for a name that was tried too often a moment ago.

        Who knows a name may hold its owner up for a minute, and nobody may guess more than a few passwords in that time.
        """
        now = time.monotonic()
        with self._lock:
            tried = [moment for moment in self._wrong.get(name, []) if now - moment < WAIT_SECONDS]
            if len(tried) >= TRIES:
                return None
            # Counted before it is known: many at once are many tries.
            self._wrong[name] = [*tried, now]
            for other in [other for other, moments in self._wrong.items() if now - moments[-1] >= WAIT_SECONDS]:
                del self._wrong[other]
        right = self.accounts is not None and self.accounts.check(name, password)
        if right:
            with self._lock:
                self._wrong.pop(name, None)
        return right

    def cookie(self, name: str) -> str:
        """What the browser of a person who signed in keeps."""
        return self._cookie(name)

    def _name(self, cookie: str) -> str | None:
        """The account of a cookie; None when it is not ours, too old, or its password was changed."""
        try:
            name = base64.urlsafe_b64decode(cookie.partition(".")[0]).decode("utf-8")
        except ValueError:
            return None
        known = self.accounts is not None and name in self.accounts.hashes
        return name if known and self._signed(cookie, name) else None

    def _cookie(self, name: str) -> str:
        """``name.expiry.random.signature``."""
        head = base64.urlsafe_b64encode(name.encode()).decode()
        body = f"{head}.{int(time.time()) + COOKIE_SECONDS}.{secrets.token_urlsafe(9)}"
        return f"{body}.{self._sign(body)}"

    def _signed(self, cookie: str, name: str) -> bool:
        """True for a cookie that we gave to this name and that is not too old."""
        body, _, signature = cookie.rpartition(".")
        parts = body.split(".")
        if len(parts) != 3 or not hmac.compare_digest(signature, self._sign(body)):
            return False
        head = base64.urlsafe_b64encode(name.encode()).decode()
        return parts[0] == head and parts[1].isdigit() and int(parts[1]) > time.time()

    def _token(self, cookie: str) -> str:
        """The token of a browser's forms."""
        return self._sign(f"token {cookie}")

    def _sign(self, text: str) -> str:
        """Signature of a text."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def _secret(file: Path) -> bytes:
    """The secret that signs cookies, made at the first start; readable by this user only.

    Where the workspace cannot be written, it lives as long as the process.
    """
    try:
        if not file.is_file():
            write_text(file, secrets.token_hex(32))
            file.chmod(0o600)
        return bytes.fromhex(file.read_text(encoding="utf-8").strip())
    except (OSError, StudioError, ValueError):
        return os.urandom(32)
