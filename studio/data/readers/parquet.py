"""Parquet tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.readers.base import Damage, Raw, ReadOptions


def read_parquet(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A parquet table, batch by batch."""
    row = wrong = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                rows, mended = text_rows(batch)
                wrong = max(wrong, mended)
                for value in rows:
                    row += 1
                    yield Raw(f"row {row:,}", value)
    except (pa.ArrowException, OSError) as error:
        yield Damage(
            f"row {row + 1:,}", f"cannot be read: the file is cut off or damaged ({str(error).splitlines()[0]})", row == 0
        )
        return
    if row == 0:
        yield Damage.of_file("holds no rows")
    if wrong:
        options.note(f"{wrong_text(wrong)}; what is wrong in it was replaced by U+FFFD")


def wrong_text(columns: int) -> str:
    """What is said of text in a table that is not UTF-8 although its type says so."""
    return f"text that is not UTF-8 stands in {columns:,} column{'s' if columns > 1 else ''}"


def text_rows(batch: pa.RecordBatch | pa.Table) -> tuple[list[dict[str, Any]], int]:
    """Rows of a batch, and how many of its columns of text had to be mended, for Arrow does not look at the bytes."""
    try:
        return batch.to_pylist(), 0
    except UnicodeDecodeError:
        mended, columns = with_sound_text(batch)
        return mended.to_pylist(), columns


def with_sound_text(batch: Any) -> tuple[Any, int]:
    """A table or batch whose columns of text are UTF-8, and how many had to be mended; nested text is not looked into."""
    columns = 0
    for place, field in enumerate(batch.schema):
        if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            continue
        column = batch.column(place)
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raw = column.cast(pa.large_binary()).to_pylist()
            texts = [None if value is None else value.decode("utf-8", "replace") for value in raw]
            mended = pa.array(texts, type=field.type)
            batch = batch.set_column(place, field, mended)
            columns += 1
    return batch, columns
