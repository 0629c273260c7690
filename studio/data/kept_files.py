"""What sources of the web and of addresses keep in the cache: seen, and pruned without taking what a Dataset is made of."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.files import folder_size
from studio.core.records import SourceRecord
from studio.core.telling import counted
from studio.core.workspace import Workspace, read_dataset
from studio.data.remote import ABOUT
from studio.data.web.kept import Crawl, KeptPages

# A younger file may be one that a build is writing just now.
_JUST_WRITTEN = 3600.0
_DAY = 86_400.0
_CATALOGUES = ("openml", "kaggle")
# Characters of a hash that a Dataset names a file by.
_REVISION = 16


@dataclass(frozen=True)
class KeptItem:
    """Something that is kept. goes: why it would be deleted, None where it stays; stays: why. crawl: of the web, else None."""

    what: str
    paths: tuple[Path, ...]
    bytes: int
    goes: str | None = None
    stays: str = ""
    crawl: Crawl | None = None


def kept_items(cache: Path, workspace: Workspace, *, older: float | None = None, used: bool = False) -> list[KeptItem]:
    """Everything that is kept, the crawls first.

    Args:
        cache: the studio's cache, which workspaces share.
        workspace: whose Datasets are looked at.
        older: days after which what no Dataset of the workspace is made of goes; None keeps it whatever its age.
        used: what Datasets are made of, and crawls that were stopped, go at that age too.
    """
    sources = _sources(workspace)
    return [*_web(cache / "web", sources, older, used), *_urls(cache / "url", sources, older, used)]


def remove_kept(cache: Path, items: Sequence[KeptItem]) -> None:
    """Delete items; a crawl is forgotten before its pages go, so that one that is cut off leaves pages that nobody knows."""
    crawls = [item.crawl for item in items if item.crawl is not None]
    if crawls:
        with closing(KeptPages(cache / "web")) as pages:
            for crawl in crawls:
                pages.forget(crawl)
    for path in (path for item in items for path in item.paths):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            # What is written of the newest file of an address says nothing without the file.
            if [left.name for left in path.parent.iterdir()] == [ABOUT]:
                (path.parent / ABOUT).unlink()
            path.parent.rmdir()


def _sources(workspace: Workspace) -> dict[str, list[SourceRecord]]:
    """Sources of all Datasets of a workspace that can be read, by the Dataset's name."""
    found: dict[str, list[SourceRecord]] = {}
    for folder in workspace.list_datasets():
        with suppress(StudioError, OSError):
            found.setdefault(folder.parent.name, []).extend(read_dataset(folder).sources)
    return found


def _judged(
    what: str, paths: Sequence[Path], day: float, users: Sequence[str], older: float | None, used: bool, **more: Any
) -> KeptItem:
    """An item that goes by its age, unless somebody needs it.

    Args:
        day: when it came, in seconds since 1970. users: who needs it.
    """
    age = (time.time() - day) / _DAY
    size = sum(map(_size, paths))
    old = older is not None and age >= older
    if old and (used or not users):
        return KeptItem(what, tuple(paths), size, f"{age:.0f} days old", **more)
    stays = f"needed by {', '.join(users)}" if users else f"{age:.0f} days old"
    return KeptItem(what, tuple(paths), size, None, stays, **more)


def _web(folder: Path, sources: Mapping[str, Sequence[SourceRecord]], older: float | None, used: bool) -> Iterator[KeptItem]:
    """Crawls with the pages that only they have, and pages that no crawl knows any more."""
    if not folder.is_dir():
        return
    with closing(KeptPages(folder)) as pages:
        crawls = pages.crawls()
    owners: dict[Path, int] = {}
    for crawl in crawls:
        for file in crawl.files:
            owners[file] = owners.get(file, 0) + 1
    for crawl in crawls:
        users = [name for name, found in sources.items() if any(_is_of(source, crawl) for source in found)]
        users += ["a crawl that was stopped"] if crawl.open else []
        own = [file for file in crawl.files if owners[file] == 1]
        what = f"{counted(len(crawl.files), 'page')} of {', '.join(crawl.hosts[:3]) or 'no host'}"
        yield _judged(what, own, crawl.ended_at, users, older, used, crawl=crawl)
    lost = [
        file for file in folder.glob("pages/*/*") if file not in owners and time.time() - file.stat().st_mtime > _JUST_WRITTEN
    ]
    if lost:
        what = f"{counted(len(lost), 'page')} of earlier crawls"
        yield KeptItem(what, tuple(lost), sum(map(_size, lost)), "no crawl knows them any more")


def _is_of(source: SourceRecord, crawl: Crawl) -> bool:
    """True where a source of a Dataset was read from a crawl: it began where the source does."""
    return source.kind == "web" and any(address.strip() in crawl.addresses for address in source.location.split(", "))


def _urls(folder: Path, sources: Mapping[str, Sequence[SourceRecord]], older: float | None, used: bool) -> Iterator[KeptItem]:
    """Files of addresses, and what is left of downloads that broke off."""
    for place in sorted(folder.glob("*/")):
        address = _address(place)
        for version in sorted(path for path in place.iterdir() if path.is_dir()):
            users = [name for name, found in sources.items() if any(_is_file_of(one, address, version.name) for one in found)]
            yield _judged(f"{address} ({version.name[:12]})", [version], version.stat().st_mtime, users, older, used)
        broken = [path for path in place.glob(".arriving-*") if time.time() - path.stat().st_mtime > _JUST_WRITTEN]
        if broken:
            yield KeptItem(address, tuple(broken), sum(map(_size, broken)), "a download that broke off")


def _is_file_of(source: SourceRecord, address: str, sha256: str) -> bool:
    """True where a source of a Dataset was read from a file; of a catalogue, where the file came from that catalogue."""
    revision = source.revision or ""
    same = source.sha256 == sha256 or (len(revision) >= _REVISION and sha256.startswith(revision))
    return same or (source.kind in _CATALOGUES and source.kind in address)


def _address(place: Path) -> str:
    """The address whose files lie in a folder."""
    with suppress(OSError, ValueError):
        return str(json.loads((place / ABOUT).read_text(encoding="utf-8"))["url"])
    return place.name


def _size(path: Path) -> int:
    """Bytes of a file or folder that may be gone."""
    with suppress(OSError):
        return folder_size(path) if path.is_dir() else path.stat().st_size
    return 0
