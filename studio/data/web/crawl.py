"""A crawl: starts and sitemaps first, then link by link, breadth first; what came of each address is kept as it comes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from studio.core.errors import StudioError
from studio.core.files import sha256_json
from studio.core.guarded import REDIRECTS, Rules, UnreachableError
from studio.core.progress import Progress
from studio.data.web.addresses import begins_with_one, host_of, is_no_page, plain_address, site_of
from studio.data.web.asking import Asker
from studio.data.web.kept import KeptCrawls, Visit
from studio.data.web.page import PageFacts, facts_of
from studio.data.web.robots import Manners, manners_of
from studio.data.web.sitemap import read_sitemap

_SITEMAPS = 50
"""Sitemaps that are read, those that an index names among them."""
_SILENT = 5
"""Addresses of a host that nobody answers for, one after the other, before the crawl stops."""


@dataclass(frozen=True)
class Plan:
    """What is crawled and how; see :class:`studio.schema.written_sources.WebSource`. Sizes in bytes, ``delay`` in
    seconds, ``again`` in hours.
    """

    starts: tuple[str, ...]
    sitemaps: tuple[str, ...]
    hosts: frozenset[str]
    only: tuple[str, ...]
    depth: int
    max_pages: int
    max_bytes: int
    total_bytes: int
    private: bool
    contact: str
    delay: float
    again: float

    @property
    def key(self) -> str:
        """Hash of what decides which pages there are; two builds with the same one share what was fetched."""
        asked = [self.starts, self.sitemaps, sorted(self.hosts), self.only, self.depth, self.max_pages]
        return sha256_json([*asked, self.max_bytes, self.total_bytes, self.private])[:32]


@dataclass
class Harvest:
    """What a crawl gave. pages: in the order in which they were found, with ``facts`` by address. gone: what gave no page.
    asked: addresses asked for. moved: how many only led to others. elsewhere: links to hosts that are not the plan's, by host.
    unasked: addresses that were known when a bound was met. notes: for people.
    """

    pages: list[Visit] = field(default_factory=list)
    facts: dict[str, PageFacts] = field(default_factory=dict)
    gone: list[Visit] = field(default_factory=list)
    asked: int = 0
    moved: int = 0
    elsewhere: Counter[str] = field(default_factory=Counter)
    unasked: int = 0
    notes: list[str] = field(default_factory=list)


class _LostError(Exception):
    """A page that a finished crawl kept is no longer there."""


def harvest(plan: Plan, folder: Path, *, network: bool) -> Harvest:
    """The pages of a plan: those of a finished crawl that is new enough, else asked for.

    Args:
        folder: where what was fetched is kept. network: whether it may be used.
    Raises:
        StudioError: nothing could be fetched and nothing is kept; a host stopped answering.
        MissingExtraError: protego, lxml or trafilatura is not installed.
    """
    store = KeptCrawls(folder, plan.key)
    try:
        hours = store.hours_since()
        if not network:
            number = store.ended if store.ended is not None else store.open
            if number is None:
                raise StudioError(
                    f"{(plan.starts or plan.sitemaps)[0]} was not crawled yet and the network is switched off (HF_HUB_OFFLINE or "
                    "STUDIO_OFFLINE). Build once with the network on."
                )
            found = _Crawl(plan, store, number, asks=False, lenient=True).run()
            found.notes.append("the network is switched off, so the pages are those that were kept")
            return _not_empty(found, plan)
        if store.open is None and hours is not None and hours < plan.again:
            try:
                found = _Crawl(plan, store, store.ended or 0, asks=False, lenient=False).run()
                found.notes.append(f"the crawl ended {hours:.1f} hours ago, so nothing was asked (again: {plan.again:g})")
                return found
            except _LostError:
                pass
        store.begin()
        found = _not_empty(_Crawl(plan, store, store.open or 0, asks=True, lenient=False).run(), plan)
        store.end()
        return found
    finally:
        store.close()


def _not_empty(found: Harvest, plan: Plan) -> Harvest:
    """Refuse a crawl that gave no page at all."""
    if not found.pages:
        first = found.gone[0] if found.gone else None
        why = f"{first.address} {first.reason}" if first else "nothing was found to ask for"
        raise StudioError(f"the crawl of {', '.join(sorted(plan.hosts))} gave no page ({why}). Check start, hosts and only.")
    return found


class _Crawl:
    """One run over the addresses of a plan; what is known of one is not asked for again."""

    def __init__(self, plan: Plan, store: KeptCrawls, number: int, *, asks: bool, lenient: bool) -> None:
        self.plan, self.store, self.number, self.asks, self.lenient = plan, store, number, asks, lenient
        rules = Rules(plan.hosts, plan.max_bytes, plan.private)
        self.asker = Asker(store, rules, plan.contact, plan.delay)
        self.found = Harvest()
        self._manners: dict[str, Manners] = {}
        self._silent: dict[str, list[Visit]] = {}
        self._queue: deque[tuple[str, int, tuple[str, ...]]] = deque()
        self._seen: set[str] = set()
        self._hashes: dict[str, str] = {}
        self._moves: dict[str, str] = {}

    def run(self) -> Harvest:
        """Everything within the bounds of the plan."""
        size = 0
        for address in (*self.plan.starts, *self._listed()):
            self._add(address, 0, start=True)
        with Progress("crawl", self.plan.max_pages, "addresses") as bar:
            while self._queue:
                if self.found.asked >= self.plan.max_pages or size >= self.plan.total_bytes:
                    bound = f"max_pages: {self.plan.max_pages:,}" if size < self.plan.total_bytes else "total_mb"
                    self.found.unasked = len(self._queue)
                    self.found.notes.append(f"stopped at {bound} with {len(self._queue):,} more addresses known")
                    break
                address, depth, chain = self._queue.popleft()
                size += self._take(address, depth, chain)
                bar.advance(self.found.asked - bar.done)
        for visits in self._silent.values():
            for visit in visits:
                self.store.add(visit)
        return self.found

    def _add(self, address: str, depth: int, *, start: bool = False) -> None:
        """Remember an address that is to be asked for, if it is one of the plan's and new."""
        plain = plain_address(address)
        if plain is None or plain in self._seen or is_no_page(plain):
            return
        if host_of(plain) not in self.plan.hosts:
            self.found.elsewhere[host_of(plain)] += 1
        elif start or begins_with_one(plain, self.plan.only):
            self._queue.append((plain, depth, ()))
        self._seen.add(plain)

    def _take(self, address: str, depth: int, chain: tuple[str, ...]) -> int:
        """One address: its page, where it leads, or why it gave none. Returns the bytes of its page."""
        if not self._manners_of(address).allows(address):
            why = self._manners_of(address).closed or "its robots.txt does not allow it"
            self.found.gone.append(Visit(address, "left out", why, why="robots.txt"))
            return 0
        visit = self._visit(address, "page")
        self.found.asked += 1
        if visit.outcome == "moved":
            self._follow(visit, depth, (*chain, address))
        elif visit.outcome != "page":
            self.found.gone.append(visit)
        elif visit.sha256 in self._hashes:
            same = f"is the same page as {self._hashes[visit.sha256]}"
            self.found.gone.append(replace(visit, outcome="left out", reason=same, why="the same page"))
        else:
            self._read(visit, depth)
            return visit.size
        return 0

    def _read(self, visit: Visit, depth: int) -> None:
        """A page: what it says of itself, and the links that it leads to."""
        self._hashes[visit.sha256] = visit.address
        self.found.pages.append(visit)
        if visit.note:
            self.found.notes.append(f"{visit.address} {visit.note}")
        if visit.ending != ".html":
            return
        facts = facts_of(self.store.file(visit).read_bytes(), visit.address)
        self.found.facts[visit.address] = facts
        if depth < self.plan.depth:
            for link in facts.links:
                self._add(link, depth + 1)

    def _follow(self, visit: Visit, depth: int, chain: tuple[str, ...]) -> None:
        """Where an address leads to, unless that is a circle or not the plan's."""
        self.found.moved += 1
        self._moves[visit.address] = visit.to
        why, reason = "", ""
        if self._circles(visit.address) or len(chain) > REDIRECTS:
            why, reason = "failed", f"redirects in a circle, or more than {REDIRECTS} times"
        elif host_of(visit.to) not in self.plan.hosts:
            why, reason = "another host", f"leads to {visit.to}, and the source allows {', '.join(sorted(self.plan.hosts))}"
        elif not begins_with_one(visit.to, self.plan.only) and visit.address not in self.plan.starts:
            why, reason = "another host", f"leads to {visit.to}, which begins with none of 'only'"
        if why:
            self.found.gone.append(replace(visit, outcome="failed" if why == "failed" else "left out", reason=reason, why=why))
        elif visit.to not in self._seen:
            self._seen.add(visit.to)
            self._queue.appendleft((visit.to, depth, chain))

    def _circles(self, address: str) -> bool:
        """True where an address leads back to itself."""
        place, steps = self._moves.get(address), 0
        while place is not None and place != address and steps <= len(self._moves):
            place, steps = self._moves.get(place), steps + 1
        return place is not None

    def _visit(self, address: str, kind: str) -> Visit:
        """What is known of an address, or what comes of asking for it."""
        known = self.store.visit(self.number, address)
        if known is not None:
            return known
        if not self.asks and not self.lenient:
            raise _LostError
        if not self.asks:
            return Visit(address, "failed", "is not in the cache and the network is switched off", why="failed")
        try:
            visit = self.asker.ask(address, kind)
        except UnreachableError as error:
            return self._unanswered(Visit(address, "failed", str(error), why="failed"))
        # Those before it failed alone, for the host answers.
        for before in self._silent.pop(site_of(address), []):
            self.store.add(before)
        self.store.add(visit)
        return visit

    def _unanswered(self, visit: Visit) -> Visit:
        """An address that nobody answers for: told, and after some of them the crawl stops, to be gone on with."""
        silent = self._silent.setdefault(site_of(visit.address), [])
        silent.append(visit)
        if len(silent) >= _SILENT:
            raise StudioError(
                f"{site_of(visit.address)} did not answer {_SILENT} times in a row ({visit.reason}). What was fetched is kept: "
                "build again to go on."
            )
        return visit

    def _manners_of(self, address: str) -> Manners:
        """What the robots.txt of a site says, asked for once."""
        site = site_of(address)
        if site not in self._manners:
            visit, why = self._robots(f"{site}/robots.txt")
            self._manners[site] = manners_of(visit, self.store, why)
            self.asker.delays[site] = self._manners[site].delay
        return self._manners[site]

    def _robots(self, address: str) -> tuple[Visit | None, str]:
        """The robots.txt of a site, wherever it leads, or why it cannot be had."""
        for _ in range(REDIRECTS + 1):
            visit = self.store.visit(self.number, address)
            if visit is None and self.asks:
                try:
                    visit = self.asker.ask(address, "robots")
                except UnreachableError as error:
                    return None, str(error)
                self.store.add(visit)
            if visit is None or visit.outcome != "moved":
                return visit, ""
            address = visit.to
        return None, "its robots.txt redirects without end"

    def _listed(self) -> Iterable[str]:
        """Addresses that the sitemaps list."""
        waiting, read = deque(self.plan.sitemaps), 0
        while waiting:
            address = plain_address(waiting.popleft()) or ""
            if address in self._seen or host_of(address) not in self.plan.hosts:
                continue
            if read >= _SITEMAPS:
                self.found.notes.append(f"more than {_SITEMAPS} sitemaps; {len(waiting) + 1:,} were not read")
                return
            self._seen.add(address)
            read += 1
            if not self._manners_of(address).allows(address):
                self.found.gone.append(Visit(address, "left out", "its robots.txt does not allow it", why="robots.txt"))
                continue
            visit = self._visit(address, "sitemap")
            if visit.outcome == "moved":
                waiting.appendleft(visit.to)
            elif visit.outcome != "page":
                self.found.gone.append(visit)
            else:
                listed = read_sitemap(self.store.file(visit))
                self.found.notes += [f"the sitemap {address} {listed.note}"] if listed.note else []
                waiting.extend(listed.further)
                yield from listed.pages
