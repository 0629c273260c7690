"""What a stage hands to whoever shows it: lines, tables and pairs for people, one document for programs.

The stages below the command line print nothing. They give back a ``Told``; ``cli/output.tell`` prints its blocks one after the
other, or its document when JSON is asked for. Sizes, durations and cells are put into words here, once for everybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from studio.core.errors import UserError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True)
class Table:
    """Rows under headings.

    Attributes:
        right: headings of the columns that are aligned on the right, usually numbers.
        empty: what is said instead when there are no rows.
    """

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]
    right: Iterable[str] = ()
    empty: str = "Nothing to show."


@dataclass(frozen=True)
class Pairs:
    """``name  value`` lines, the values aligned."""

    rows: Iterable[tuple[str, object]]


@dataclass(frozen=True)
class Drawn:
    """Something with colours or marks: it draws itself on a ``rich`` console, which knows what the terminal can show."""

    draw: Callable[[Any], None]


@dataclass(frozen=True)
class Hint:
    """Where to go on, said to a person at a terminal only."""

    text: str


Block = str | Table | Pairs | Drawn | Hint


@dataclass(frozen=True)
class Told:
    """A result.

    Attributes:
        blocks: for people, in the order they are read; a text is one line or several.
        document: for programs: what JSON can hold, pydantic models, dataclasses and paths.
    """

    blocks: tuple[Block, ...]
    document: Any


def cell_text(value: object) -> str:
    """A value as it stands in a table: None is ``-``, floats have four significant digits, large ones separators."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    return str(value).replace("\n", " ")


def counted(count: int, noun: str = "row", every: bool = False) -> str:
    """``1 threshold``, ``3 thresholds``; of every one there is, ``the only threshold`` and ``all 3 thresholds``."""
    if count == 1:
        return f"the only {noun}" if every else f"1 {noun}"
    return f"{'all ' if every else ''}{count:,} {noun}s"


def size_text(size: float) -> str:
    """Bytes in words a person reads: ``512 B``, ``1.5 MB``, powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def bytes_of(text: str, said: str) -> int:
    """Bytes of ``8GiB``, ``24 GB``, ``16g`` (powers of 1,000 without the i).

    Args:
        said: where it was given, for the message.
    Raises:
        UserError: it is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", text.lower())
    size = float(match.group(1)) * _UNITS[match.group(2) or ""] if match else 0
    if size < 1:
        raise UserError(f"{said} {text!r} is not a size. Write it as 8GiB or 24GB.")
    return int(size)


def duration_text(seconds: float) -> str:
    """Seconds in words a person reads: ``8.2 s``, ``3 min 20 s``, ``1 h 02 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def bar(size: int, whole: int, width: int = 40) -> str:
    """A bar of at most ``width`` characters; whatever is there shows at least one."""
    return "█" * max(1 if size else 0, round(width * size / max(1, whole)))
