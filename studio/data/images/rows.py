"""The one row type of the image stages, and how it lies on disk: parquet tables and plain picture files."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from studio.core.errors import StudioError, UserError
from studio.data.kinds import rows_of
from studio.data.parquet import read_removed_table, read_split_table, read_whole_dataset

if TYPE_CHECKING:
    from PIL import Image

PICTURES = "images"

ROW_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),
        ("caption", pa.string()),
        ("label", pa.string()),
        ("group", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bucket", pa.string()),
        ("sha256", pa.string()),
        ("source", pa.string()),
        ("meta", pa.string()),
    ]
)
REMOVED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("file", pa.string()),
        ("caption", pa.string()),
        ("label", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("value", pa.string()),
        ("threshold", pa.string()),
        ("matched", pa.string()),
        ("thumbnail", pa.binary()),
    ]
)


@dataclass(frozen=True)
class ImageRow:
    """One picture of a finished Dataset with what is said about it.

    id: unique in its Dataset. image: path of the picture inside the Dataset's folder. label: category, where the source has
    one. group: rows that share it never straddle two splits. width, height: pixels of the stored picture. bucket: ``WxH``
    where the recipe makes aspect-ratio buckets. sha256: of the picture file. meta: everything else (a plain JSON value).
    """

    id: str
    image: str
    caption: str
    label: str | None
    group: str | None
    width: int
    height: int
    bucket: str | None
    sha256: str
    source: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RemovedImage:
    """A picture that was dropped: by which step, why, the value that was seen, the limit it broke, the row it matched.

    file: where it was found. width, height: pixels as it was read, None where it could not be opened. thumbnail: a small
    JPEG, None where the picture could not be decoded.
    """

    id: str
    source: str
    file: str
    caption: str
    label: str | None
    width: int | None
    height: int | None
    step: str
    reason: str
    value: str | None = None
    threshold: str | None = None
    matched: str | None = None
    thumbnail: bytes | None = None


def rows_to_table(rows: Sequence[ImageRow]) -> pa.Table:
    """Arrow table of rows, in order."""
    columns = {name: [getattr(row, name) for row in rows] for name in ROW_SCHEMA.names if name != "meta"}
    columns["meta"] = [json.dumps(row.meta, ensure_ascii=False, default=str) if row.meta else "{}" for row in rows]
    return pa.table(columns, schema=ROW_SCHEMA)


def table_to_rows(table: pa.Table) -> list[ImageRow]:
    """Rows of an Arrow table, in order."""
    return [ImageRow(**line | {"meta": json.loads(line["meta"])}) for line in table.to_pylist()]


def removed_to_table(removed: Sequence[RemovedImage]) -> pa.Table:
    """Arrow table of removed rows, in the order they were removed."""
    return pa.table({name: [getattr(gone, name) for gone in removed] for name in REMOVED_SCHEMA.names}, schema=REMOVED_SCHEMA)


def table_to_removed(table: pa.Table) -> list[RemovedImage]:
    """Removed rows of an Arrow table."""
    return [RemovedImage(**line) for line in table.to_pylist()]


def read_image_split(dataset_folder: Path, split: str) -> list[ImageRow]:
    """Read one split of a finished Dataset of pictures.

    Raises:
        UserError: the folder is no Dataset of pictures, or it has no such split (those it has are named).
        StudioError: the file's bytes are not those that were written.
    """
    record = read_whole_dataset(dataset_folder)
    if record.kind != "image":
        raise UserError(f"the dataset {record.name} holds {rows_of(record)}, not pictures. Build one: studio data build image/…")
    return table_to_rows(read_split_table(dataset_folder, record, split))


def read_removed_images(dataset_folder: Path) -> list[RemovedImage]:
    """Read every picture that was dropped while a Dataset was built.

    Raises:
        StudioError: the file is missing or damaged.
    """
    return table_to_removed(read_removed_table(dataset_folder))


def open_image(dataset_folder: Path, row: ImageRow) -> Image.Image:
    """The picture of a row, decoded, RGB, ``row.width`` x ``row.height`` pixels.

    Raises:
        StudioError: the file is missing, or its bytes are not those that were written.
    """
    from PIL import Image

    path = dataset_folder / row.image
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StudioError(f"{path} cannot be read ({error.strerror}). Build the dataset again.") from error
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise StudioError(f"{path} was changed since the dataset was built. Remove {dataset_folder} and build it again.")
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        return picture.convert("RGB")
