"""The source ``web`` of a recipe: a crawl whose pages are read as documents are, with a line on everything that gave no page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.extras import require
from studio.core.fetch import offline
from studio.core.files import sha256_json
from studio.core.workspace import Workspace, cache_folder
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.writing.source import Found, resolve_found
from studio.data.memo import HashMemo
from studio.data.sources import DataFile, ResolvedSource
from studio.data.web.addresses import host_of
from studio.data.web.crawl import Harvest, Plan, harvest
from studio.data.web.kept import Visit, page_file
from studio.data.web.page import EXTRA
from studio.schema.written_sources import WebSource

FETCH_STEP = "fetch"
"""The step under which pages stand that were not fetched or not used."""
_EXAMPLES = 3


def resolve_web(source: WebSource, index: int, memo: HashMemo, workspace: Workspace) -> ResolvedSource:
    """Crawl, or read what was crawled, and make rows of the pages.

    Raises:
        StudioError: nothing could be fetched and nothing is kept. DataError: no page holds text.
        UserError, EndpointError: the writer cannot be asked.
    """
    for module in ("protego", "lxml", "trafilatura"):
        require(module, feature="type: web", extra=EXTRA)
    plan, folder = plan_of(source), cache_folder() / "web"
    found = harvest(plan, folder, network=not offline())
    name = source.name or host_of((plan.starts or plan.sitemaps)[0]).removeprefix("www.")
    gone = [RemovedRow(ChatRow(f"page/{one.address}", [], ""), FETCH_STEP, one.why, one.reason) for one in found.gone]
    documents = Found(
        name,
        ", ".join((*plan.starts, *plan.sitemaps)),
        sha256_json([[visit.address, visit.sha256] for visit in found.pages]),
        tuple(DataFile(page_file(folder, visit), visit.address) for visit in found.pages),
        {visit.address: about_page(visit, found) for visit in found.pages},
        tuple(gone),
        figures_of(found),
    )
    return resolve_found(source, index, documents, memo, workspace, notes_of(found))


def plan_of(source: WebSource) -> Plan:
    """A crawl in plain values."""
    places = [*source.start, *source.sitemaps]
    hosts = frozenset(host.lower() for host in source.hosts) or frozenset(map(host_of, places))
    return Plan(
        starts=tuple(source.start),
        sitemaps=tuple(source.sitemaps),
        hosts=hosts,
        only=tuple(source.only),
        depth=source.depth,
        max_pages=source.max_pages,
        max_bytes=source.max_mb << 20,
        total_bytes=source.total_mb << 20,
        private=source.private,
        contact=source.contact,
        delay=source.delay,
        again=source.again,
    )


def about_page(visit: Visit, found: Harvest) -> Mapping[str, Any]:
    """What a row's ``meta`` says of its page."""
    facts = found.facts.get(visit.address)
    said = {"fetched": visit.fetched, "page_licence": facts and facts.licence, "page_date": facts and facts.date}
    return {key: value for key, value in said.items() if value}


def figures_of(found: Harvest) -> dict[str, Any]:
    """What was fetched and what was not, as plain values for the report; nothing of it changes where pages do not."""
    licences = Counter((found.facts[page.address].licence if page.address in found.facts else None) or "" for page in found.pages)
    return {
        "asked": found.asked,
        "pages": len(found.pages),
        "moved": found.moved,
        "not_used": dict(Counter(one.why for one in found.gone).most_common()),
        "unasked": found.unasked,
        "links_elsewhere": dict(found.elsewhere.most_common(50)),
        "licences": {name or "none stated": count for name, count in licences.most_common()},
        "hosts": dict(Counter(host_of(page.address) for page in found.pages).most_common()),
    }


def notes_of(found: Harvest) -> list[str]:
    """What people should know of a crawl, in lines."""
    same = sum(page.unchanged for page in found.pages)
    lines = [
        f"{found.asked:,} addresses were asked for and gave {len(found.pages):,} pages"
        + (f", {same:,} of them unchanged since the last crawl" if same else "")
        + (f"; {found.moved:,} led to others" if found.moved else "")
    ]
    for why, count in Counter(one.why for one in found.gone).most_common():
        lines.append(f"not used, {why}: {count:,} ({_examples([one for one in found.gone if one.why == why])})")
    if found.elsewhere:
        hosts = ", ".join(f"{host} ({count:,})" for host, count in found.elsewhere.most_common(_EXAMPLES))
        more = f" and {len(found.elsewhere) - _EXAMPLES:,} more" if len(found.elsewhere) > _EXAMPLES else ""
        lines.append(f"links to other hosts were not followed (hosts: allows them): {hosts}{more}")
    licences = figures_of(found)["licences"]
    lines.append("licences that the pages state: " + ", ".join(f"{name} ({count:,})" for name, count in licences.items()))
    return lines + found.notes


def _examples(visits: Sequence[Visit]) -> str:
    """The first of some addresses, with their reasons."""
    told = [f"{one.address} {one.reason.removeprefix(one.address).strip()}" for one in visits[:_EXAMPLES]]
    shown = "; ".join(one.removesuffix(".")[:160] for one in told)
    return shown + ("; ..." if len(visits) > _EXAMPLES else "")
