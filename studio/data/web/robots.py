"""robots.txt (RFC 9309) by protego: what a site lets this crawler ask for, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from studio.core.extras import require
from studio.core.guarded import AGENT
from studio.data.web.kept import KeptCrawls, Visit
from studio.data.web.page import EXTRA


@dataclass(frozen=True)
class Manners:
    """What one site allows. rules: as protego read them, None where there are none. closed: why nothing may be asked for."""

    rules: Any = None
    closed: str = ""

    def allows(self, address: str) -> bool:
        """True where an address may be asked for."""
        return not self.closed and (self.rules is None or bool(self.rules.can_fetch(address, AGENT)))

    @property
    def delay(self) -> float:
        """Seconds between two requests that the site asks for: its ``Crawl-delay``, or its ``Request-rate``."""
        if self.rules is None:
            return 0.0
        rate = self.rules.request_rate(AGENT)
        return max(float(self.rules.crawl_delay(AGENT) or 0.0), rate.seconds / rate.requests if rate and rate.requests else 0.0)


def manners_of(visit: Visit | None, store: KeptCrawls, why: str = "") -> Manners:
    """What the visit of a robots.txt means: a site without one allows everything, one that fails allows nothing (RFC 9309 2.3.1).

    Args:
        visit: None where it could not be asked for. why: what was said then.
    """
    protego: Any = require("protego", feature="type: web", extra=EXTRA)
    if visit is None:
        return Manners(closed=f"is not asked for, because {why or 'its robots.txt is not known'}".removesuffix("."))
    if visit.outcome == "page":
        return Manners(protego.Protego.parse(store.file(visit).read_text(encoding="utf-8-sig", errors="replace")))
    if visit.outcome == "failed" and 400 <= visit.size < 500 and visit.size != 429:
        return Manners()
    why = f"its robots.txt {visit.reason}" if visit.size else visit.reason or "its robots.txt leads nowhere"
    return Manners(closed=f"is not asked for, because {why}".removesuffix("."))
