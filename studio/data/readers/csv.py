"""Tables as text: csv and tsv."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from studio.data.readers.base import Damage, Raw, ReadOptions
from studio.data.readers.encoding import open_text


def read_csv(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A table with a header line; the separator is the one its header uses most."""
    csv.field_size_limit(sys.maxsize)
    with open_text(path, options) as stream:
        header_line = stream.readline()
        stream.seek(0)
        default = "\t" if path.suffix.lower() == ".tsv" else ","
        separator = max([default, ",", ";", "\t"], key=header_line.count) if path.suffix.lower() != ".tsv" else "\t"
        lines = csv.reader(stream, delimiter=separator, strict=True)
        rows = 0
        try:
            header = [name.strip() for name in next(lines, [])]
            for values in lines:
                if not values:
                    continue
                rows += 1
                if len(values) == len(header):
                    yield Raw(f"row {rows:,}", dict(zip(header, values, strict=True)))
                else:
                    yield Damage(
                        f"row {rows:,}", f"has {len(values)} values, the header has {len(header)} (line {lines.line_num})"
                    )
        except csv.Error as error:
            rows += 1
            cut = "unexpected end" in str(error)
            reason = "the file is cut off inside a quoted value" if cut else f"is not valid csv: {error}"
            yield Damage(f"row {rows:,}", f"{reason} (line {lines.line_num})")
    if not rows:
        yield Damage("the file", "has a header and no rows")
