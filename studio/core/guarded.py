"""Files from addresses that a stranger may have written down: every host is checked before anything is sent to it.

What is connected to is the very address that was checked, so a name that answers differently the second time gains nothing.
Proxies are not used, for they would look the name up themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import StudioError, UserError
from studio.core.files import disk_errors
from studio.core.progress import Progress

ANSWER_SECONDS = 20.0
PATIENCE = 60.0
"""Seconds that a whole answer may take beside what its bytes may; the names, the greeting and the headers take no longer."""
# The whole download, at a rate below which nobody waits.
_SLOWEST = 32 << 10
REDIRECTS = 5
_CHUNK = 1 << 18
MOVED = frozenset({301, 302, 303, 307, 308})
AGENT = "finetuning-studio"


@dataclass(frozen=True)
class Rules:
    """Where a file may come from. hosts: names that are allowed; max_bytes: largest file; private: whether addresses that are not
    on the public internet are allowed.
    """

    hosts: frozenset[str]
    max_bytes: int
    private: bool = False


@dataclass(frozen=True)
class Answer:
    """A file that was fetched. tag: what the server calls this state of it (``ETag``), None where it does not; unchanged: the
    server says that the state which was asked for still is the newest, and sent nothing.
    """

    sha256: str = ""
    size: int = 0
    tag: str | None = None
    address: str = ""
    unchanged: bool = False


@dataclass(frozen=True)
class Reply:
    """What one address answered; nothing was followed. headers: by their names in small letters. body: None where it was not
    read; unpacked where it came packed.
    """

    address: str
    status: int
    headers: Mapping[str, str]
    body: bytes | None = None


class UnreachableError(StudioError):
    """Nobody answers at an address; whether that lasts is not known."""


class TooLargeError(UserError):
    """A file beyond the bound."""


def fetch(
    address: str, target: Path, rules: Rules, *, tag: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Download a file to ``target``, which is replaced; nothing is left there where it fails.

    Args:
        tag: state that is known already; the server may answer that nothing changed.
        headers: sent to the host of the address, and to no other one that it leads to (a login belongs to its host).
    Raises:
        UserError: an address or a host that is not allowed, too large a file, or a server that says no.
        StudioError: nobody answers, or the answer breaks off.
    """
    own = urllib.parse.urlsplit(address)[:2]
    for _ in range(REDIRECTS + 1):
        more = dict(headers or {}) if urllib.parse.urlsplit(address)[:2] == own else {}
        with _asked(address, rules, more | ({"If-None-Match": tag} if tag else {})) as answer:
            if answer.status == 304 and tag:
                return Answer(tag=tag, address=address, unchanged=True)
            if answer.status in MOVED and answer.getheader("Location"):
                address = moved(address, str(answer.getheader("Location")))
                continue
            if answer.status != 200:
                raise _refused(address, answer.status, answer.reason)
            return _kept(address, answer, target, rules)
    raise UserError(f"{address} redirects more than {REDIRECTS} times. Give the address of the file itself.")


def ask(address: str, rules: Rules, headers: Mapping[str, str], wants: Callable[[Mapping[str, str]], bool]) -> Reply:
    """Ask one address once and follow nothing; the answer is held in memory.

    Args:
        headers: of the request, the ``User-Agent`` among them.
        wants: whether the body of an answer with these headers is read at all.
    Raises:
        TooLargeError: it is larger than the rules allow, packed or unpacked.
        UserError: an address or a host that is not allowed.
        StudioError: nobody answers, or the answer breaks off, is too slow or is packed in a way that was not asked for.
    """
    with _asked(address, rules, headers) as answer:
        found = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status != 200 or not wants(found):
            return Reply(address, answer.status, found)
        packed = found.get("content-encoding", "identity").strip().lower()
        if packed not in {"identity", "", "gzip", "x-gzip", "deflate"}:
            raise StudioError(f"{address} sends its answer packed as {packed[:20]}, which was not asked for.")
        pieces = _pieces(address, answer, rules)
        try:
            body = unpacked(pieces, rules.max_bytes) if packed not in {"identity", ""} else b"".join(pieces)
        except OverflowError:
            raise _too_large(address, rules) from None
        except zlib.error as error:
            raise StudioError(f"{address} says that its answer is packed as {packed}, and it is not ({error}).") from error
        return Reply(address, answer.status, found, body)


def unpacked(pieces: Iterable[bytes], most: int) -> bytes:
    """What gzip or zlib packed, never more than ``most`` bytes of it in memory.

    Raises:
        OverflowError: it unpacks to more. zlib.error: it is not packed, or cut off.
    """
    unpacker, found = zlib.decompressobj(47), bytearray()
    for piece in pieces:
        while piece:
            found += unpacker.decompress(piece, most + 1 - len(found))
            if len(found) > most:
                raise OverflowError
            piece = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise zlib.error("it is cut off")
    return bytes(found)


def moved(address: str, location: str) -> str:
    """Where an address leads to, never from an encrypted address to an open one.

    Raises:
        UserError: it does that.
    """
    new = urllib.parse.urljoin(address, location)
    if address.startswith("https:") and not new.startswith("https:"):
        raise UserError(f"{address} leads from https to {new[:80]}. Give the address of the file itself.")
    return new


def _refused(address: str, status: int, reason: str) -> StudioError:
    """What is said of an answer that is no file."""
    if status in {401, 403}:
        return UserError(f"{address} may not be read without a login (it answers {status}). Fetch the file and use type: local.")
    if status in {404, 410}:
        return UserError(f"there is no file at {address} (it answers {status}). Check the address.")
    return StudioError(f"{address} answers {status} {reason}. Try again later, or fetch the file and use type: local.")


@contextlib.contextmanager
def _asked(address: str, rules: Rules, more: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
    """The answer of one host, once its name and its address were checked."""
    parts = urllib.parse.urlsplit(address)
    host = (parts.hostname or "").lower()
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.password:
        raise UserError(f"{address[:120]} is no address of a file. Write https://host/path, without a name and password in it.")
    if host not in rules.hosts:
        raise UserError(
            f"{address[:120]} lies on {host}, and the source allows {', '.join(sorted(rules.hosts))}. If that is right, add it: "
            f"hosts: [{host}]"
        )
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise UserError(f"{address[:120]} has no port that exists ({error}). Correct it.") from error
    connection = _Checked(host, port, rules, encrypted=parts.scheme == "https")
    path = urllib.parse.quote(
        urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, "")), safe="/?&=%+,:;@~!$'()*#[]-._"
    )
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"} | dict(more)
    # A server that sends a byte now and then would keep every single wait short and never end.
    watch = _Watch(connection)
    try:
        watch.allow(PATIENCE)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if watch.hung_up:
            raise TimeoutError(f"no whole answer within {PATIENCE:g} seconds")
        watch.allow(PATIENCE + rules.max_bytes / _SLOWEST)
    except (OSError, http.client.HTTPException) as error:
        watch.end()
        connection.close()
        raise UnreachableError(
            f"{address} cannot be reached ({error or type(error).__name__}). Check the address and the network."
        ) from error
    try:
        yield answer
    finally:
        watch.end()
        answer.close()
        connection.close()


class _Watch:
    """Hangs up when an answer takes longer than it may."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._timer: threading.Timer | None = None
        self.hung_up = False

    def allow(self, seconds: float) -> None:
        """So many seconds from now on."""
        self.end()
        self._timer = threading.Timer(seconds, self._hang_up)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _hang_up(self) -> None:
        """Whoever waits for this connection is told that it ended."""
        self.hung_up = True
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)


class _Checked(http.client.HTTPConnection):
    """A connection to the address that was looked up and checked."""

    def __init__(self, host: str, port: int, rules: Rules, *, encrypted: bool) -> None:
        super().__init__(host, port, timeout=ANSWER_SECONDS)
        self._rules, self._encrypted = rules, encrypted

    def connect(self) -> None:
        """Connect to a checked address; certificates are checked against the name."""
        self.sock = socket.create_connection(
            (checked_address(self.host, self.port, self._rules.private), self.port), self.timeout
        )
        if self._encrypted:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def checked_address(host: str, port: int, private: bool) -> str:
    """Address of a host.

    Raises:
        UserError: one of its addresses is not on the public internet and that is not allowed.
        OSError: nobody knows the host.
    """
    addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        plain = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(plain, "ipv4_mapped", None) or getattr(plain, "sixtofour", None)
        inside = not plain.is_global or plain.is_multicast or (mapped is not None and not mapped.is_global)
        if inside and not private:
            raise UserError(
                f"{host}{'' if host == address else f' is {address}, which'} is no address of the public internet. If it is "
                "meant, allow it in the source: private: true"
            )
    return addresses[0]


def _kept(address: str, answer: http.client.HTTPResponse, target: Path, rules: Rules) -> Answer:
    """Write an answer to a file and hash it on the way; a download that is too large or too slow is given up."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with (
            disk_errors(target.name, target.parent),
            Progress(f"fetch {address[:60]}", (answer.length or 0) >> 20, "MB") as bar,
            partial.open("wb") as sink,
        ):
            for chunk in _pieces(address, answer, rules):
                bar.advance((size + len(chunk) >> 20) - (size >> 20))
                size += len(chunk)
                digest.update(chunk)
                sink.write(chunk)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Answer(digest.hexdigest(), size, answer.getheader("ETag"), address)


def _pieces(address: str, answer: http.client.HTTPResponse, rules: Rules) -> Iterator[bytes]:
    """The bytes of an answer as they come; one that is too large, too slow or cut off is given up."""
    stated, size, began = answer.length, 0, time.monotonic()
    if stated is not None and stated > rules.max_bytes:
        raise _too_large(address, rules)
    while True:
        chunk = _piece(address, answer)
        # Asked before the end is believed: a connection that was hung up for its slowness ends too.
        if time.monotonic() - began > PATIENCE + size / _SLOWEST:
            raise StudioError(f"{address} sends less than {_SLOWEST >> 10} KB a second. Try again later.")
        if not chunk:
            break
        size += len(chunk)
        if size > rules.max_bytes:
            raise _too_large(address, rules)
        yield chunk
    if stated is not None and size != stated:
        raise StudioError(f"{address} broke off after {size:,} of {stated:,} bytes. Run the command again.")


def _piece(address: str, answer: http.client.HTTPResponse) -> bytes:
    """The next bytes, as they come."""
    try:
        return answer.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise StudioError(f"{address} broke off ({error or type(error).__name__}). Run the command again.") from error


def _too_large(address: str, rules: Rules) -> TooLargeError:
    """What is said of a file beyond the bound."""
    return TooLargeError(f"{address} is larger than {rules.max_bytes >> 20:,} MB. If that is right, raise max_mb in the source.")
