"""From one file to raw rows, streamed; one module for each form of file. A new form is one module and a line in ``READERS``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from studio.core.errors import DataError
from studio.data.readers.base import Damage, Raw, Reader, ReadOptions
from studio.data.readers.csv import read_csv
from studio.data.readers.json import read_json, read_jsonl
from studio.data.readers.parquet import read_parquet
from studio.data.readers.yaml import read_yaml

__all__ = ["READERS", "Damage", "Raw", "ReadOptions", "Reader", "read_file"]

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}
"""Suffix to reader, for the files in which rows of any kind may lie."""


def read_file(path: Path, options: ReadOptions, readers: Mapping[str, Reader] = READERS) -> Iterator[Raw | Damage]:
    """Rows of one file, in order, in bounded memory for csv, json, jsonl and parquet.

    Args:
        readers: by suffix: :data:`READERS`, and those that only one kind of rows knows.

    Raises:
        DataError: the file cannot be opened, is of no known kind, or is not in the encoding that was named.
    """
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is of no known kind. Known: {', '.join(sorted(readers))}.")
    try:
        if path.stat().st_size == 0:
            yield Damage("the file", "is empty")
            return
        yield from reader(path, options)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read by this user.") from None
