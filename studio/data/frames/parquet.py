"""Whole tables from parquet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from studio.core.errors import DataError
from studio.data.frames.base import Frame, FrameOptions, plain_columns, whole_frame
from studio.data.readers.csv import header_names
from studio.data.readers.parquet import with_sound_text, wrong_text


def read_parquet_frame(path: Path, options: FrameOptions) -> Frame:
    """A table with the types that the file says.

    Raises:
        DataError: the file is cut off or damaged, two columns have the same name, or it holds no rows.
    """
    del options
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is cut off or damaged ({str(error).splitlines()[0]}). Write it again.") from error
    header_names(path, table.column_names)
    table, wrong = with_sound_text(table.combine_chunks())
    if not table.num_rows:
        raise DataError(f"{path} holds no rows. Write it again with some.")
    notes = [f"{wrong_text(wrong)}; what is wrong in it was replaced by U+FFFD"] if wrong else []
    return whole_frame(plain_columns(table.to_pandas(date_as_object=False, ignore_metadata=True)), notes)
