"""What is said about a picture: in a side-car, a metadata file, its own name, its folder, Unicode, or the columns of a row."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from studio.core.errors import DataError, nearest
from studio.data.images.emoji_names import name_of, subgroup_of, without_skin_tone
from studio.data.readers.parquet import text_rows, wrong_text
from studio.data.readers.repair import mended_note, without_halves
from studio.schema.image_recipe import FileSource, ImageSourceSettings

# Column names that say what they are, the usual ones first.
CAPTION_COLUMNS = ("text", "caption", "prompt", "description", "title", "captions")
LABEL_COLUMNS = ("label", "category", "class")
# ImageFolder's names: https://huggingface.co/docs/datasets/image_dataset
_FILE_COLUMN = "file_name"
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_SIDECARS = (".txt", ".caption")


@dataclass(frozen=True)
class Said:
    """What is known of a picture besides its pixels. where: the place it was said, for messages."""

    caption: str = ""
    label: str | None = None
    group: str | None = None
    id: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    where: str = ""


def plain(value: object) -> str | None:
    """A cell as text; nothing for an empty one and for NaN."""
    if value is None or value != value:
        return None
    return str(value)


def said_in_row(row: dict[str, Any], settings: ImageSourceSettings, names: dict[str, list[str]], used: set[str]) -> Said:
    """Caption, label, group and the rest out of the columns of one row.

    Args:
        names: class names of columns that hold numbers of classes.
        used: columns that are neither (the picture).
    Raises:
        DataError: a column that the recipe names is not there.
    """
    for key, wanted in (("caption", settings.caption), ("group", settings.group), ("label", settings.label)):
        if wanted is not None and wanted != "folder" and wanted not in row:
            known = ", ".join(str(name) for name in row)
            raise DataError(f"there is no column {wanted!r} for '{key}'.{nearest(wanted, map(str, row))} Columns: {known}.")
    caption = settings.caption or next((name for name in CAPTION_COLUMNS if name in row), None)
    label = settings.label if settings.label != "folder" else None
    label = label or next((name for name in LABEL_COLUMNS if name in row), None)
    group = settings.group if settings.group != "folder" else None
    value = row.get(label) if label else None
    if label in names and isinstance(value, int) and 0 <= value < len(names[label]):
        value = names[label][value]
    text = row.get(caption) if caption else None
    text = text[0] if isinstance(text, list) and text else text
    taken = {caption, label, group, settings.row_id} | used
    return Said(
        caption=plain(text) or "",
        label=plain(value),
        group=plain(row.get(group)) if group else None,
        id=plain(row.get(settings.row_id)) if settings.row_id else None,
        meta={key: other for key, other in row.items() if key not in taken},
    )


class FolderCaptions:
    """Captions of the files of one source."""

    def __init__(self, root: Path | None, labels: list[str], settings: FileSource) -> None:
        """``root`` None: files inside a wheel, which carry neither side-cars nor metadata. ``labels``: all files, relative."""
        self._root, self._settings = root, settings
        self._labels = frozenset(labels)
        self._rows: dict[str, Said] = {}
        self._told: list[str] = []
        self._mended: Counter[str] = Counter()
        wants_metadata = settings.captions in {"auto", "metadata"}
        self._metadata = [label for label in labels if wants_metadata and PurePosixPath(label).name in _METADATA]
        for label in self._metadata:
            self._read_metadata(label)
        self._unused = dict(self._rows)

    @property
    def notes(self) -> list[str]:
        """What a person should know of the metadata files."""
        return [*self._told, *(f"{label}: {mended_note(rows)}" for label, rows in self._mended.items() if rows)]

    def _notes_of(self, label: str) -> Callable[[str], None]:
        """Takes what is to be known of a file."""
        return lambda text: self._told.append(f"{label}: {text}")

    def uses(self, label: str) -> bool:
        """True for a file that holds captions instead of a picture."""
        if label in self._metadata:
            return True
        path = PurePosixPath(label)
        return path.suffix.lower() in _SIDECARS and self._settings.captions in {"auto", "sidecar"}

    def of(self, label: str) -> Said:
        """What is said about one file."""
        path = PurePosixPath(label)
        row = self._rows.get(label)
        self._unused.pop(label, None)
        said = row or Said()
        match self._settings.captions:
            case "auto" | "sidecar" if row is None or not row.caption:
                said = replace(said, caption=self._sidecar(path))
            case "file_name":
                said = Said(path.stem.replace("_", " ").replace("-", " "))
            case "folder":
                said = Said(path.parent.name.replace("_", " "))
            case "emoji":
                said = Said(name_of(path.stem) or "", subgroup_of(path.stem), without_skin_tone(path.stem))
        if self._settings.label == "folder":
            said = replace(said, label=path.parent.name or None)
        if self._settings.group == "folder":
            said = replace(said, group=path.parent.as_posix())
        return said

    def missing(self) -> Iterator[tuple[str, Said]]:
        """Files that a metadata file announces and that were not asked for: they are not there."""
        for label, said in self._unused.items():
            if label not in self._labels:
                yield label, said

    def _sidecar(self, path: PurePosixPath) -> str:
        """Text of the side-car beside a picture, empty without one."""
        for suffix in _SIDECARS:
            label = path.with_suffix(suffix).as_posix()
            if self._root is not None and label in self._labels:
                return _text_of(self._root / label)
        return ""

    def _read_metadata(self, label: str) -> None:
        """Rows of one metadata file, by the picture's path in the folder."""
        assert self._root is not None
        path = self._root / label
        for place, found in _rows_of(path, self._notes_of(label)):
            row = without_halves(found)
            self._mended[label] += row is not found
            name = plain(row.get(_FILE_COLUMN))
            if name is None:
                raise DataError(f"{path}: {place} has no {_FILE_COLUMN!r}. Name the picture, relative to the metadata file.")
            try:
                said = said_in_row(row, self._settings, {}, {_FILE_COLUMN})
            except DataError as error:
                raise DataError(f"{path}: {place}: {error}") from error
            target = _joined(PurePosixPath(label).parent, name)
            self._rows.setdefault(target, replace(said, where=f"{label} {place}"))


def _text_of(path: Path) -> str:
    """Text of a side-car.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error


def _joined(folder: PurePosixPath, name: str) -> str:
    """A path relative to the source's folder, with ``.`` and ``..`` worked out; it may point outside and is then never found."""
    parts: list[str] = list(folder.parts)
    for part in PurePosixPath(name.replace("\\", "/")).parts:
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _rows_of(path: Path, note: Callable[[str], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and columns of every row of a metadata file.

    Raises:
        DataError: a line cannot be read.
    """
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, note)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            if path.suffix == ".csv":
                for number, row in enumerate(csv.DictReader(stream), start=2):
                    yield f"line {number}", {key: value for key, value in row.items() if key is not None}
                return
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield f"line {number}", _object(path, number, line)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path} is not valid CSV ({error}).") from error


def _parquet_rows(path: Path, note: Callable[[str], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a parquet metadata file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows, wrong = text_rows(pq.read_table(path))
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is not a readable parquet file ({error}).") from error
    if wrong:
        note(f"{wrong_text(wrong)}; what is wrong in it was replaced by U+FFFD")
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    """One line of JSON."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: line {number} is not JSON ({getattr(error, 'msg', error)}). Repair or remove it.") from error
    except RecursionError as error:
        raise DataError(f"{path}: line {number} is nested too deeply to be read. Repair or remove it.") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}: line {number} is no JSON object.")
    return row
