"""JSON and files over HTTP with nothing but the standard library: time limits, resumed downloads, hashes checked before use."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.files import disk_errors, sha256_file
from studio.core.progress import Progress

ANSWER_SECONDS = 20.0
ATTEMPTS = 4
_CHUNK = 1 << 20
_LONGEST_ANSWER = 64 << 20


class Unreachable(Exception):  # noqa: N818 - a state, told in a sentence by whoever asked
    """Nobody answered, or the connection broke off."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow to where files are kept, but never from an encrypted address to an open one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.URLError(f"it leads from https to {newurl[:80]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def ask_json(address: str, query: dict[str, str], *, cookie: str | None = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON object that an address answers; an answer that is no JSON object is an empty one.

    Raises:
        Unreachable: no answer, or one of a server that is out of order (status 5xx or 429).
    """
    try:
        with _open(f"{address}?{urllib.parse.urlencode(query)}" if query else address, cookie) as response:
            status, body = response.status, response.read(_LONGEST_ANSWER)
    except urllib.error.HTTPError as error:
        if error.code >= 500 or error.code == 429:
            raise Unreachable(f"it answers {error.code} {error.reason}") from error
        status, body = error.code, error.read(_LONGEST_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(_reason(error)) from error
    try:
        value = json.loads(body)
    except ValueError:
        value = {}
    return status, value if isinstance(value, dict) else {}


def fetch_file(address: str, partial: Path, target: Path, *, size: int, sha256: str | None, cookie: str | None = None) -> None:
    """Download a file, going on where an earlier attempt broke off, and move it to its place once it is the right one.

    Args:
        partial: where the half file is kept between attempts, also of other processes one after the other.
        size, sha256: bytes and hash that were promised; without a hash the size decides.
    Raises:
        Unreachable: the connection broke off too often; the half file stays.
        StudioError: the file is not the one that was promised (it is removed), or the disk is full.
    """
    with disk_errors(target.name, target.parent), Progress(f"fetch {target.name}", size >> 20, "MB") as bar:
        partial.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(ATTEMPTS):
            try:
                _go_on(address, partial, size, cookie, bar)
                break
            except Unreachable:
                if attempt == ATTEMPTS - 1:
                    raise
        _check(partial, target.name, size, sha256)
        partial.replace(target)


def _go_on(address: str, partial: Path, size: int, cookie: str | None, bar: Progress) -> None:
    """Append what is missing to a half file; a server that cannot begin in the middle is read from the start."""
    have = partial.stat().st_size if partial.is_file() else 0
    if have >= size and partial.is_file():
        return
    try:
        response = _open(address, cookie, have)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(_reason(error)) from error
    with response, partial.open("ab" if response.status == 206 else "wb") as sink:
        while sink.tell() <= size and (chunk := _read(response)):
            before = sink.tell() >> 20
            sink.write(chunk)
            bar.advance((sink.tell() >> 20) - before)
        if sink.tell() < size:
            raise Unreachable(f"it ended after {sink.tell():,} of {size:,} bytes")


def _read(response: Any) -> bytes:
    """The next piece; what the network does meanwhile is told apart from what the disk does."""
    try:
        piece: bytes = response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(_reason(error)) from error
    return piece


def _check(partial: Path, name: str, size: int, sha256: str | None) -> None:
    """Compare with what was promised; a file that differs is removed, or every later attempt would begin with it.

    Raises:
        StudioError: it differs.
    """
    found = partial.stat().st_size
    wrong = f"{found:,} bytes instead of {size:,}" if found != size else ""
    if not wrong and sha256 and (actual := sha256_file(partial)) != sha256:
        wrong = f"sha256 {actual[:16]}… instead of {sha256[:16]}…"
    if wrong:
        partial.unlink()
        raise StudioError(f"{name} came with {wrong} and was removed: it is damaged or changed meanwhile. Run the command again.")


def _open(address: str, cookie: str | None, start: int = 0) -> Any:
    """Ask for an address, from a byte on; the cookie goes to that host alone, not to where it redirects."""
    request = urllib.request.Request(address, headers={"User-Agent": "finetuning-studio"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    if cookie:
        request.add_unredirected_header("Cookie", cookie)
    return urllib.request.build_opener(_Redirects).open(request, timeout=ANSWER_SECONDS)


def _reason(error: BaseException) -> str:
    """First line of an error, short enough to stand inside a sentence."""
    inner = getattr(error, "reason", None)
    text = str(inner if isinstance(inner, Exception) else error).strip()
    return (text.splitlines() or [type(error).__name__])[0].rstrip(".")[:160]
