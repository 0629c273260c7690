"""From a raw row of any known shape to messages. The shapes are the ones other tools write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from studio.data.chat.documents import read_transcript

Messages = list[dict[str, str]]

# Keys under which one conversation, not a list of them, lies in a JSON object.
TURN_KEYS = ("messages", "conversations", "conversation", "items", "turns", "dialog")
ROLE_NAMES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "customer": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "agent": "assistant",
}
QUESTIONS = ("question", "q", "query", "user", "human", "input")
ANSWERS = ("answer", "a", "response", "output", "assistant", "reply")
COMPLETIONS = ("completion", "response", "answer", "output")

SHAPES = (
    "messages (a list of role and content), sharegpt (a list of from and value), alpaca (instruction, input, output), "
    "prompt_completion (prompt, completion), question_answer (question, answer), chatterbot (a list of turns), "
    "preference (prompt, chosen, rejected; or prompt, completion, label), text"
)


class ShapeError(Exception):
    """The row is of no known shape; the message is a clause that follows the row's place."""


@dataclass(frozen=True)
class ColumnNames:
    """Names a person gave to columns; None means the usual ones."""

    question: str | None = None
    answer: str | None = None
    system: str | None = None
    context: str | None = None
    messages: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Shaped:
    """Messages of a row and the columns they were made from; for preferences the liked and the disliked answer."""

    messages: Messages
    used: frozenset[str]
    chosen: str | None = None
    rejected: str | None = None


def shape_row(value: Any, format: str, columns: ColumnNames) -> Shaped:
    """Turn one raw row into messages.

    Args:
        value: what the file holds: an object, or a list of turns.
        format: a key of ``FORMATS``, or ``auto``.
    Raises:
        ShapeError: what was found, what is known.
    """
    if isinstance(value, list):
        return Shaped(_turns(value), frozenset())
    if isinstance(value, str):
        return _text({"text": value}, columns)
    if not isinstance(value, Mapping):
        raise ShapeError(f"holds {_kind(value)} where an object or a list of turns is expected")
    if format == "auto":
        format = detect(value, columns)
    shaped = FORMATS[format](value, columns)
    system_key = columns.system or "system"
    system = _field(value, system_key)
    if isinstance(system, str) and system.strip() and shaped.messages[:1] and shaped.messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *shaped.messages]
        return Shaped(messages, shaped.used | {system_key}, shaped.chosen, shaped.rejected)
    return shaped


def detect(value: Mapping[str, Any], columns: ColumnNames) -> str:
    """Name of the shape a row's columns speak for.

    Raises:
        ShapeError: none fits; names the columns that were found.
    """
    if columns.messages:
        return "messages"
    if columns.question or columns.answer:
        return "question_answer"
    if any(isinstance(value.get(key), list) for key in TURN_KEYS):
        return "messages"
    if ("chosen" in value and "rejected" in value) or _is_thumb(value):
        return "preference"
    if "instruction" in value and ("output" in value or "response" in value):
        return "alpaca"
    if "prompt" in value and any(key in value for key in COMPLETIONS):
        return "prompt_completion"
    if _first(value, QUESTIONS) and _first(value, ANSWERS):
        return "question_answer"
    if "text" in value:
        return "text"
    raise ShapeError(
        f"has the columns {_names(value)}, which is none of the known shapes: {SHAPES}. "
        "Name them in the recipe, for example columns: {question: ..., answer: ...}"
    )


def _messages(value: Mapping[str, Any], columns: ColumnNames) -> Shaped:
    """A list of turns under one key."""
    key = columns.messages or next((key for key in TURN_KEYS if isinstance(value.get(key), list)), None)
    turns = _field(value, key) if key else None
    if not isinstance(turns, list):
        known = f"{key!r}" if columns.messages else f"one of {', '.join(TURN_KEYS)}"
        raise ShapeError(f"has no list of turns under {known}; its columns are {_names(value)}")
    return Shaped(_turns(turns), frozenset({str(key)}))


def _turns(turns: list[Any]) -> Messages:
    """Turns as role and content, from and value, or plain text in alternation."""
    if turns and all(isinstance(turn, str) for turn in turns):
        return [{"role": ("user", "assistant")[index % 2], "content": turn} for index, turn in enumerate(turns)]
    messages: Messages = []
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, Mapping):
            raise ShapeError(f"has {_kind(turn)} as turn {number} where role and content are expected")
        role_key = next((key for key in ("role", "from", "speaker", "author") if key in turn), None)
        text_key = next((key for key in ("content", "value", "text", "message") if key in turn), None)
        if role_key is None or text_key is None:
            raise ShapeError(f"has the keys {_names(turn)} in turn {number}; known are role and content, or from and value")
        role = ROLE_NAMES.get(str(turn[role_key]).strip().lower())
        if role is None:
            raise ShapeError(
                f"has the role {turn[role_key]!r} in turn {number}; known are {', '.join(ROLE_NAMES)} (no tools yet)"
            )
        messages.append({"role": role, "content": _as_text(turn[text_key], f"turn {number}")})
    return messages


def _alpaca(value: Mapping[str, Any], columns: ColumnNames) -> Shaped:
    """Stanford Alpaca: instruction, input, output; ``history`` as LLaMA-Factory writes it."""
    answer = "output" if "output" in value else "response"
    if "instruction" not in value or answer not in value:
        raise ShapeError(f"is not alpaca (instruction, input, output); its columns are {_names(value)}")
    context_key = columns.context or "input"
    messages: Messages = []
    history = value.get("history") or []
    for pair in history if isinstance(history, list) else []:
        if not (isinstance(pair, list | tuple) and len(pair) == 2):
            raise ShapeError("has a 'history' that is not a list of [question, answer]")
        messages += _pair(_as_text(pair[0], "history"), _as_text(pair[1], "history"))
    question = _with_context(_as_text(value["instruction"], "instruction"), _as_text(value.get(context_key), context_key))
    return Shaped(
        [*messages, *_pair(question, _as_text(value[answer], answer))], frozenset({"instruction", context_key, answer, "history"})
    )


def _prompt_completion(value: Mapping[str, Any], columns: ColumnNames) -> Shaped:
    """TRL's prompt and completion, as text or as lists of turns."""
    answer = _first(value, COMPLETIONS)
    if "prompt" not in value or answer is None:
        raise ShapeError(f"is not prompt_completion (prompt, completion); its columns are {_names(value)}")
    del columns
    prompt, completion = value["prompt"], value[answer]
    if isinstance(prompt, list) and isinstance(completion, list):
        messages = [*_turns(prompt), *_turns(completion)]
    else:
        messages = _pair(_as_text(prompt, "prompt"), _as_text(completion, answer))
    return Shaped(messages, frozenset({"prompt", answer}))


def _is_thumb(value: Mapping[str, Any]) -> bool:
    """True for TRL's unpaired preferences: a prompt, a completion, and whether it was liked."""
    return "prompt" in value and "completion" in value and isinstance(value.get("label"), bool)


def _preference(value: Mapping[str, Any], columns: ColumnNames) -> Shaped:
    """TRL's preferences: prompt with chosen and rejected, or prompt with completion and label; text or lists of turns.

    Without a prompt, chosen and rejected are whole conversations, and what they begin with alike is the prompt.
    """
    del columns
    if _is_thumb(value):
        prompt, answer = _asked(value["prompt"]), _answer_text(value["completion"], "completion")
        liked = bool(value["label"])
        return Shaped(prompt, frozenset({"prompt", "completion", "label"}), answer if liked else None, None if liked else answer)
    if "chosen" not in value or "rejected" not in value:
        raise ShapeError(
            "is no preference (prompt, chosen, rejected; or prompt, completion, label true or false); "
            f"its columns are {_names(value)}"
        )
    chosen, rejected = value["chosen"], value["rejected"]
    if "prompt" in value:
        prompt = _asked(value["prompt"])
        texts = [
            None if text is None else _answer_text(text, name) for name, text in (("chosen", chosen), ("rejected", rejected))
        ]
        return Shaped(prompt, frozenset({"prompt", "chosen", "rejected"}), texts[0], texts[1])
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        raise ShapeError("has no 'prompt', and 'chosen' and 'rejected' are not whole conversations")
    one, two = _turns(chosen), _turns(rejected)
    if one[:-1] != two[:-1] or not one[:-1] or {one[-1]["role"], two[-1]["role"]} != {"assistant"}:
        raise ShapeError("has a 'chosen' and a 'rejected' conversation that differ in more than the last answer")
    return Shaped(one[:-1], frozenset({"chosen", "rejected"}), one[-1]["content"], two[-1]["content"])


def _asked(prompt: Any) -> Messages:
    """The messages of a prompt given as text or as turns."""
    return _turns(prompt) if isinstance(prompt, list) else [{"role": "user", "content": _as_text(prompt, "prompt")}]


def _answer_text(answer: Any, where: str) -> str:
    """An answer given as text, or as a list with one turn of the assistant."""
    if not (isinstance(answer, list) and answer and isinstance(answer[0], Mapping) and "type" not in answer[0]):
        return _as_text(answer, where)
    turns = _turns(answer)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise ShapeError(f"has {len(turns)} turns in '{where}' where one answer of the assistant is expected")
    return turns[0]["content"]


def _question_answer(value: Mapping[str, Any], columns: ColumnNames) -> Shaped:
    """Two columns, named in the recipe or by one of the usual names."""
    question = columns.question or _first(value, (*QUESTIONS, "instruction", "prompt"))
    answer = columns.answer or _first(value, (*ANSWERS, "completion"))
    for what, key in (("question", question), ("answer", answer)):
        if key is None or _field(value, key) is _MISSING:
            asked = f"column {key!r}" if key else f"{what} column"
            raise ShapeError(f"has no {asked}; its columns are {_names(value)}. Name it in the recipe: columns: {{{what}: ...}}")
    assert question is not None and answer is not None
    text = _as_text(_field(value, question), question)
    used = {question, answer}
    if columns.context:
        context = _field(value, columns.context)
        text = _with_context(text, "" if context is _MISSING else _as_text(context, columns.context))
        used.add(columns.context)
    return Shaped(_pair(text, _as_text(_field(value, answer), answer)), frozenset(used))


def _chatterbot(value: Mapping[str, Any], columns: ColumnNames) -> Shaped:
    """A conversation of a chatterbot corpus: plain turns, the user first."""
    turns = value.get("conversation", value.get("conversations"))
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise ShapeError(f"is not a chatterbot conversation (a list of texts); its columns are {_names(value)}")
    del columns
    return Shaped(_turns(turns), frozenset({"conversation", "conversations"}))


def _text(value: Mapping[str, Any], columns: ColumnNames) -> Shaped:
    """A section of a document, or a column ``text`` with speakers in it."""
    if "messages" in value:
        return _messages(value, columns)
    if "question" in value and "answer" in value:
        return _question_answer(value, columns)
    text = _as_text(value.get("text"), "text")
    spoken = read_transcript(text)
    if len(spoken) == 1:
        return Shaped(spoken[0], frozenset({"text"}))
    heading = next((key for key in ("heading", "title") if isinstance(value.get(key), str)), None)
    if heading:
        return Shaped(_pair(value[heading], text), frozenset({"text", heading}))
    raise ShapeError(
        "has a 'text' without a question: no 'title' column and no lines that start with 'User:' and 'Assistant:'. "
        "A chat model needs what is asked and what is answered"
    )


FORMATS: dict[str, Callable[[Mapping[str, Any], ColumnNames], Shaped]] = {
    "messages": _messages,
    "sharegpt": _messages,
    "alpaca": _alpaca,
    "prompt_completion": _prompt_completion,
    "question_answer": _question_answer,
    "chatterbot": _chatterbot,
    "preference": _preference,
    "text": _text,
}

_MISSING: Any = object()


def _field(value: Mapping[str, Any], name: str) -> Any:
    """A column by name; dots reach into nested objects. ``_MISSING`` where there is none."""
    if name in value:
        return value[name]
    current: Any = value
    for part in name.split("."):
        if not isinstance(current, Mapping) or part not in current:
            return _MISSING
        current = current[part]
    return current


def _first(value: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of several names that is a column."""
    return next((name for name in names if name in value), None)


def _pair(question: str, answer: str) -> Messages:
    """One question and its answer."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _with_context(question: str, context: str) -> str:
    """A question with the text it is about below it."""
    return f"{question}\n\n{context}" if context.strip() else question


def _as_text(value: Any, where: str) -> str:
    """Text of a value: None is empty, numbers are written out, text parts of a multimodal turn are joined."""
    if value is None or value is _MISSING:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and part.get("type") == "text" for part in value):
        return "\n".join(str(part.get("text", "")) for part in value)
    raise ShapeError(f"holds {_kind(value)} in {where} where text is expected")


def _kind(value: Any) -> str:
    """A value's type in plain words."""
    words = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}
    return "nothing" if value is None else words.get(type(value), type(value).__name__)


def _names(value: Mapping[str, Any]) -> str:
    """The columns of a row, for a message."""
    names = [str(name) for name in value]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "(none)"
