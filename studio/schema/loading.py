"""Reading a person's YAML strictly: every mistake is one sentence with file, line, value, what is allowed, nearest name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

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
    """SafeLoader that reads ``3e-4`` as a number (YAML 1.1 calls it text) and leaves yes, no, on, off as words."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag not in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|nan))$"),
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


def validate(value: Any, schema: type[S], places: dict[Location, str] | None = None, source: str = "settings") -> S:
    """Validate a plain value; ``places`` maps a key path to ``file:line`` for the message.

    Raises:
        ConfigError: the first mistake, in one sentence.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        details = error.errors()
        # An unknown key is usually the cause of a "field required" next to it, so it is told first.
        first = next((detail for detail in details if detail["type"] == "extra_forbidden"), details[0])
        raise ConfigError(_sentence(first, schema, value, places or {}, source)) from None


def _parse(path: Path, text: str) -> tuple[dict[str, Any], dict[Location, int]]:
    """Read YAML text into plain values and the line of every key path; repeated keys are refused."""
    loader = _Loader(text)
    lines: dict[Location, int] = {}
    try:
        node = loader.get_single_node()
        if node is None:
            raise ConfigError(f"{path}:1: the file is empty.")
        _collect_lines(node, (), lines, path)
        value = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}.") from error
    finally:
        loader.dispose()
    if not isinstance(value, dict):
        raise ConfigError(f"{path}:1: expected 'key: value' lines, found {type(value).__name__}.")
    return value, lines


def _collect_lines(node: yaml.Node, place: Location, lines: dict[Location, int], path: Path) -> None:
    """Record the 1-based line of every key and item below a node."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            location = (*place, key.value)
            if location in lines:
                raise ConfigError(
                    f"{path}:{key.start_mark.line + 1}: '{key.value}' is given twice (first on line {lines[location]}). Keep one."
                )
            lines[location] = key.start_mark.line + 1
            _collect_lines(child, location, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            lines[(*place, index)] = child.start_mark.line + 1
            _collect_lines(child, (*place, index), lines, path)


def _apply(override: str, value: dict[str, Any], places: dict[Location, str]) -> None:
    """Put one ``a.b=value`` into the plain value; the schema judges it afterwards."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected key=value, for example --set learning_rate=3e-4.")
    parts = key.strip().split(".")
    try:
        parsed = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML ({getattr(error, 'problem', error)}).") from error
    target: Any = value
    for depth, part in enumerate(parts[:-1]):
        if isinstance(target, list):
            child = target[int(part)] if part.isdigit() and int(part) < len(target) else None
        else:
            child = target[part] = {} if target.get(part) is None else target[part]
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
    places[tuple(int(part) if part.isdigit() else part for part in parts)] = f"--set {override}"


def _sentence(
    detail: ErrorDetails, schema: type[BaseModel], value: Any, places: dict[Location, str], source: str
) -> str:
    """One sentence for one pydantic error."""
    location = _real_location(detail["loc"], value)
    place = next((places[location[:end]] for end in range(len(location), -1, -1) if location[:end] in places), source)
    name = ".".join(str(part) for part in location) or "the file"
    given = detail.get("input")
    match detail["type"]:
        case "extra_forbidden":
            allowed = _fields_at(schema, location[:-1], value)
            key = str(location[-1])
            inside = f" in '{'.'.join(str(part) for part in location[:-1])}'" if location[:-1] else ""
            return f"{place}: unknown field '{key}'{inside}.{nearest(key, allowed)} Allowed: {', '.join(sorted(allowed))}."
        case "missing":
            return f"{place}: the field '{name}' is missing. Add it."
        case "literal_error" | "enum":
            expected = str(detail.get("ctx", {}).get("expected", ""))
            options = re.findall(r"'([^']*)'", expected)
            return f"{place}: '{name}' is {given!r}.{nearest(str(given), options)} Allowed: {', '.join(options) or expected}."
        case "union_tag_invalid" | "union_tag_not_found":
            context = detail.get("ctx", {})
            options = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
            key = str(context.get("discriminator", "type")).strip("'")
            tag = str(context.get("tag", ""))
            if not tag:
                return f"{place}: '{name}' needs '{key}'. Allowed: {', '.join(options)}."
            return f"{place}: '{name}.{key}' is {tag!r}.{nearest(tag, options)} Allowed: {', '.join(options)}."
        case "value_error":
            return f"{place}: '{name}': {detail['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{place}: '{name}' is {given!r}, but {detail['msg'][0].lower()}{detail['msg'][1:]}."


def _real_location(location: Location, value: Any) -> Location:
    """Drop what pydantic adds to a location for unions and tags, so that it is a path into the person's value."""
    real: list[str | int] = []
    current = value
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(current, dict) and (part in current or is_last):
            real.append(part)
            current = current.get(str(part))
        elif isinstance(current, list) and isinstance(part, int):
            real.append(part)
            current = current[part] if part < len(current) else None
    return tuple(real)


def _fields_at(schema: type[BaseModel], location: Location, value: Any) -> set[str]:
    """Names allowed at a place in the schema, for the message about an unknown field."""
    models: list[type[BaseModel]] = [schema]
    current = value
    for part in location:
        found: list[type[BaseModel]] = []
        for model in models:
            annotations = [model.model_fields[str(part)].annotation] if part in model.model_fields else []
            found += [inner for annotation in annotations for inner in _models_in(annotation)]
        current = current[part] if isinstance(current, dict | list) else None
        models = found or models
    if isinstance(current, dict):
        models = _matching_tag(models, current) or models
    return {name for model in models for name in model.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every pydantic model named inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _matching_tag(models: list[type[BaseModel]], current: dict[str, Any]) -> list[type[BaseModel]]:
    """Of several alternatives, those whose literal fields agree with what was written."""

    def agrees(model: type[BaseModel]) -> bool:
        tags = {name: get_args(field.annotation) for name, field in model.model_fields.items() if name in {"kind", "step", "source"}}
        return any(current.get(name) in options for name, options in tags.items() if options)

    return [model for model in models if agrees(model)]
