"""Parquet tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.readers.base import Damage, Raw, ReadOptions


def read_parquet(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A parquet table, batch by batch."""
    del options
    row = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                for value in batch.to_pylist():
                    row += 1
                    yield Raw(f"row {row:,}", value)
    except (pa.ArrowException, OSError) as error:
        yield Damage(f"row {row + 1:,}", f"the parquet file is cut off or damaged ({str(error).splitlines()[0]})")
        return
    if row == 0:
        yield Damage("the file", "holds no rows")
