"""Files at addresses: fetched into the cache once, kept by their hash, asked for again only where they may have changed."""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from studio.core.errors import StudioError, UserError
from studio.core.extras import require
from studio.core.fetch import offline
from studio.core.files import sha256_file, sha256_json, write_json
from studio.core.guarded import Answer, Rules, fetch
from studio.core.workspace import cache_folder
from studio.data.sources import ResolvedSource, SourceSettings, resolved, single_file
from studio.schema.places import AtUrl

ABOUT = "newest.json"
"""What is written of the file that was fetched last, beside the files of an address."""
_STORES = {"s3": "s3fs", "gs": "gcsfs"}


@dataclass(frozen=True)
class Kept:
    """A file in the cache. tag: the server's name for this state of it."""

    file: Path
    sha256: str
    tag: str | None
    fetched: str


def resolve_url(settings: SourceSettings, source: AtUrl, index: int, suffixes: Collection[str]) -> ResolvedSource:
    """A file at an address, known by the hash of its bytes.

    Args:
        settings, source: the same source, once for what all sources have and once for where it lies.
        suffixes: endings of the files that can be read.
    Raises:
        UserError: the address is not allowed, is not there, or gives another file than the one that was promised.
        StudioError: nobody answers and nothing is in the cache.
    """
    kept, notes = kept_file(source)
    name = PurePosixPath(urllib.parse.urlsplit(source.url).path).stem or "url"
    files = single_file(kept.file, suffixes)
    notes = (f"{source.url} was fetched on {kept.fetched}, sha256 {kept.sha256}", *notes)
    return resolved(settings, index, name, source.url, kept.sha256, revision=kept.sha256[:16], files=files, notes=notes)


def kept_file(source: AtUrl, headers: Mapping[str, str] | None = None, *, fixed: bool = False) -> tuple[Kept, tuple[str, ...]]:
    """The file, fetched or found, and what a person should know of that.

    Args:
        headers: sent to the host of the address alone. fixed: what lies there never changes, so it is asked for once.
    Raises:
        UserError, StudioError: see :func:`resolve_url`.
    """
    place = cache_folder() / "url" / sha256_json(source.url)[:16]
    name = source.file_name or _file_name(source.url)
    known = _known(place, name, source.sha256)
    if known and (source.sha256 or fixed):
        return known, ()
    if offline():
        if known is None:
            raise StudioError(
                f"{source.url} is not in the cache and the network is switched off (HF_HUB_OFFLINE or STUDIO_OFFLINE). "
                "Build once with the network on, or use a local copy (type: local)."
            )
        return known, ("the network is switched off, so whether it has changed since is not known",)
    arrived = place / f".arriving-{os.getpid()}"
    try:
        answer = _fetched(source, arrived, known.tag if known else None, headers)
        if answer.unchanged and known:
            return known, ()
        if source.sha256 and answer.sha256 != source.sha256:
            raise UserError(
                f"{source.url} has sha256 {answer.sha256}, and the source promises {source.sha256}: it has changed. Look at it, "
                "then write its hash into the recipe."
            )
        kept = Kept(place / answer.sha256 / name, answer.sha256, answer.tag, datetime.now(UTC).date().isoformat())
        kept.file.parent.mkdir(parents=True, exist_ok=True)
        arrived.replace(kept.file)
    finally:
        arrived.unlink(missing_ok=True)
    write_json(place / ABOUT, {"url": source.url, "sha256": kept.sha256, "tag": kept.tag, "fetched": kept.fetched})
    return kept, ()


def _known(place: Path, name: str, sha256: str | None) -> Kept | None:
    """The file that was fetched last, or the one with a hash; its bytes are looked at, for a cache may be damaged."""
    about: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        about = json.loads((place / ABOUT).read_text(encoding="utf-8"))
    wanted = sha256 or about.get("sha256")
    if not isinstance(wanted, str) or "/" in wanted:
        return None
    file = place / wanted / name
    if not file.is_file() or sha256_file(file) != wanted:
        return None
    newest = about.get("sha256") == wanted
    day = datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
    return Kept(file, wanted, about.get("tag") if newest else None, str(about.get("fetched", day)) if newest else day)


def _file_name(url: str) -> str:
    """Name of the file in an address; its ending says how it is read."""
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name.replace("\0", "")
    return name[-120:].lstrip(".") or "file"


def _fetched(source: AtUrl, target: Path, tag: str | None, headers: Mapping[str, str] | None) -> Answer:
    """The file at an address of the web or of a store of objects."""
    scheme = urllib.parse.urlsplit(source.url).scheme
    limit = source.max_mb << 20
    if scheme in _STORES:
        return _from_store(source.url, scheme, target, limit)
    own = (urllib.parse.urlsplit(source.url).hostname or "").lower()
    rules = Rules(frozenset({own, *map(str.lower, source.hosts)}), limit, source.private)
    return fetch(source.url, target, rules, tag=tag, headers=headers)


def _from_store(url: str, scheme: str, target: Path, limit: int) -> Answer:
    """A file of S3 or Google Cloud Storage, with the credentials that the machine has for it."""
    require(_STORES[scheme], feature=f"an address that begins with {scheme}://", extra=scheme)
    import fsspec

    size = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with fsspec.open(url, "rb") as stream, target.open("wb") as sink:
            while chunk := stream.read(1 << 20):
                size += len(chunk)
                if size > limit:
                    raise UserError(f"{url} is larger than {limit >> 20:,} MB. If that is right, raise max_mb in the source.")
                sink.write(chunk)
    except FileNotFoundError as error:
        raise UserError(f"there is no file at {url}. Check the address.") from error
    except StudioError:
        raise
    except (
        Exception
    ) as error:  # the stores' clients raise errors of their own for a wrong key, a closed network or a missing login
        raise StudioError(
            f"{url} cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})."
        ) from error
    return Answer(sha256_file(target), size, None, url)
