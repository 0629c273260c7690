"""Forms made from schemas: each setting a field with its help and its bounds, and what differs becomes ``--set``."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from studio.core.errors import ConfigError
from studio.core.translation import later, t
from studio.schema.loading import read_value

Widget = Literal["check", "select", "line", "text", "lines"]

# What lists show of a preset, what is chosen beside its settings, and what a training does not look at.
_ELSEWHERE = frozenset({"kind", "description", "why", "search", "model", "data", "start"})
_BOUNDS = {
    ("gt", ""): later("above {low}"),
    ("ge", ""): later("{low} or more"),
    ("gt", "lt"): later("above {low} and below {high}"),
    ("gt", "le"): later("above {low}, at most {high}"),
    ("ge", "lt"): later("{low} or more, below {high}"),
    ("ge", "le"): later("{low} to {high}"),
    ("", "lt"): later("below {high}"),
    ("", "le"): later("{high} at most"),
}


@dataclass(frozen=True)
class Field:
    """One setting in a form.

    name: with dots (``lora.rank``). help: English, one line. widget: ``line`` is one line read as YAML, ``text`` one line taken
    as it is, ``lines`` YAML of several lines. options: what may stand there, of ``line`` what may stand there among others.
    limits: English text with ``low`` and ``high``, and the two. optional: may be left empty, which is None. empty: what an
    emptied field means, as YAML. value: as text, what the preset says.
    """

    name: str
    help: str
    widget: Widget
    value: str
    options: tuple[str, ...] = ()
    limits: tuple[str, str, str] | None = None
    optional: bool = False
    empty: str = ""

    @property
    def bounds(self) -> str:
        """What numbers are allowed, in the reader's language; empty where all are."""
        return t(self.limits[0], low=self.limits[1], high=self.limits[2]) if self.limits else ""

    def setting(self, text: str) -> str | None:
        """What a typed text is as ``key=value``; None where it says what the preset says."""
        typed = text.replace("\r\n", "\n").strip()
        if typed == self.value or (self.widget != "text" and _same(typed, self.value)):
            return None
        return f"{self.name}={self._as_yaml(typed)}"

    def _as_yaml(self, typed: str) -> str:
        """The text as it stands after ``--set key=``."""
        if not typed:
            return self.empty
        if self.widget == "text":
            return typed if _reads_as(typed, typed) and "\n" not in typed else json.dumps(typed, ensure_ascii=False)
        if "\n" not in typed:
            return typed
        try:
            return json.dumps(read_value(typed, self.name), ensure_ascii=False)
        except ConfigError:
            return typed


@dataclass(frozen=True)
class Block:
    """Settings that belong together. name: of the group (``lora``), empty for the preset's own. switch: None, or whether a group
    that may be left out is in the preset.
    """

    name: str
    help: str
    fields: tuple[Field, ...]
    switch: bool | None = None


def form_of(preset: BaseModel) -> tuple[Block, ...]:
    """The blocks of a form for a preset that was read; the preset's own settings first."""
    return tuple(_blocks("", preset, type(preset).__doc__ or "", None))


def fields_of(blocks: tuple[Block, ...]) -> dict[str, Field]:
    """All fields by their names."""
    return {field.name: field for block in blocks for field in block.fields}


def one_line(text: str | None) -> str:
    """A docstring as one line, as catalogues have it."""
    return " ".join((text or "").split())


def _blocks(name: str, value: BaseModel, about: str, switch: bool | None) -> Iterator[Block]:
    """A group of settings, then the groups in it."""
    fields, inner = [], []
    for key, info in type(value).model_fields.items():
        if not name and key in _ELSEWHERE:
            continue
        full, held = f"{name}.{key}" if name else key, getattr(value, key)
        alternatives = list(_alternatives(info.annotation))
        models = [each for each in alternatives if isinstance(each, type) and issubclass(each, BaseModel)]
        optional = types.NoneType in alternatives
        if models and all(each in models or each is types.NoneType for each in alternatives):
            shown = held if held is not None else models[0]()
            inner.append((full, shown, info.description or "", held is not None if optional else None))
        elif not _tells_which(info):
            fields.append(_field(full, info, held, alternatives))
    yield Block(name, one_line(about), tuple(fields), switch)
    for full, shown, help_text, inner_switch in inner:
        yield from _blocks(full, shown, help_text, inner_switch)


def _tells_which(info: FieldInfo) -> bool:
    """True for a field of one possible value, which only tells alternatives apart."""
    return get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1


def _field(name: str, info: FieldInfo, held: Any, alternatives: list[Any]) -> Field:
    """One field, with what the preset has there."""
    optional = types.NoneType in alternatives
    kinds = [each for each in alternatives if each is not types.NoneType]
    words = [choice for each in kinds if get_origin(each) is Literal for choice in get_args(each)]
    if bool in kinds:
        words += [True, False]
    found = Field(name, one_line(info.description), "line", _text(held), tuple(map(_text, words)), optional=optional)
    found = replace(found, limits=_limits(info), empty="null" if optional else "")
    if kinds == [bool] and not optional:
        return replace(found, widget="check", options=())
    if all(get_origin(each) is Literal or each is bool for each in kinds):
        return replace(found, widget="select")
    if kinds == [str]:
        return replace(found, widget="text", value=held or "", empty="null" if optional else '""')
    several = [each for each in kinds if get_origin(each) in {list, dict}]
    if several and not words:
        empty = found.empty or ("[]" if get_origin(several[0]) is list else "{}")
        return replace(found, widget="lines", value=_text(held), empty=empty)
    return found


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types that may stand in a place, unions taken apart and remarks taken off."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in {Union, types.UnionType}:
        for each in get_args(annotation):
            yield from _alternatives(each)
    else:
        yield annotation


def _limits(info: FieldInfo) -> tuple[str, str, str] | None:
    """Bounds of a number: the sentence, the lower and the upper one."""
    found: dict[str, Any] = {}
    for remark in [*info.metadata, *_remarks(info.annotation)]:
        for sign in ("gt", "ge", "lt", "le"):
            if getattr(remark, sign, None) is not None:
                found.setdefault(sign, getattr(remark, sign))
    low = next((sign for sign in ("gt", "ge") if sign in found), "")
    high = next((sign for sign in ("lt", "le") if sign in found), "")
    if not low and not high:
        return None
    return _BOUNDS[low, high], _text(found.get(low, "")), _text(found.get(high, ""))


def _remarks(annotation: Any) -> Iterator[Any]:
    """What stands beside the types of a union; not what is said of the items of a list."""
    origin = get_origin(annotation)
    if origin is Annotated:
        for remark in get_args(annotation)[1:]:
            yield from remark.metadata if isinstance(remark, FieldInfo) else [remark]
    if origin in {Annotated, Union, types.UnionType}:
        for each in get_args(annotation):
            yield from _remarks(each)


def _text(value: Any) -> str:
    """A value as a person would type it into YAML; None as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    plain = _plain(value)
    if isinstance(plain, dict) or (isinstance(plain, list) and any(isinstance(item, dict) for item in plain)):
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).strip() if plain else "{}"
    return json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Models as what was said in them."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _same(typed: str, kept: str) -> bool:
    """True where two texts are the same value in YAML: ``3e-4`` and ``0.0003``."""
    try:
        first, second = read_value(typed, ""), read_value(kept, "")
    except ConfigError:
        return False
    return bool(first == second and isinstance(first, bool) == isinstance(second, bool))


def _reads_as(text: str, wanted: Any) -> bool:
    """True where YAML makes just that of a text."""
    try:
        return bool(read_value(text, "") == wanted)
    except ConfigError:
        return False
