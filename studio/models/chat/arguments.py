"""Arguments of a chat template (``enable_thinking``, ``reasoning_effort``, ``date_string``): which it knows, and how they last.

They are written into the text as defaults, so that whatever renders the run's template (training, chat, evaluation, vLLM, an
export) starts from them; a caller that gives another value is still heard.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import yaml
from jinja2 import meta

from studio.core.errors import UserError, nearest
from studio.models.chat.rendering import ChatTemplate, Value, compiled

# What whoever renders a template gives to it in any case.
_GIVEN = {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message"}


@lru_cache(maxsize=64)
def known_arguments(text: str) -> frozenset[str]:
    """Names that a template asks for and that nobody gives it unasked.

    Raises:
        jinja2.TemplateSyntaxError: it is no Jinja.
    """
    environment = compiled(text).environment
    asked = meta.find_undeclared_variables(environment.parse(text))
    return frozenset(name for name in asked if name not in _GIVEN and not name.endswith("_token"))


def refuse_unknown(template: ChatTemplate, names: Iterable[str], field: str) -> None:
    """Go on only when the template asks for every one of these names.

    Args:
        field: of the preset in which they stand.
    Raises:
        UserError: it never mentions one; says which it knows.
    """
    known = known_arguments(template.text)
    for name in names:
        if name not in known:
            raise UserError(
                f"{field}: the chat template {template.name!r} knows no argument {name!r}.{nearest(name, known)} "
                + (f"It knows: {', '.join(sorted(known))}." if known else f"It knows none; remove {field}.")
            )


def read_arguments(pairs: Sequence[str], option: str) -> dict[str, Value]:
    """Arguments of a template from ``NAME=VALUE``, the value as YAML has it (yes or no, a number, a text).

    Args:
        option: of the command line that they were given with.
    Raises:
        UserError: another form, or a value that is none of these.
    """
    found: dict[str, Value] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = None
        if not (name.strip() and equals and isinstance(value, bool | int | float | str)):
            raise UserError(f"{option} {pair!r}: give NAME=VALUE with true, false, a number or a text.")
        found[name.strip()] = value
    return found


def as_client(template: ChatTemplate, arguments: Mapping[str, Value], option: str) -> ChatTemplate:
    """The template of a run with what a client may set set.

    Args:
        option: of the command line that they were given with.
    Raises:
        UserError: the run's preset does not leave one to clients.
    """
    for name in arguments:
        if name not in template.client_arguments:
            left = ", ".join(template.client_arguments) or "none"
            raise UserError(
                f"{option} {name}: the run keeps what it was trained with; its preset leaves to clients: {left}. Name it in "
                "client_arguments when you train."
            )
    return replace(template, arguments={**template.arguments, **arguments}) if arguments else template


def with_defaults(text: str, arguments: Mapping[str, Value]) -> str:
    """The template with each argument set where its caller does not give it."""
    if not arguments:
        return text
    # JSON's words and numbers are Jinja's too; a text keeps its letters, because Jinja cannot join JSON's pairs of escapes.
    lines = (
        f"{{%- set {name} = {name} if {name} is defined else {json.dumps(value, ensure_ascii=False)} %}}"
        for name, value in arguments.items()
    )
    return "".join(lines) + "{{ '' }}" + text
