"""Reading a person's YAML strictly: every mistake is one sentence with file, line, value, what is allowed, nearest name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from studio.core.errors import ConfigError, nearest

Location = tuple[str | int, ...]


class Settings(BaseModel):
    """Base of every schema: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's idea of a number and a word.

    ``3e-4`` is a number (YAML 1.1 calls it text); yes, no, on, off, dates, ``12:30`` and ``010`` are what they look like: text.
    """


_REPLACED = {f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|nan))$"
    ),
    list("-+0123456789."),
)


def load_yaml(path: Path, schema: type[S], overrides: Sequence[str] = ()) -> S:
    """Read one YAML file into a schema, with ``key=value`` overrides from the command line.

    Args:
        overrides: ``--set`` values, for example ``lora.rank=32``; values are read as YAML.
    Raises:
        ConfigError: unreadable file, bad YAML, unknown or repeated key, wrong type or impossible value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    value, lines = _parse(path, text)
    places: dict[Location, str] = {location: f"{path}:{line}" for location, line in lines.items()}
    for override in overrides:
        _apply(override, value, places)
    return validate(value, schema, places, str(path))


def load_value(value: dict[str, Any], schema: type[S], overrides: Sequence[str] = (), *, source: str = "settings") -> S:
    """Validate settings that were not read from a file, with ``key=value`` overrides from the command line.

    Raises:
        ConfigError: the first mistake, in one sentence.
    """
    places: dict[Location, str] = {}
    for override in overrides:
        _apply(override, value, places)
    return validate(value, schema, places, source)


def validate(value: Any, schema: type[S], places: dict[Location, str] | None = None, source: str = "settings") -> S:
    """Validate a plain value; ``places`` maps a key path to ``file:line`` for the message.

    Raises:
        ConfigError: the first mistake, in one sentence.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        detail = _most_telling(error.errors(), value)
        sentence = _sentence(detail, schema, value, places or {}, source)
        raise ConfigError(sentence, _real_location(detail, value)) from None


def _most_telling(details: list[ErrorDetails], value: Any) -> ErrorDetails:
    """The one error to show: an unknown key (usually the cause of a "field required" next to it), else the innermost."""
    unknown = next((detail for detail in details if detail["type"] == "extra_forbidden"), None)
    if unknown:
        return unknown
    first = _real_location(details[0], value)
    inside = [detail for detail in details if _real_location(detail, value)[: len(first)] == first]
    return max(inside, key=lambda detail: len(_real_location(detail, value)))


def _parse(path: Path, text: str) -> tuple[dict[str, Any], dict[Location, int]]:
    """Read YAML text into plain values and the line of every key path; repeated keys are refused."""
    lines: dict[Location, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(f"{path}:1: the file is empty. Begin with a copy of one that works (docs/reference.md).")
        _collect_lines(node, (), lines, path, set())
        value = loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = error.character if isinstance(error.character, int) else ord(error.character)
        raise ConfigError(f"{path}:{line}: the character U+{character:04X} may not stand in YAML. Remove it.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}.") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply to be read.") from error
    except ValueError as error:
        raise ConfigError(f"{path}: a value cannot be read ({error}).") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}:1: expected 'key: value' lines, found {type(value).__name__}.")
    return value, lines


def _collect_lines(node: yaml.Node, place: Location, lines: dict[Location, int], path: Path, seen: set[int]) -> None:
    """Record the 1-based line of every key and item below a node; what an alias repeats is recorded once."""
    lines.setdefault(place, node.start_mark.line + 1)
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{path}:{key.start_mark.line + 1}: a key must be a plain word.")
            location = (*place, key.value)
            if location in lines:
                raise ConfigError(
                    f"{path}:{key.start_mark.line + 1}: '{key.value}' is given twice (first on line {lines[location]}). Keep one."
                )
            lines[location] = key.start_mark.line + 1
            _collect_lines(child, location, lines, path, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            lines[(*place, index)] = child.start_mark.line + 1
            _collect_lines(child, (*place, index), lines, path, seen)


def read_value(text: str, place: str) -> Any:
    """One value as it stands in a YAML file: a number, a word, a list.

    Args:
        place: where it was given, for the message.
    Raises:
        ConfigError: it is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a subclass of SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A star begins an alias in YAML, which nobody means who writes a pattern; other signs mean something too.
        key = place.removeprefix("--set ").partition("=")[0]
        quoted = f" If it is meant as text, quote it twice: --set '{key}=\"{text}\"'"
        quoted = quoted if place.startswith("--set ") and text[:1] in {*"*&!%@`"} else ""
        raise ConfigError(f"{place}: the value is not valid YAML ({getattr(error, 'problem', error)}).{quoted}") from error


def _apply(override: str, value: dict[str, Any], places: dict[Location, str]) -> None:
    """Put one ``a.b=value`` into the plain value; the schema judges it afterwards."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected key=value, for example --set learning_rate=3e-4.")
    parts = key.strip().split(".")
    location: Location = tuple(int(part) if part.isdigit() else part for part in parts)
    try:
        parsed = read_value(text, f"--set {override}")
    except ConfigError as error:
        raise ConfigError(str(error), location) from error.__cause__
    target: Any = value
    for depth, part in enumerate(parts[:-1]):
        if isinstance(target, list):
            child = target[int(part)] if part.isdigit() and int(part) < len(target) else None
        else:
            if target.get(part) is None:
                places[location[: depth + 1]] = f"--set {override}"
                target[part] = {}
            child = target[part]
        if not isinstance(child, dict | list):
            raise ConfigError(f"--set {override}: '{'.'.join(parts[: depth + 1])}' holds no settings of its own.")
        target = child
    last = parts[-1]
    if isinstance(target, list):
        if not last.isdigit() or int(last) >= len(target):
            raise ConfigError(f"--set {override}: '{'.'.join(parts[:-1])}' is a list of {len(target)}; give an index below that.")
        target[int(last)] = parsed
    else:
        target[last] = parsed
    for place in [place for place in places if place[: len(location)] == location]:
        del places[place]  # what stood there in the file is gone
    places[location] = f"--set {override}"


def _sentence(detail: ErrorDetails, schema: type[BaseModel], value: Any, places: dict[Location, str], source: str) -> str:
    """One sentence for one pydantic error."""
    location = _real_location(detail, value)
    place = next((places[location[:end]] for end in range(len(location), -1, -1) if location[:end] in places), source)
    name = ".".join(str(part) for part in location) or "the file"
    given = _short(detail.get("input"))
    match detail["type"]:
        case "extra_forbidden":
            allowed = {field for model in _models_at(schema, location[:-1], value) for field in model.model_fields}
            key = str(location[-1])
            inside = f" in '{'.'.join(str(part) for part in location[:-1])}'" if location[:-1] else ""
            remedy = nearest(key, allowed) or _elsewhere(schema, key) or f" Allowed: {', '.join(sorted(allowed))}."
            return f"{place}: unknown field '{key}'{inside}.{remedy}"
        case "missing":
            return f"{place}: the field '{name}' is missing. Add it."
        case "literal_error" | "enum":
            expected = str(detail.get("ctx", {}).get("expected", ""))
            options = re.findall(r"'([^']*)'", expected)
            guess = nearest(str(detail.get("input")), options)
            return f"{place}: '{name}' is {given}.{guess} Allowed: {', '.join(options) or expected}."
        case "union_tag_invalid" | "union_tag_not_found":
            context = detail.get("ctx", {})
            key = str(context.get("discriminator", "type")).strip("'")
            models = _models_at(schema, location, None)
            options = [
                tag for model in models if key in model.model_fields for tag in get_args(model.model_fields[key].annotation)
            ]
            tag = str(context.get("tag", ""))
            if not tag:
                return f"{place}: '{name}' needs '{key}'. Allowed: {', '.join(options)}."
            return f"{place}: '{name}.{key}' is {tag!r}.{nearest(tag, options)} Allowed: {', '.join(options)}."
        case "value_error":
            message = detail["msg"].removeprefix("Value error, ")
            return f"{place}: '{name}': {message}" if location else f"{place}: {message}"
        case "string_type":
            return f"{place}: '{name}' is {given}, but should be text. Put it in quotes if it is meant as text."
        case "list_type" | "tuple_type" | "set_type":
            return f"{place}: '{name}' is {given}, but should be a list. Write it as [a, b]."
        case "bool_type" | "bool_parsing":
            # The first alternative of fields that take text and numbers too, which only a list or a group fails in all.
            wanted = "Allowed: true, false." if not isinstance(detail.get("input"), list | dict) else "Give a single value."
            return f"{place}: '{name}' is {given}. {wanted}"
        case "model_type" | "dict_type" | "model_attributes_type":
            return f"{place}: '{name}' is {given}, but holds settings of its own. Write them below it, as 'key: value'."
        case _:
            return f"{place}: '{name}' is {given}, but {detail['msg'][0].lower()}{detail['msg'][1:]}."


def _short(given: Any) -> str:
    """A value as Python writes it, cut where it would fill the screen."""
    text = repr(given)
    return text if len(text) <= 80 else text[:79] + "…"


def _real_location(detail: ErrorDetails, value: Any) -> Location:
    """Drop what pydantic adds to a location for unions and tags, so that it is a path into the person's value."""
    location = detail["loc"]
    real: list[str | int] = []
    current = value
    for index, part in enumerate(location):
        # Only a missing field is named by a location that is not in the value.
        is_last = index == len(location) - 1 and detail["type"] == "missing"
        if isinstance(current, dict) and (part in current or is_last):
            real.append(part)
            current = current.get(str(part))
        elif isinstance(current, list) and isinstance(part, int):
            real.append(part)
            current = current[part] if part < len(current) else None
    return tuple(real)


def _models_at(schema: type[BaseModel], location: Location, value: Any) -> list[type[BaseModel]]:
    """Models that may stand at a place in the schema; of tagged alternatives the one that was written."""
    models: list[type[BaseModel]] = [schema]
    current = value
    for part in location:
        found: list[type[BaseModel]] = []
        for model in models:
            annotations = [model.model_fields[str(part)].annotation] if part in model.model_fields else []
            found += [inner for annotation in annotations for inner in _models_in(annotation)]
        if isinstance(current, dict):
            current = current.get(str(part))
        else:
            current = current[int(part)] if isinstance(current, list) else None
        models = found or models
    if isinstance(current, dict):
        models = _matching_tag(models, current) or models
    return models


def _elsewhere(schema: type[BaseModel], key: str) -> str:
    """`` Did you mean 'lora.rank'?`` when one of the groups of settings has a field of that name."""
    for group, field in schema.model_fields.items():
        # Of a list it would be a field of one of its items, which one cannot be said.
        if get_origin(field.annotation) is not list and any(key in model.model_fields for model in _models_in(field.annotation)):
            return f" Did you mean '{group}.{key}'?"
    return ""


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every pydantic model named inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _matching_tag(models: list[type[BaseModel]], current: dict[str, Any]) -> list[type[BaseModel]]:
    """Of several alternatives, those whose literal fields agree with what was written."""

    def agrees(model: type[BaseModel]) -> bool:
        tags = {
            name: get_args(field.annotation) for name, field in model.model_fields.items() if name in {"kind", "step", "type"}
        }
        return any(current.get(name) in options for name, options in tags.items() if options)

    return [model for model in models if agrees(model)]
