"""Arguments of a chat template (``enable_thinking``, ``reasoning_effort``, ``date_string``): which it knows, and how they last.

They are written into the text as defaults, so that whatever renders the run's template (training, chat, evaluation, vLLM, an
export) starts from them; a caller that gives another value is still heard.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import yaml
from jinja2 import meta, nodes

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
    tree = compiled(text).environment.parse(text)
    first: dict[str, str] = {}
    for name in _names(tree):
        first.setdefault(name.name, name.ctx)
    asked = meta.find_undeclared_variables(tree)
    # Jinja counts what one branch sets and a later one reads as asked for; an argument is read before it is ever set.
    return frozenset(name for name in asked if first.get(name) == "load" and name not in _GIVEN and not name.endswith("_token"))


@lru_cache(maxsize=64)
def switches(text: str) -> frozenset[str]:
    """Arguments of which a template asks only whether they are true."""
    readings = list(_readings(compiled(text).environment.parse(text), False))
    return known_arguments(text) & {name for name, _ in readings} - {name for name, truth in readings if not truth}


def _names(node: nodes.Node) -> Iterator[nodes.Name]:
    """Names in the order in which they are looked at: a value before the name that it is set to."""
    if isinstance(node, nodes.Name):
        yield node
    children = list(node.iter_child_nodes())
    if isinstance(node, nodes.Assign | nodes.AssignBlock | nodes.For):
        children.sort(key=lambda child: child is not getattr(node, "iter", getattr(node, "node", None)))
    for child in children:
        yield from _names(child)


def _readings(node: nodes.Node, truth: bool) -> Iterator[tuple[str, bool]]:
    """Each reading of a name, and whether nothing but its truth counts there.

    Args:
        truth: whether nothing but the truth of this node counts.
    """
    match node:
        case nodes.Name(ctx="load"):
            yield node.name, truth
        case nodes.Test(node=nodes.Name(), name="defined" | "undefined"):
            pass  # asks whether it is there, not what it is
        case nodes.Test(name="true" | "false" | "boolean") | nodes.Filter(name="default", args=[nodes.Const(value=bool())]):
            yield from _readings(node.node, True)  # type: ignore[arg-type]
        case nodes.CondExpr(expr1=nodes.Name() as name, expr2=nodes.Const(value=bool())):
            yield from (*_readings(node.test, True), *_readings(name, True))  # its default, written out
        case _:
            test = getattr(node, "test", None)  # of an if
            inside = isinstance(node, nodes.Not) or (truth and isinstance(node, nodes.And | nodes.Or))
            for child in node.iter_child_nodes():
                yield from _readings(child, inside or child is test)


def refuse_odd_values(template: ChatTemplate, arguments: Mapping[str, Value]) -> None:
    """Go on only when a switch of the template is given true or false: any text, ``"false"`` too, would be true.

    Raises:
        UserError: one is given something else.
    """
    for name in sorted(switches(template.text) & arguments.keys()):
        if not isinstance(arguments[name], bool):
            raise UserError(f"template_arguments: {name!r} is {arguments[name]!r}. Allowed by the chat template: true, false.")


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
