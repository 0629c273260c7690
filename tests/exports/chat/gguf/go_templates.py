"""The little of Go's text/template that a Modelfile uses, so that its TEMPLATE can be run here."""

from __future__ import annotations

import re
from typing import Any

Node = tuple[Any, ...]


def run(template: str, messages: list[dict[str, str]]) -> str:
    """What Ollama makes of turns: ``.System`` is the system turn, ``.Messages`` are all of them."""
    system = "\n\n".join(turn["content"] for turn in messages if turn["role"] == "system")
    turns = [{"Role": turn["role"], "Content": turn["content"]} for turn in messages]
    scope = {"$": {"System": system, "Messages": turns}}
    nodes, rest = _block(re.split(r"(\{\{.*?\}\})", template, flags=re.S))
    assert not rest
    return _write(nodes, scope)


def _block(parts: list[str]) -> tuple[list[Node], list[str]]:
    """Nodes up to an end or an else, and what follows."""
    nodes: list[Node] = []
    while parts:
        part = parts[0]
        if not part.startswith("{{"):
            nodes.append(("text", part))
            parts = parts[1:]
            continue
        action = part[2:-2].strip()
        if action == "end" or action.startswith("else"):
            return nodes, parts
        parts = parts[1:]
        if action.startswith("range "):
            index, turn, over = re.fullmatch(r"range (\$\w+), (\$\w+) := (\S+)", action).groups()
            body, parts = _block(parts)
            parts = parts[1:]
            nodes.append(("range", index, turn, over, body))
        elif action.startswith("if "):
            node, parts = _condition(action[3:], parts)
            nodes.append(node)
        else:
            nodes.append(("action", action))
    return nodes, parts


def _condition(asked: str, parts: list[str]) -> tuple[Node, list[str]]:
    """An if with its else, up to and with its end."""
    body, parts = _block(parts)
    word = parts[0][2:-2].strip()
    if word.startswith("else if "):
        other, parts = _condition(word.removeprefix("else if "), parts[1:])
        return ("if", asked, body, [other]), parts
    if word == "else":
        other_body, parts = _block(parts[1:])
        return ("if", asked, body, other_body), parts[1:]
    return ("if", asked, body, []), parts[1:]


def _write(nodes: list[Node], scope: dict[str, Any]) -> str:
    text = ""
    for kind, *rest in nodes:
        if kind == "text":
            text += rest[0]
        elif kind == "action":
            assigned = re.fullmatch(r"(\$\w+) :?= (.+)", rest[0])
            if assigned:
                scope[assigned[1]] = _value(assigned[2], scope)
            else:
                text += str(_value(rest[0], scope))
        elif kind == "if":
            text += _write(rest[1] if _value(rest[0], scope) else rest[2], scope)
        else:
            index, turn, over, body = rest
            for place, each in enumerate(_value(over, scope)):
                scope[index], scope[turn] = place, each
                text += _write(body, scope)
    return text


def _value(words: str, scope: dict[str, Any]) -> Any:
    words = words.strip()
    if words in {"true", "false"}:
        return words == "true"
    if words.startswith('"'):
        return words[1:-1]
    if words.isdigit():
        return int(words)
    if match := re.fullmatch(r"eq (\S+) (\S+)", words):
        return _value(match[1], scope) == _value(match[2], scope)
    if match := re.fullmatch(r"gt \(len \(slice (\S+) (\S+)\)\) (\d+)", words):
        return len(_value(match[1], scope)[_value(match[2], scope) :]) > int(match[3])
    name, *fields = words.split(".")
    found = scope[name or "$"]
    for each in fields:
        found = found[each]
    return found
