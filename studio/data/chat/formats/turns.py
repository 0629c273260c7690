"""Lists of turns, in the words of every tool that writes them, as our turns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.chat.formats.base import Choices, ShapeError, as_text, fold, in_yaml, is_filled, kind_of, names_of, parsed
from studio.data.chat.formats.calls import read_call, read_calls
from studio.data.chat.formats.names import (
    ANSWERED_KEYS,
    ASKED_KEYS,
    HARMLESS,
    PART_TYPES,
    ROLE_KEYS,
    ROLE_NAMES,
    TEXT_KEYS,
    TEXT_TYPES,
    THOUGHT_KEYS,
    THOUGHT_TYPES,
    WEIGHT_KEYS,
)
from studio.data.chat.turns import Message, as_json

_THOUGHT = re.compile(r"\A\s*(?:<think>)?(.*?)</think>\s*", re.DOTALL)
_SHOWN_ROLES = "system, developer, user, human, assistant, gpt, ai, tool, function, observation, function_call and others"


def is_turn(value: Any) -> bool:
    """True for something that is a turn of some kind: an object with a role and a text, or with what was asked and answered."""
    if not isinstance(value, Mapping):
        return False
    keys = {fold(key) for key in value}
    if is_part(value):
        return False
    exchange = keys & set(ASKED_KEYS) and keys & set(ANSWERED_KEYS) and len(keys) == 2
    spoken = keys & set(TEXT_KEYS) or keys & {"tool_calls", "function_call"} or "data" in keys
    return bool(exchange) or bool(keys & set(ROLE_KEYS) and spoken)


def is_part(value: Any) -> bool:
    """True for a part of a turn's content: an object whose only role is the kind of the part."""
    if not isinstance(value, Mapping):
        return False
    kind = {fold(key): inner for key, inner in value.items()}
    return kind.get("type") in PART_TYPES and not {"role", "from"} & kind.keys()


def as_turn_list(value: Any) -> list[Any] | None:
    """A list of turns as others write it: a list, JSON text of one, or an object of columns; None for anything else."""
    value = parsed(value)
    if isinstance(value, Mapping):
        role = next((key for key in value if fold(key) in ROLE_KEYS and isinstance(value[key], list)), None)
        if role is None or not all(isinstance(column, list) and len(column) == len(value[role]) for column in value.values()):
            return None
        return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
    return value if isinstance(value, list) else None


def read_turns(turns: Sequence[Any], choices: Choices, left: dict[str, Any]) -> list[Message]:
    """Turns as role and content, from and value, question and answer, or plain text in alternation.

    Args:
        left: gets the fields of turns that have no place in a turn, by the turn's number.
    Raises:
        ShapeError: a turn is none, or has a role or a field that is not understood; names turn and field.
    """
    if turns and all(isinstance(turn, str) for turn in turns):
        turns = [{"role": ("user", "assistant")[index % 2], "content": turn} for index, turn in enumerate(turns)]
    messages: list[Message] = []
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, Mapping):
            if not (isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn)):
                raise ShapeError(f"has {kind_of(turn)} as turn {number} where role and content are expected")
            messages += [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
            continue
        plain = None if choices.split_thoughts or choices.roles else _plain_turn(turn)
        if plain is not None:
            messages.append(plain)
        else:
            _read_turn(turn, number, choices, messages, left)
    return messages


def _plain_turn(turn: Mapping[str, Any]) -> Message | None:
    """A turn that is a role and a text in one of the two usual spellings, as nearly all are; None for any other."""
    if len(turn) != 2:
        return None
    role, text = (turn["role"], turn.get("content")) if "role" in turn else (turn.get("from"), turn.get("value"))
    ours = ROLE_NAMES.get(role) if isinstance(role, str) else None
    return {"role": ours, "content": text} if ours is not None and ours != "call" and isinstance(text, str) else None


def _read_turn(turn: Mapping[str, Any], number: int, choices: Choices, messages: list[Message], left: dict[str, Any]) -> None:
    """Add one turn, or the two of an exchange, to those before it."""
    fields = {fold(key): value for key, value in turn.items() if value is not None}
    if "data" in fields and isinstance(fields["data"], Mapping) and "content" in fields["data"]:
        fields |= {fold(key): value for key, value in fields.pop("data").items() if value is not None and fold(key) != "type"}
    role_key = next((key for key in ROLE_KEYS if key in fields), None)
    text_key = next((key for key in TEXT_KEYS if key in fields), None)
    if role_key is None:
        messages += _exchange(fields, number, turn)
        return
    silent = text_key is None and not {"tool_calls", "function_call", *THOUGHT_KEYS} & fields.keys()
    if silent and not any(key in turn for key in TEXT_KEYS):
        raise _unknown(turn, number)
    written = str(fields.pop(role_key)).strip().rstrip(":\uff1a").lower()
    role = choices.roles.get(written) or ROLE_NAMES.get(written)
    if role is None:
        raise _unknown_role(written, number, choices, messages)
    content = fields.pop(text_key) if text_key else ""
    if role == "call":
        _add_call(content, number, messages)
        role = "assistant"
    elif role == "tool" and isinstance(content, dict):
        messages.append({"role": role, "content": as_json(content)})
    else:
        text, thought = read_content(content, f"turn {number}")
        messages.append({"role": role, "content": text, **({"reasoning_content": thought} if thought else {})})
    if fields:
        _add_fields(fields, messages[-1], number, choices, left)
    if role == "assistant" and choices.split_thoughts:
        split_thought(messages[-1])


def _exchange(fields: dict[str, Any], number: int, turn: Mapping[str, Any]) -> list[Message]:
    """What was asked and what was answered, as one object."""
    asked = next((key for key in ASKED_KEYS if key in fields), None)
    answered = next((key for key in ANSWERED_KEYS if key in fields), None)
    if len(fields.keys() - {"system"} - HARMLESS) != 2 or asked is None or answered is None:
        raise _unknown(turn, number)
    spoken = [("system", "system"), ("user", asked), ("assistant", answered)]
    return [{"role": role, "content": as_text(fields[key], f"turn {number}")} for role, key in spoken if key in fields]


def _unknown_role(written: str, number: int, choices: Choices, before: list[Message]) -> ShapeError:
    """A role that is not known, with the line of recipe that says what it is; who speaks after a user answers."""
    likely = "assistant" if before and before[-1]["role"] == "user" else "user"
    said = ", ".join(f"{in_yaml(name)}: {role}" for name, role in {**choices.roles, written: likely}.items())
    return ShapeError(
        f"has the role {written!r} in turn {number}; known are {_SHOWN_ROLES}. Say in the recipe's source what it is, for "
        f"example\n    roles: {{{said}}}"
    )


def _unknown(turn: Mapping[str, Any], number: int) -> ShapeError:
    """A turn without role or text."""
    return ShapeError(f"has the keys {names_of(turn)} in turn {number}; known are role and content, or from and value")


def _add_call(content: Any, number: int, messages: list[Message]) -> None:
    """A turn whose text is a call, or several: part of the assistant's turn before it where there is one."""
    calls = read_calls(content, f"turn {number}")
    if messages and messages[-1]["role"] == "assistant":
        messages[-1]["tool_calls"] = [*messages[-1].get("tool_calls", ()), *calls]
    else:
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})


def _add_fields(fields: dict[str, Any], turn: Message, number: int, choices: Choices, left: dict[str, Any]) -> None:
    """Fields beyond role and content: into the turn where they have a place there, else into ``left``."""
    role = turn["role"]
    for key, value in fields.items():
        if not is_filled(value):
            continue
        where = f"{key} of turn {number}"
        if key in HARMLESS:
            left.setdefault(str(number), {})[key] = value
        elif key == "name" and isinstance(value, str):
            turn["name"] = value
        elif key == "tool_call_id" and role == "tool":
            turn["tool_call_id"] = str(value)
        elif key == "tool_calls" and role == "assistant":
            turn["tool_calls"] = read_calls(value, where)
        elif key == "function_call" and role == "assistant":
            turn["tool_calls"] = [read_call(parsed(value), where)]
        elif key in THOUGHT_KEYS and role == "assistant" and isinstance(value, str):
            # Servers give the same thought under two names.
            turn["reasoning_content"] = joined_thoughts(turn.get("reasoning_content"), value)
        elif key in WEIGHT_KEYS and (role == "assistant" or read_weight(value, where) == 0):
            if role == "assistant" and (weight := read_weight(value, where)) != 1:
                turn["weight"] = weight
        elif choices.lenient:
            left.setdefault(str(number), {})[key] = value
        else:
            raise ShapeError(_not_understood(key, number, role))


def _not_understood(key: str, number: int, role: str) -> str:
    """Why a field of a turn stops the row."""
    if key in WEIGHT_KEYS:
        return f"says with {key!r} that turn {number} ({role}) trains; only the assistant's turns have a weight of their own"
    return (
        f"has the field {key!r} in turn {number} ({role}), which is not understood; take it out, or keep it beside the "
        "conversation (in meta) with 'damaged: keep'"
    )


def read_weight(value: Any, where: str) -> float:
    """How much a turn trains, 0 to 1, from true and false, a number, or either as text.

    Raises:
        ShapeError: it is neither.
    """
    words = {"true": 1.0, "false": 0.0}
    try:
        weight = words[value.strip().lower()] if isinstance(value, str) and value.strip().lower() in words else float(value)
    except (TypeError, ValueError):
        weight = -1.0
    if not 0 <= weight <= 1:
        raise ShapeError(f"has {value!r} as {where} where true, false or a number from 0 to 1 is expected")
    return weight


def read_content(value: Any, where: str) -> tuple[str, str]:
    """Text and thoughts of a turn's content: text, or a list of parts.

    Raises:
        ShapeError: a part is no text (a picture), or has none.
    """
    if not isinstance(value, list):
        return as_text(value, where), ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in value:
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if kind in THOUGHT_TYPES and isinstance(thought := _part_text(part, kind), str):
            thoughts.append(thought)
        elif kind in TEXT_TYPES and isinstance(text := _part_text(part, "text"), str):
            texts.append(text)
        else:
            what = f"a part of the type {kind!r}" if kind not in TEXT_TYPES else "a part without text"
            raise ShapeError(f"holds {what} in {where}; a chat model reads text only")
    return "\n".join(texts), "\n".join(thoughts)


def _part_text(part: Any, key: str) -> Any:
    """The text of a part, under its own name or one that tools use instead."""
    if isinstance(part, str):
        return part
    return next((part[name] for name in (key, "text", "value", "content") if part.get(name) is not None), None)


def split_thought(turn: Message) -> None:
    """Take a thought that an answer begins with (``<think>…</think>``, the opening may be missing) out of its content."""
    found = _THOUGHT.match(turn["content"])
    if found is None:
        return
    turn["content"] = turn["content"][found.end() :]
    if found.group(1).strip():
        turn["reasoning_content"] = joined_thoughts(turn.get("reasoning_content"), found.group(1).strip())


def joined_thoughts(first: str | None, second: str) -> str:
    """Two thoughts of one turn as one; the same said twice is said once."""
    if not first or first.strip() == second.strip():
        return second
    return f"{first}\n\n{second}"
