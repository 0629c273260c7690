"""``docs/reference.md`` is made from the code: every command with its options, every setting with the schema's own words."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most", "min_length": "length at least", "pattern": "like"}


def reference() -> None:
    """Print the reference of every command and every setting, as Markdown."""
    from studio.cli import output

    text = render()
    if output.json_wanted():
        output.emit_json({"markdown": text})
    else:
        output.say(text.rstrip("\n"))


def render() -> str:
    """The whole reference as Markdown text."""
    head = ["# Reference", "", "Made by `studio reference` from the code; `make reference` writes it anew.", ""]
    return "\n".join([*head, *_commands(), *_schemas()]).rstrip("\n") + "\n"


def _commands() -> Iterator[str]:
    """Every command: usage, what it does, its arguments and options."""
    from studio.cli.main import COMMANDS, HIDDEN, load_command

    yield "## Commands"
    yield ""
    yield "Every command takes `--json` (one JSON document on stdout, everything else on stderr), `--workspace`, `--lang`"
    yield "(`en`, `zh`; without it that of the environment; quickstart, `init` and the apps speak it) and `--help`."
    yield "Exit codes: 0 done, 1 failed, 2 bad input, 3 a gate or check not met, 130 interrupted after saving."
    for name, entry in COMMANDS.items():
        if entry.section == HIDDEN:
            continue
        command = load_command(name)
        if hasattr(command, "commands"):
            for inner in command.commands.values():
                yield from _command(f"studio {name} {inner.name}", inner)
        else:
            yield from _command(f"studio {name}", command)


def _command(title: str, command: Any) -> Iterator[str]:
    """One command as a section with a table."""
    shown = [parameter for parameter in command.params if not parameter.hidden and not _common(parameter)]
    arguments = "".join(f" {_argument(parameter)}" for parameter in shown if not _is_option(parameter))
    yield from ("", f"### `{title}{arguments}`", "", inspect.cleandoc(command.help or "").partition("\f")[0].strip())
    if shown:
        yield from ("", "| argument or option | meaning | default |", "|---|---|---|")
    for parameter in shown:
        name = ", ".join(f"`{flag}`" for flag in [*parameter.opts, *parameter.secondary_opts])
        name = name if _is_option(parameter) else f"`{_argument(parameter)}`"
        default = "required" if parameter.required and _is_option(parameter) else parameter.default
        default = default if _plain_default(default) else None
        yield f"| {name} | {_cell(parameter.help or '')} | {_default_text(default)} |"


def _is_option(parameter: Any) -> bool:
    """True for ``--option``, False for an argument."""
    return str(parameter.param_type_name) == "option"


def _common(parameter: Any) -> bool:
    """True for the options that every command has."""
    return bool({"--json", "--workspace", "--lang", "--help"} & set(parameter.opts))


def _argument(parameter: Any) -> str:
    """``RUN``, ``[RUN]`` or ``RUN...``."""
    name = str(parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _plain_default(value: object) -> bool:
    """True for a default that says something to a reader."""
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _default_text(default: object) -> str:
    """A default as code; ``required`` as a word; nothing for none."""
    if default is None:
        return ""
    return str(default) if default == "required" else f"`{default}`"


def _schemas() -> Iterator[str]:
    """Every kind of YAML: its fields, and those of the groups inside it."""
    from studio.data.kinds import all_dataset_kinds
    from studio.schema.project import Project
    from studio.schema.search import SearchFile
    from studio.schema.server import ServerProfile
    from studio.schema.suite import Suite
    from studio.train.kinds import all_run_kinds

    kinds: list[tuple[str, str, type[BaseModel]]] = [
        *((rows.title, rows.about, rows.schema) for rows in all_dataset_kinds()),
        *((runs.title, runs.about, runs.schema) for runs in all_run_kinds()),
        ("Suite", "`evals/*.yaml`: what is measured, and what must hold.", Suite),
        ("Server profile", "`apps/servers/*.yaml`: how runs are served, and what a client may ask.", ServerProfile),
        ("Space", "`studio search PRESET --space FILE`: what a search tries, and for how long.", SearchFile),
        ("Project", "`project.yaml`: the goal of a project.", Project),
    ]
    told: set[type[BaseModel]] = set()
    for title, text, schema in kinds:
        yield from ("", f"## {title}", "", text)
        for model in _with_inner(schema):
            if model in told:
                continue
            told.add(model)
            if model is not schema:
                yield from ("", f"### {_label(model)}", "", _cell(inspect.getdoc(model) or ""))
            yield from ("", "| field | type | default | meaning |", "|---|---|---|---|")
            yield from (_field(name, field) for name, field in model.model_fields.items())


def _with_inner(schema: type[BaseModel]) -> list[type[BaseModel]]:
    """A schema and every group of settings reachable from it, each once, outer ones first."""
    found = [schema]
    for model in found:
        for field in model.model_fields.values():
            found += [inner for inner in _models(field.annotation) if inner not in found]
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Schemas named inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return list(dict.fromkeys(model for inner in get_args(annotation) for model in _models(inner)))


def _label(model: type[BaseModel]) -> str:
    """How a group of settings is headed: ``step: length``, ``type: wheel``, else its class's name in words."""
    for tag in ("step", "type"):
        options = get_args(model.model_fields[tag].annotation) if tag in model.model_fields else ()
        if len(options) == 1:
            return f"`{tag}: {options[0]}`"
    return model.__name__.removesuffix("Settings")


def _field(name: str, field: FieldInfo) -> str:
    """One line of a schema's table."""
    kind = type_text(field.annotation) + _bounds(field.metadata)
    if field.is_required():
        default = "required"
    elif isinstance(field.default, BaseModel):
        default = "see there"
    else:
        default = f"`{_yaml_text(field.get_default(call_default_factory=True))}`"
    return f"| `{name}` | {kind} | {default} | {_cell(field.description or '')} |"


def type_text(annotation: Any) -> str:
    """An annotation in a reader's words: ``text``, ``whole number, above 0``, ``one of `a`, `b` ``."""
    if annotation is None or annotation is type(None):
        return "null"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(inner[0]) + "".join(_bounds([extra]) for extra in inner[1:])
    if origin is Literal:
        return ", ".join(f"`{_yaml_text(option)}`" for option in inner)
    if origin in {Union, types.UnionType}:
        parts = list(dict.fromkeys(type_text(option) for option in inner))
        return " or ".join(parts) if len(parts) <= 4 else "one of the kinds below"
    if origin in {list, tuple}:
        return f"list of {type_text(inner[0])}" if inner else "list"
    if origin is dict:
        return "names and values"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _label(annotation)
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(metadata: list[Any]) -> str:
    """Limits of a field: ``, above 0, below 1``."""
    parts = []
    for extra in metadata:
        sources = [extra, *getattr(extra, "metadata", [])]
        for source in sources:
            parts += [
                f", {word} {getattr(source, bound)}"
                for bound, word in _BOUNDS.items()
                if getattr(source, bound, None) is not None
            ]
    return _cell("".join(dict.fromkeys(parts)))


def _yaml_text(value: Any) -> str:
    """A default as it would stand in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_yaml_text(inner) for inner in value) + "]"
    return str(value) if value != "" else '""'


def _cell(text: str) -> str:
    """Text on one line, with nothing that ends a table cell; reStructuredText's double backticks become Markdown's."""
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")
