"""What came of each address, on disk as it comes: a crawl that was stopped goes on, one that ended can be read again."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from studio.core.evidence import EvidenceCache
from studio.core.files import disk_errors, sha256_file
from studio.data.web.addresses import host_of

FILE = "crawls.sqlite"
_STATE = "state"

Outcome = Literal["page", "moved", "left out", "failed"]


@dataclass(frozen=True)
class Visit:
    """What came of one address.

    reason: of one that gave no page; why: the same in few words, to count. to: where one that moved leads. sha256: of the bytes
    as they are kept. ending: says how they are read (``.html``). size: in bytes, or the status of an answer that is no page. tag,
    modified: what the server calls this state of it (``ETag``, ``Last-Modified``). fetched: day on which this state came. note:
    what a person should know of it. unchanged: the server said so when it was asked last.
    """

    address: str
    outcome: Outcome
    reason: str = ""
    to: str = ""
    sha256: str = ""
    ending: str = ""
    size: int = 0
    tag: str | None = None
    modified: str | None = None
    fetched: str = ""
    note: str = ""
    unchanged: bool = False
    why: str = ""


def page_file(folder: Path, visit: Visit) -> Path:
    """The page of a visit."""
    return folder / "pages" / visit.sha256[:2] / f"{visit.sha256}{visit.ending}"


class KeptCrawls:
    """The visits of the crawls of one plan. Each crawl has a number; the last that ended is what is read without a network."""

    def __init__(self, folder: Path, plan: str) -> None:
        """``folder`` is shared by all plans; ``plan`` is the hash of what is crawled and how."""
        self._folder = folder
        self._plan = plan
        self._cache = EvidenceCache(folder / FILE)
        found = self._cache.get(_STATE, [plan]).get(plan) or {}
        self.ended: int | None = found.get("ended")
        self.open: int | None = found.get("open")
        self._ended_at = float(found.get("ended_at", 0.0))

    def close(self) -> None:
        """Let go of the file."""
        self._cache.close()

    def hours_since(self) -> float | None:
        """Hours since a crawl ended last; None where none did."""
        return None if self.ended is None else max(0.0, (time.time() - self._ended_at) / 3600)

    def begin(self) -> None:
        """Go on with the crawl that was stopped, or begin one."""
        if self.open is None:
            self.open = (self.ended or 0) + 1
            self._write()

    def end(self) -> None:
        """The crawl is complete; what only the one before it knew goes."""
        assert self.open is not None
        before, self.ended, self.open, self._ended_at = self.ended, self.open, None, time.time()
        self._write()
        if before is not None:
            self._cache.forget(self._subject(before))

    def _write(self) -> None:
        """The state on disk."""
        self._cache.put(_STATE, {self._plan: {"ended": self.ended, "open": self.open, "ended_at": self._ended_at}})

    def _subject(self, number: int) -> str:
        """Name of one crawl."""
        return f"{self._plan}/{number}"

    def visit(self, number: int, address: str) -> Visit | None:
        """What came of an address in a crawl; None where it was not asked for, or its page is no longer as it was kept."""
        value: dict[str, Any] | None = self._cache.get(self._subject(number), [address]).get(address)
        if value is None:
            return None
        visit = Visit(**value)
        whole = not visit.sha256 or self._is_whole(visit)
        return visit if whole else None

    def add(self, visit: Visit) -> None:
        """Keep what came of an address in the crawl that is open."""
        assert self.open is not None
        self._cache.put(self._subject(self.open), {visit.address: asdict(visit)})

    def file(self, visit: Visit) -> Path:
        """The page of a visit."""
        return page_file(self._folder, visit)

    def keep(self, data: bytes, ending: str) -> str:
        """Write a page under its hash, which is returned."""
        digest = hashlib.sha256(data).hexdigest()
        target = self.file(Visit("", "page", sha256=digest, ending=ending))
        if not target.is_file() or sha256_file(target) != digest:
            with disk_errors(target.name, target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(f".{target.name}.{os.getpid()}")
                partial.write_bytes(data)
                partial.replace(target)
        return digest

    def _is_whole(self, visit: Visit) -> bool:
        """True where the page lies there with the bytes that it had."""
        file = self.file(visit)
        return file.is_file() and sha256_file(file) == visit.sha256


@dataclass(frozen=True)
class Crawl:
    """The crawls of one plan. open: one was stopped and can go on. ended_at: seconds since 1970, 0 where none ended."""

    plan: str
    numbers: tuple[int, ...]
    open: bool
    ended_at: float
    addresses: frozenset[str]
    files: tuple[Path, ...]

    @property
    def hosts(self) -> list[str]:
        """Hosts that were asked."""
        return sorted({host_of(address) for address in self.addresses})


class KeptPages:
    """All crawls in a folder, whatever their plans."""

    def __init__(self, folder: Path) -> None:
        """Open the file of a folder."""
        self._folder = folder
        self._cache = EvidenceCache(folder / FILE)

    def close(self) -> None:
        """Let go of the file."""
        self._cache.close()

    def crawls(self) -> list[Crawl]:
        """Every plan's crawls, with the pages that they know."""
        return [self._crawl(plan, state) for plan, state in self._cache.every(_STATE).items()]

    def _crawl(self, plan: str, state: dict[str, Any]) -> Crawl:
        """The crawls of one plan."""
        numbers = tuple(number for key in ("ended", "open") if isinstance(number := state.get(key), int))
        visits = [Visit(**value) for number in numbers for value in self._cache.every(f"{plan}/{number}").values()]
        files = dict.fromkeys(page_file(self._folder, visit) for visit in visits if visit.sha256)
        addresses = frozenset(visit.address for visit in visits)
        return Crawl(plan, numbers, state.get("open") is not None, float(state.get("ended_at", 0.0)), addresses, tuple(files))

    def forget(self, crawl: Crawl) -> None:
        """Drop what is known of a plan's crawls; its pages stay."""
        for number in crawl.numbers:
            self._cache.forget(f"{crawl.plan}/{number}")
        self._cache.forget_items(_STATE, [crawl.plan])
