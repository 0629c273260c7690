"""One address asked politely: under our name, no faster than the site wants, for what has changed only; what came of it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from studio import __version__
from studio.core.errors import StudioError
from studio.core.guarded import AGENT, MOVED, Reply, Rules, TooLargeError, UnreachableError, ask, moved, unpacked
from studio.data.web.addresses import plain_address, site_of
from studio.data.web.kept import KeptCrawls, Visit
from studio.data.web.page import as_utf8, reserved_by

_PAGES = {
    "text/html": ".html", "application/xhtml+xml": ".html", "text/plain": ".txt", "text/markdown": ".md",
    "application/pdf": ".pdf", "application/epub+zip": ".epub",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}  # fmt: skip
_SITEMAPS = dict.fromkeys(
    ("application/xml", "text/xml", "text/plain", "application/gzip", "application/x-gzip", "application/octet-stream"), ".xml"
)
_ROBOTS = {"text/plain": ".txt", "text/html": ".txt", "": ".txt", "application/octet-stream": ".txt"}
KINDS: Mapping[str, Mapping[str, str]] = {"page": _PAGES, "sitemap": _SITEMAPS, "robots": _ROBOTS}
"""What is asked for: types of content to the ending under which they are kept. Others are not read."""
_BUSY = {429, 503}
_TRIES, _LONGEST_WAIT = 2, 60.0


@dataclass
class Asker:
    """Asks addresses for one crawl. delays: seconds between requests by site, where its robots.txt asks for more."""

    store: KeptCrawls
    rules: Rules
    contact: str
    delay: float
    delays: dict[str, float] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)

    def ask(self, address: str, kind: str) -> Visit:
        """What comes of an address; its page is kept.

        Args:
            kind: one of :data:`KINDS`.
        Raises:
            UnreachableError: nobody answers.
        """
        before = self._before(address)
        headers = {"User-Agent": f"{AGENT}/{__version__} (+{self.contact})", "Accept": "text/html, text/*;q=0.9, */*;q=0.5"}
        headers |= {"If-None-Match": before.tag} if before and before.tag else {}
        headers |= {"If-Modified-Since": before.modified} if before and before.modified else {}
        for tried in range(_TRIES + 1):
            self._wait(address)
            try:
                reply = ask(address, self.rules, headers, lambda found: _type_of(found) in KINDS[kind])
            except TooLargeError as error:
                return Visit(address, "left out", str(error), why="too large")
            except UnreachableError:
                raise
            except StudioError as error:
                return Visit(address, "failed", str(error), why="failed")
            if reply.status not in _BUSY or tried == _TRIES:
                break
            time.sleep(_wished(reply))
        if reply.status == 304 and before:
            return replace(before, unchanged=True)
        if reply.status >= 500 and before:
            return replace(before, note=f"answers {reply.status}, so what was kept on {before.fetched} was used")
        return self._visit(reply, kind, before)

    def _before(self, address: str) -> Visit | None:
        """The page that the crawl before this one kept."""
        found = self.store.visit(self.store.ended, address) if self.store.ended is not None else None
        return replace(found, unchanged=False, note="") if found and found.outcome == "page" else None

    def _wait(self, address: str) -> None:
        """Until the site may be asked again."""
        site = site_of(address)
        left = self._last.get(site, float("-inf")) + max(self.delay, self.delays.get(site, 0.0)) - time.monotonic()
        if left > 0:
            time.sleep(left)
        self._last[site] = time.monotonic()

    def _visit(self, reply: Reply, kind: str, before: Visit | None) -> Visit:
        """An answer, judged."""
        address = reply.address
        if reply.status in MOVED and "location" in reply.headers:
            try:
                target = plain_address(moved(address, reply.headers["location"]))
            except StudioError as error:
                return Visit(address, "failed", str(error), why="failed")
            return Visit(address, "moved", to=target) if target else Visit(address, "failed", "leads to no page", why="failed")
        if reply.status != 200:
            return Visit(address, "failed", f"answers {reply.status}", size=reply.status, why="failed")
        if reply.body is None:
            return Visit(address, "left out", f"is of the kind {_type_of(reply.headers) or 'nothing'}", why="no page of text")
        if kind == "page" and (why := reserved_by(reply.headers)):
            return Visit(address, "left out", why, why="reserved")
        return self._kept(reply, reply.body, kind, before)

    def _kept(self, reply: Reply, body: bytes, kind: str, before: Visit | None) -> Visit:
        """A page on disk: text in UTF-8, a sitemap unpacked."""
        ending, note = KINDS[kind][_type_of(reply.headers)], ""
        try:
            if kind == "sitemap" and body[:2] == b"\x1f\x8b":
                body = unpacked([body], self.rules.max_bytes)
            if kind == "page" and ending in {".html", ".txt", ".md"}:
                body, note = as_utf8(body, reply.headers.get("content-type", ""))
        except (ValueError, zlib.error, OverflowError) as error:
            reason = str(error) or f"unpacks to more than {self.rules.max_bytes >> 20} MB"
            return Visit(reply.address, "failed", reason, why="failed")
        if ending == ".html" and kind == "page" and (why := reserved_by({}, body)):
            return Visit(reply.address, "left out", why, why="reserved")
        digest = self.store.keep(body, ending)
        same = before is not None and before.sha256 == digest
        return Visit(
            reply.address,
            "page",
            sha256=digest,
            ending=ending,
            size=len(body),
            tag=reply.headers.get("etag"),
            modified=reply.headers.get("last-modified"),
            fetched=before.fetched if same and before else datetime.now(UTC).date().isoformat(),
            note=note,
        )


def _type_of(headers: Mapping[str, str]) -> str:
    """Type of content, without what follows it."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _wished(reply: Reply) -> float:
    """Seconds to wait that a busy host asks for, within bounds."""
    said = reply.headers.get("retry-after", "").strip()
    return min(float(said), _LONGEST_WAIT) if said.isdecimal() else 5.0
