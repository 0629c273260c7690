"""What reading a row's shape needs: its columns by comparable name, what a person said of them, and what came out."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from studio.data.chat.formats.names import ANSWERS, COMPLETIONS, QUESTIONS
from studio.data.chat.turns import Message


class ShapeError(Exception):
    """The row is of no known shape; the message is a clause that follows the row's place.

    complete: the message has its own remedy, so that none is added.
    """

    def __init__(self, message: str, *, complete: bool = False) -> None:
        super().__init__(message)
        self.complete = complete


@dataclass(frozen=True)
class ColumnNames:
    """Names a person gave to columns; None means the usual ones."""

    question: str | None = None
    answer: str | None = None
    system: str | None = None
    context: str | None = None
    messages: str | None = None
    id: str | None = None
    history: str | None = None
    tools: str | None = None
    label: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Choices:
    """What a recipe says of how rows are read. Fields as in :class:`studio.schema.recipe.SourceSettings`."""

    lenient: bool = False
    """Fields of a turn that are not understood go to ``meta`` instead of being an error (``damaged: keep``)."""
    split_thoughts: bool = False
    roles: Mapping[str, str] = field(default_factory=dict)
    """Role as the rows write it, in small letters, to ours."""
    liked: tuple[str, ...] = ()
    prompt_end: str = ""
    answer_end: str = ""


@dataclass(frozen=True)
class Shaped:
    """What was made of a row.

    used: the columns it was made of. chosen, rejected: of a preference. meta: fields of turns that have no place in a turn.
    form: name of the shape. label: the column that said whether the answer was liked.
    """

    messages: list[Message]
    used: frozenset[str]
    chosen: str | None = None
    rejected: str | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    form: str = ""
    label: str | None = None


MISSING: Any = object()
_PLAIN_NAME = re.compile(r"[^\W\d](?:[\w .()/-]*[\w)])?")
_QUALIFIED = re.compile(r"([^;:(\[/]+)[;:(\[/]")
_WORDS_OF_ROWS = frozenset({*QUESTIONS, *ANSWERS, *COMPLETIONS, "prompt", "instruction"})
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# What pandas, Alpaca and others write where a column holds nothing.
_NO_TEXT = frozenset({"nan", "none", "null", "n/a", "<noinput>", "noinput", "no input"})


def fold(name: object) -> str:
    """A column's name as names are compared: in small letters, blanks and hyphens as underscores."""
    return _fold(str(name))


@functools.lru_cache(maxsize=10_000)
def _fold(name: str) -> str:
    """The same few names come with every row."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


class Cells:
    """The columns of a row by comparable name, and which of them were used."""

    def __init__(self, value: Mapping[str, Any], columns: ColumnNames, choices: Choices, *, nulls: bool = False) -> None:
        """``nulls``: columns without a value count as columns; a merged table has many that do not."""
        self.raw, self.columns, self.choices = value, columns, choices
        self.values: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        for name, inner in value.items():
            if inner is None and not nulls:
                continue
            # A column of the very name goes before one in other letters.
            key = fold(name) if name == fold(name) or fold(name) not in value else str(name)
            if key not in self.values:
                self.values[key], self._names[key] = inner, name
        self._add_qualified()
        self._used: set[str] = set()

    def _add_qualified(self) -> None:
        """``Question (long)`` and ``Question; long`` are the question, where no other column begins with that word."""
        heads: dict[str, list[str]] = {}
        for key in self.values:
            if not key.isidentifier() and (found := _QUALIFIED.match(key)):
                heads.setdefault(found.group(1).strip("_"), []).append(key)
        for head, keys in heads.items():
            if len(keys) == 1 and head in _WORDS_OF_ROWS and head not in self.values:
                self.values[head], self._names[head] = self.values.pop(keys[0]), self._names.pop(keys[0])

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Any:
        """A column's value without using it; ``MISSING`` where there is none."""
        return self.values.get(name, MISSING)

    def take(self, name: str) -> Any:
        """A column's value, which counts as used; ``MISSING`` where there is none."""
        if name in self.values:
            self._used.add(self._names[name])
        return self.values.get(name, MISSING)

    def named(self, name: str) -> Any:
        """A column a person named, by its very name, its comparable name, or with dots into nested values; it counts as used."""
        found = self.look(name)
        if found is not MISSING:
            self._used.add(name if name in self.raw else self._names.get(fold(name), name))
        return found

    def look(self, name: str) -> Any:
        """As :meth:`named`, without using it."""
        if name in self.raw:
            return self.raw[name]
        if fold(name) in self.values:
            return self.values[fold(name)]
        current: Any = self.raw
        for part in name.split("."):
            if not isinstance(current, Mapping) or part not in current:
                return MISSING
            current = current[part]
        return current

    def first(self, names: Collection[str]) -> str | None:
        """The first of several names that is a column."""
        return next((name for name in names if name in self.values), None)

    def filled(self, names: Collection[str]) -> list[str]:
        """Those of several names that hold something and were not used yet."""
        return [name for name in names if self._names.get(name) not in self._used and is_filled(self.values.get(name))]

    @property
    def used(self) -> frozenset[str]:
        """The columns that were used, as the row names them."""
        return frozenset(self._used)


def is_filled(value: Any) -> bool:
    """True when a value says something."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value is not MISSING and value == value and (not hasattr(value, "__len__") or len(value) > 0)


def is_placeholder(value: Any) -> bool:
    """True for text that stands for nothing, in a column beside the question and the answer."""
    return isinstance(value, str) and (not value.strip() or value.strip().lower() in _NO_TEXT)


def as_text(value: Any, where: str) -> str:
    """Text of a value: None and NaN are empty, numbers are written out.

    Raises:
        ShapeError: it is a list or an object.
    """
    if value is None or value is MISSING or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    raise ShapeError(f"holds {kind_of(value)} in {where} where text is expected")


def parsed(value: Any) -> Any:
    """A value; text that is a list or an object, in JSON or as Python (and so pandas) writes it, is opened; any other stays."""
    if not isinstance(value, str) or value.lstrip()[:1] not in {"[", "{"}:
        return value
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        opened = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    return opened if isinstance(opened, list | dict) else value


def kind_of(value: Any) -> str:
    """A value's type in plain words."""
    words = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}
    return "nothing" if value is None else words.get(type(value), type(value).__name__)


def in_yaml(name: object) -> str:
    """A column's name as a recipe writes it between braces: in quotes where YAML would read it as something else."""
    plain = name == "..." or (_PLAIN_NAME.fullmatch(str(name)) and str(name).lower() not in _YAML_WORDS)
    return str(name) if plain else json.dumps(str(name), ensure_ascii=False)


def names_of(value: Mapping[str, Any]) -> str:
    """The columns of a row, for a message."""
    names = [str(name) for name in value]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "(none)"
