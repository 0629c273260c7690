"""From one file to raw rows, streamed; one module for each form of file. A new form is one module and a line in ``READERS``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from studio.core.errors import DataError
from studio.data.readers.base import Damage, Raw, Reader, ReadOptions
from studio.data.readers.csv import read_csv
from studio.data.readers.encoding import settled
from studio.data.readers.json import read_json, read_jsonl
from studio.data.readers.kinds import LINES, TEXTS, check_kind, unknown_kind
from studio.data.readers.packed import kind_of, plain_file
from studio.data.readers.parquet import read_parquet
from studio.data.readers.repair import mended
from studio.data.readers.sheets import read_ods, read_xlsx
from studio.data.readers.xml import read_xml
from studio.data.readers.yaml import read_yaml

__all__ = ["READERS", "Damage", "Raw", "ReadOptions", "Reader", "read_file"]

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": read_json,
    **dict.fromkeys(LINES, read_jsonl),
    ".ods": read_ods,
    ".parquet": read_parquet,
    ".xlsx": read_xlsx,
    ".xml": read_xml,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}
"""Suffix to reader, for the files in which rows of any kind may lie."""


def read_file(path: Path, options: ReadOptions, readers: Mapping[str, Reader] = READERS) -> Iterator[Raw | Damage]:
    """Rows of one file, in order, in bounded memory for csv, json, jsonl, parquet, xml and workbooks; packed files are unpacked.

    Args:
        path: of a file, or of a member of a zip archive as a path that goes on behind the archive's.
        readers: by suffix: :data:`READERS`, and those that only one kind of rows knows.

    Raises:
        DataError: the file cannot be opened, is of no known kind, or is not in the encoding that was named.
    """
    kind = kind_of(path)
    reader = readers.get(kind)
    if reader is None:
        raise DataError(unknown_kind(path, readers))
    try:
        with plain_file(path) as plain:
            if plain.stat().st_size == 0:
                yield Damage.of_file("is empty")
                return
            check_kind(plain)
            if kind in TEXTS:
                options = settled(plain, options, by_line=kind in LINES)
            yield from mended(reader(plain, options), options.note)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except PermissionError:
        raise DataError(f"{path} may not be read by this user.") from None
