"""YAML, every value as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from studio.core.errors import DataError
from studio.data.readers.base import Damage, Raw, ReadOptions
from studio.data.readers.document import rows_of
from studio.data.readers.encoding import HALVES, open_text
from studio.data.readers.repair import without_halves

_HALVES = "holds half a character or several, written as if they were whole; they were replaced by U+FFFD"

# A file without anchors holds fewer values than bytes. With them each may stand for others that stand for others.
_VALUES = 10_000_000
# libyaml's composer calls itself for each level, and some ten thousand of them end the process without a word.
_DEEPEST = 400
_LEVELS = re.compile(r"^[ \t]*(?:[-?:][ \t]+)*", re.MULTILINE)


def read_yaml(path: Path, options: ReadOptions) -> Iterator[Raw | Damage]:
    """A YAML document; every value is read as text, so that the answer ``No`` does not become false."""
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    with open_text(path, options, HALVES) as stream:
        try:
            read = stream.read()
            # libyaml takes whole characters only.
            text: str = without_halves(read)
            if text is not read:
                options.note(_HALVES)
            if _is_deep(text, loader):
                yield Damage.of_file("is nested too deeply to be read")
                return
            value = yaml.load(text, Loader=loader)
            _check_size(path, value)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            yield Damage(
                f"line {mark.line + 1 if mark else 1}", f"is not valid YAML: {getattr(error, 'problem', error)}", whole=True
            )
            return
    yield from rows_of(value, options)


def _is_deep(text: str, loader: Any) -> bool:
    """True where values lie in one another deeper than can be read; most files cannot be, and are not parsed to know it."""
    flow = text.count("[") + text.count("{") > _DEEPEST
    if not flow and max((found.end() - found.start() for found in _LEVELS.finditer(text)), default=0) <= _DEEPEST:
        return False
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            return True
    return False


def _check_size(path: Path, value: Any) -> None:
    """Refuse a document whose anchors, written out, are more than anyone writes.

    Raises:
        DataError: there are too many values, or one holds itself.
    """
    limit = max(_VALUES, path.stat().st_size)
    known: dict[int, int] = {}

    def size(inner: Any) -> int:
        if not isinstance(inner, dict | list):
            return 1
        if id(inner) not in known:
            known[id(inner)] = limit + 1  # one that holds itself has no end
            items = [*inner.keys(), *inner.values()] if isinstance(inner, dict) else inner
            known[id(inner)] = 1 + sum(map(size, items))
        return known[id(inner)]

    if size(value) > limit:
        raise DataError(
            f"{path}: its anchors (&name, *name) stand for more than {limit:,} values once they are written out. "
            "Write the rows out, or save them as JSON lines."
        )
