"""Recipes that are proposed for files: what a kind offers, and how it is written down."""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from studio.data.frames import FRAMES, log_seen
from studio.data.readers import READERS, Raw, ReadOptions, read_file
from studio.data.readers.kinds import LINES
from studio.data.readers.packed import kind_of

LOOKED_AT = 200
"""Rows that are read before a recipe is proposed."""
_WIDEST = 1_000
_BY_LINES = frozenset({".csv", ".tsv", *LINES})
# Kinds of which the first rows are read without the others, and how many.
_BY_ROWS, _FIRST_ROWS = frozenset({".csv", ".tsv", ".json", ".xml", *LINES}), 5_000
_LARGE, _BEGINNING = 32 << 20, 2 << 20
FEW = 60
"""Up to so many rows, splits are proposed as whole numbers: shares of so few would be empty."""


@dataclass(frozen=True)
class Proposal:
    """A recipe of one kind that reads a file or folder; it was tried on the first rows.

    likeness: 0 to 1, how much the rows look like this kind. what: what they are, in a few words. recipe: as YAML has it. choices:
    lines about what a person has to decide or check. shown: the first rows as they were read.
    """

    kind: str
    likeness: float
    what: str
    recipe: dict[str, Any]
    choices: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why a kind cannot read a file that has the ending of its files."""

    kind: str
    reason: str


@dataclass
class Attempt:
    """A source while it is tried: what was added to it, and why."""

    source: dict[str, Any]
    choices: list[str] = field(default_factory=list)


def too_wide(path: Path) -> str | None:
    """A sentence for a file whose first row has so many columns that finding their types takes minutes; None for any other."""
    if not path.is_file() or kind_of(path) not in READERS:
        return None
    first = next(read_file(path, ReadOptions()), None)
    columns = len(first.value) if isinstance(first, Raw) and isinstance(first.value, dict) else 0
    if columns <= _WIDEST:
        return None
    return (
        f"{path.name} has {columns:,} columns, and up to {_WIDEST:,} are looked at. If it is a table and no list written as one "
        "object, copy table/own-table and give its path."
    )


@contextmanager
def beginning_of(path: Path) -> Iterator[Path]:
    """The file itself, or a copy of its first lines or rows where it is a large one that can be read so.

    Raises:
        DataError: a large file cannot be read.
    """
    kind = kind_of(path)
    if not path.is_file() or kind not in _BY_ROWS or path.stat().st_size <= _LARGE:
        yield path
        return
    with tempfile.TemporaryDirectory() as place:
        if path.suffix.lower() in _BY_LINES:
            copy = Path(place) / path.name
            with path.open("rb") as stream:
                head = stream.read(_BEGINNING)
            copy.write_bytes(head[: head.rfind(b"\n") + 1] or head)
        else:
            copy = Path(place) / f"{path.name}.json"
            found = (one.value for one in read_file(path, ReadOptions()) if isinstance(one, Raw))
            copy.write_text(json.dumps(list(itertools.islice(found, _FIRST_ROWS)), default=str), encoding="utf-8")
        yield copy


def local_source(path: Path) -> dict[str, Any]:
    """A source that is a file or a folder."""
    return {"type": "local", "path": str(path.resolve()), "licence": "own data"}


def log_settings(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What a source says of a file that is a log, and what a person has to check; nothing for any other file."""
    seen = log_seen(path) if path.is_file() and kind_of(path) not in FRAMES else None
    if seen is None:
        return {}, []
    year = {"year": datetime.fromtimestamp(path.stat().st_mtime, UTC).year} if seen.no_year else {}
    choices = [f"It is read as a log: {seen.form}."]
    return {"format": "log", **year}, choices + (
        ["Check year: the stamps have none; it is that of the first line."] if year else []
    )


def split_for(rows: int, validation: float, test: float) -> dict[str, Any]:
    """Shares for the splits, or whole rows where there are few.

    Args:
        rows: as many as were read; from ``FEW`` on shares do.
        validation, test: shares.
    """
    if rows >= FEW:
        return {"validation": validation, "test": test, "seed": 0}
    return {"validation": max(1, math.floor(rows * validation)), "test": max(1, math.floor(rows * test)), "seed": 0}


def recipe_text(proposal: Proposal, path: Path) -> str:
    """A proposal as the text of a recipe."""
    head = [f"Proposed for {path}: {proposal.what}.", "Say under licence what may be done with this data.", *proposal.choices]
    comments = "".join(f"# {line}\n" for entry in head for line in entry.splitlines())
    parts = [{key: value} for key, value in proposal.recipe.items()]
    return comments + "".join(_written(part) for part in parts)


def _written(part: Mapping[str, Any]) -> str:
    """One entry of a recipe."""
    return yaml.safe_dump(dict(part), sort_keys=False, allow_unicode=True, width=120)


def glimpse(value: object, width: int = 60) -> str:
    """The beginning of a value on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= width else f"{text[:width]}…"


def steps_of(names: Sequence[str]) -> list[dict[str, Any]]:
    """Steps as a recipe lists them."""
    return [{"step": name} for name in names]
