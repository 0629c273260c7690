"""What a search tries: settings of a preset with a range or a list of values, read from the command line or from a file."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import ConfigError, nearest
from studio.schema.loading import Settings, load_yaml, read_value
from studio.schema.search import RangeSettings

GRID_POINTS = 5
"""Values of a range that a grid tries when it is not said."""
_DIGITS = 4
# Numbers in a setting are judged by YAML, which calls ``1e-5`` text; nothing else may stand left of the two dots.
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*([^:\s]*)\s*((?::[^:]*)*)$")
_MARKS = ("log", "step", "points")


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included. whole: integers only."""

    key: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    points: int | None = None
    whole: bool = False

    def grid(self) -> list[Any]:
        """The values a grid tries, in order, each once."""
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            values = [self.low + place * self.step for place in range(count)]
        else:
            count = self.points or GRID_POINTS
            low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
            spread = [low + (high - low) * place / (count - 1) for place in range(count)]
            values = [math.exp(value) for value in spread] if self.log else spread
        return list(dict.fromkeys(self.value(value) for value in values))

    def value(self, number: float) -> float | int:
        """A drawn number as it is tried: whole, or with four significant digits, so that people can read and type it."""
        if self.whole:
            return min(int(self.high), max(int(self.low), round(number)))
        return min(self.high, max(self.low, float(f"{number:.{_DIGITS}g}")))

    @property
    def text(self) -> str:
        """As a person writes it."""
        low, high = (f"{number:g}" for number in (self.low, self.high))
        step = "" if self.step is None else f":step={self.step:g}"
        return f"{low}..{high}{':log' if self.log else ''}{step}"


@dataclass(frozen=True)
class Choices:
    """A list of values, whatever they are."""

    key: str
    values: tuple[Any, ...]

    def grid(self) -> list[Any]:
        """All of them."""
        return list(self.values)

    @property
    def text(self) -> str:
        """As a person writes it."""
        return json.dumps(list(self.values), ensure_ascii=False)


Dimension = Range | Choices


@dataclass(frozen=True)
class Space:
    """All settings that vary. fixed: ``key=value`` lines that are the same in every trial."""

    dimensions: tuple[Dimension, ...]
    fixed: tuple[str, ...] = ()

    def grid(self) -> list[dict[str, Any]]:
        """Every combination, the last setting changing fastest."""
        keys = [dimension.key for dimension in self.dimensions]
        combined = itertools.product(*(dimension.grid() for dimension in self.dimensions))
        return [dict(zip(keys, values, strict=True)) for values in combined]

    def holds(self, values: Mapping[str, Any]) -> bool:
        """True when the values lie in the space, so that a run with them says something about it."""
        return all(_inside(dimension, values.get(dimension.key, _NOTHING)) for dimension in self.dimensions)

    def of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the settings that vary."""
        return {dimension.key: values.get(dimension.key) for dimension in self.dimensions}

    def record(self) -> list[dict[str, Any]]:
        """The dimensions as plain values."""
        return [
            {"values": list(item.values), "key": item.key} if isinstance(item, Choices) else asdict(item)
            for item in self.dimensions
        ]

    @staticmethod
    def of_record(found: Sequence[Mapping[str, Any]], fixed: Sequence[str]) -> Space:
        """From :meth:`record`."""
        return Space(
            tuple(Choices(item["key"], tuple(item["values"])) if "values" in item else Range(**item) for item in found),
            tuple(fixed),
        )


_NOTHING = object()


def _inside(dimension: Dimension, value: Any) -> bool:
    """Whether a dimension has a value."""
    if isinstance(dimension, Choices):
        return any(type(value) is type(other) and value == other for other in dimension.values)
    return isinstance(value, int | float) and not isinstance(value, bool) and dimension.low <= value <= dimension.high


def assignments(values: Mapping[str, Any]) -> list[str]:
    """Values of settings as ``key=value`` lines, which ``--set`` takes."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def read_space(
    preset: Path, schema: type[Settings], settings: Sequence[str], written: Mapping[str, Any] | None = None, place: str = ""
) -> Space:
    """The space of ``--set`` lines and of a file's ``space``; a line for the same setting wins over the file.

    A list that the setting itself takes is a value; any other list names values to try.

    Args:
        settings: ``key=value``, ``key=low..high[:log][:step=…][:points=…]``, ``key=[a, b]``.
        written: a file's ``space``. place: the file, for messages.
    Raises:
        ConfigError: an unknown setting, an empty range, a value that the preset refuses.
    """
    asked: dict[str, tuple[Any, str]] = {key: (value, f"{place}: space.{key}") for key, value in (written or {}).items()}
    fixed = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip()
        wanted = _wanted(text) if equals and key else None
        if wanted is None or (isinstance(wanted, list) and _accepts(preset, schema, [setting])):
            fixed.append(setting)
            asked.pop(key, None)
        else:
            asked[key] = (wanted, f"--set {setting}")
    load_yaml(preset, schema, fixed)  # a slip in what stays the same is told first
    dimensions = [_dimension(preset, schema, fixed, key, value, said) for key, (value, said) in asked.items()]
    return Space(tuple(dimensions), tuple(fixed))


def _wanted(text: str) -> Any:
    """What a ``--set`` value asks to try: a range as it was written, or a list; None for a single value."""
    if _RANGE.match(text):
        return text.strip()
    try:
        value = read_value(text, "")
    except ConfigError:
        return None  # its reader says what is wrong, with its place
    return value if isinstance(value, list) else None


def _accepts(preset: Path, schema: type[Settings], settings: Sequence[str]) -> bool:
    """True when the preset takes these settings as they are."""
    try:
        load_yaml(preset, schema, settings)
    except ConfigError:
        return False
    return True


def _dimension(preset: Path, schema: type[Settings], fixed: Sequence[str], key: str, asked: Any, said: str) -> Dimension:
    """One setting that varies, every value checked by the preset's own schema."""
    if isinstance(asked, str) and not _RANGE.match(asked):
        raise ConfigError(f"{said}: {asked!r} is neither a range nor a list. Write low..high, low..high:log, or [a, b].")
    if isinstance(asked, list):
        return _choices(preset, schema, fixed, key, asked, said)
    found = parse_range(key, asked, said) if isinstance(asked, str) else _of_settings(key, asked)
    _check_range(found, said)
    for end in (found.low, found.high):
        _try(preset, schema, fixed, key, int(end) if end.is_integer() else end, said)
    ends_whole = found.low.is_integer() and found.high.is_integer()
    whole = ends_whole and not _accepts(preset, schema, [*fixed, f"{key}={(found.low + found.high) / 2 + 0.123:.6f}"])
    if whole and found.step is not None and not found.step.is_integer():
        raise ConfigError(f"{said}: {key} takes whole numbers, and the step is {found.step:g}. Give a whole step.")
    return Range(key, found.low, found.high, found.log, found.step, found.points, whole)


def _choices(preset: Path, schema: type[Settings], fixed: Sequence[str], key: str, values: list[Any], said: str) -> Choices:
    """A list of values."""
    if len(values) < 2:
        raise ConfigError(f"{said}: a list to try needs at least two values, and this has {len(values)}. Add one, or fix it.")
    texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
    repeated = next((text for place, text in enumerate(texts) if text in texts[:place]), None)
    if repeated is not None:
        raise ConfigError(f"{said}: {repeated} stands twice in the list. Leave one out.")
    for value in values:
        _try(preset, schema, fixed, key, value, said)
    return Choices(key, tuple(values))


def _of_settings(key: str, asked: RangeSettings) -> Range:
    """A range written as a group."""
    return Range(key, asked.low, asked.high, asked.log, asked.step, asked.points)


def parse_range(key: str, text: str, said: str) -> Range:
    """``low..high`` with ``:log``, ``:step=0.1`` and ``:points=7`` behind it.

    Raises:
        ConfigError: an end is no number, or a mark is unknown.
    """
    match = _RANGE.match(text)
    assert match is not None
    low, high, marks = match.groups()
    if not re.fullmatch(_NUMBER, high):
        raise ConfigError(f"{said}: the range ends in {high!r}, which is no number. Write low..high, for example 1e-5..1e-3:log.")
    found: dict[str, Any] = {}
    for mark in marks.split(":")[1:]:
        name, _, value = mark.partition("=")
        if name not in _MARKS:
            raise ConfigError(
                f"{said}: unknown ':{mark}' after a range.{nearest(name, _MARKS)} Allowed: :log, :step=…, :points=…."
            )
        found[name] = True if name == "log" else _number(name, value, said)
    return Range(key, float(low), float(high), found.get("log", False), found.get("step"), found.get("points"))


def _number(name: str, text: str, said: str) -> float | int:
    """The value of a mark."""
    if not re.fullmatch(_NUMBER, text) or float(text) <= 0 or (name == "points" and not 2 <= float(text) == int(float(text))):
        wanted = "a whole number from 2 on" if name == "points" else "a number above 0"
        raise ConfigError(f"{said}: ':{name}={text}' should be {wanted}.")
    return int(float(text)) if name == "points" else float(text)


def _check_range(found: Range, said: str) -> None:
    """A range that holds something, on the scale that is asked for."""
    low, high = found.low, found.high
    text = f"{low:g}..{high:g}"
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{said}: a range cannot be infinite. Give two numbers.")
    if low >= high:
        why = "has one value" if low == high else "ends before it begins"
        raise ConfigError(f"{said}: the range {text} {why}. Write the smaller number first, then the larger.")
    if found.log and low <= 0:
        raise ConfigError(f"{said}: a log range has to begin above 0, and this begins at {low:g}. Begin at {high / 1e4:g}.")
    if found.log and found.step is not None:
        raise ConfigError(f"{said}: a log range has no step. Say how many values a grid tries with :points=5.")
    if found.step is not None and found.step > high - low:
        raise ConfigError(f"{said}: the step {found.step:g} is wider than the range {text}.")


def _try(preset: Path, schema: type[Settings], fixed: Sequence[str], key: str, value: Any, said: str) -> None:
    """Let the schema judge one value; its sentence then names what the person wrote."""
    setting = f"{key}={json.dumps(value, ensure_ascii=False)}"
    try:
        load_yaml(preset, schema, [*fixed, setting])
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"--set {setting}", said)) from None
