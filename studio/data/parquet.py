"""How rows of any kind lie on disk: parquet tables that anyone can open with pandas, checked against the recorded hashes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.core.errors import StudioError, UserError, nearest
from studio.core.files import sha256_file
from studio.core.records import DatasetRecord
from studio.core.workspace import read_dataset

REMOVED_FILE = "removed.parquet"


def write_table(table: pa.Table, path: Path) -> None:
    """Write a parquet file; the folder around it is moved into place as a whole by the caller."""
    pq.write_table(table, path, compression="zstd", compression_level=1)


def write_tables(tables: Iterable[pa.Table], path: Path) -> None:
    """Write tables of one schema into a single parquet file, one after the other, so that only one has to be in memory."""
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def read_whole_dataset(folder: Path) -> DatasetRecord:
    """The record of a finished Dataset.

    Raises:
        UserError: the folder is no Dataset.
    """
    if not (folder / "dataset.json").is_file():
        raise UserError(f"{folder} is not a dataset: it has no dataset.json. Build one: studio data build RECIPE")
    return read_dataset(folder)


def read_split_table(folder: Path, record: DatasetRecord, split: str) -> pa.Table:
    """The table of one split.

    Raises:
        UserError: there is no such split (those there are are named).
        StudioError: the file's bytes are not those that were written.
    """
    if split not in record.splits:
        known = ", ".join(record.splits)
        raise UserError(f"the dataset {record.name} has no split {split!r}.{nearest(split, record.splits)} Splits: {known}.")
    return read_checked(folder, f"{split}.parquet", record.files)


def read_removed_table(folder: Path) -> pa.Table:
    """The table of every row that was dropped while a Dataset was built.

    Raises:
        StudioError: the file is missing or damaged.
    """
    return read_checked(folder, REMOVED_FILE, read_dataset(folder).files)


def read_checked(folder: Path, name: str, files: dict[str, str]) -> pa.Table:
    """Read a parquet file of a Dataset after comparing its hash with the recorded one.

    Raises:
        StudioError: the file is missing, or its bytes are not those that were written.
    """
    path = folder / name
    if not path.is_file():
        raise StudioError(f"{folder} is not whole: {name} is missing. Build the dataset again.")
    expected = files.get(name)
    if expected and sha256_file(path) != expected:
        raise StudioError(
            f"{path} is damaged: its sha256 is not the one recorded in dataset.json. Remove the folder and build it again."
        )
    return pq.read_table(path)
