"""From a raw row of any known shape to messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from studio.data.chat.documents import read_transcript
from studio.data.chat.formats.asking import (
    OTHER_ANSWERS,
    earlier_turns,
    pair,
    read_alpaca,
    read_prompt_completion,
    read_question_answer,
)
from studio.data.chat.formats.base import (
    MISSING,
    Cells,
    Choices,
    ColumnNames,
    Shaped,
    ShapeError,
    as_text,
    is_filled,
    is_placeholder,
    kind_of,
    names_of,
    parsed,
)
from studio.data.chat.formats.calls import read_tools, unfold_hermes
from studio.data.chat.formats.names import ANSWERS, COMPLETIONS, PICTURES, QUESTIONS, SYSTEMS, TOOLS, TURN_KEYS
from studio.data.chat.formats.nearest import unknown_shape
from studio.data.chat.formats.pairs import conversation_key, is_pair, label_key, read_label, read_pair, refuse_more_than_text
from studio.data.chat.formats.spoken import read_glaive, read_marked
from studio.data.chat.formats.trees import OTHER_REPLIES, is_tree, read_tree, replies_in
from studio.data.chat.formats.turns import as_turn_list, read_content, read_turns, split_thought
from studio.data.chat.turns import TEXT_ROLE, Message


def shape_row(value: Any, format: str, columns: ColumnNames, choices: Choices | None = None) -> Shaped:
    """Turn one raw row into messages.

    Args:
        value: what the file holds: an object, or a list of turns.
        format: a key of ``FORMATS``, or ``auto``.
        choices: what else the recipe says; None for the usual.
    Raises:
        ShapeError: what was found, and what would read it.
    """
    choices = choices or Choices()
    if isinstance(value, list):
        left: dict[str, Any] = {}
        messages = read_turns(value, choices, left)
        return Shaped(messages, frozenset(), meta=_left(left), form="messages")
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, Mapping):
        raise ShapeError(f"holds {kind_of(value)} where an object or a list of turns is expected")
    if format == "document":
        return _document(Cells(value, columns, choices, nulls=True))
    try:
        return _shape(Cells(value, columns, choices), format)
    except ShapeError:
        # A null column is no column, unless the row has no shape without it.
        if None not in value.values():
            raise
        return _shape(Cells(value, columns, choices, nulls=True), format)


def _document(cells: Cells) -> Shaped:
    """The raw text of a row; its other columns stay beside it.

    Raises:
        ShapeError: there is no such column, or it holds no text.
    """
    name = cells.columns.text or cells.first(("text", "content", "document", "body"))
    if name is None or cells.look(name) is MISSING:
        asked = f"column {cells.columns.text!r}" if cells.columns.text else "column 'text'"
        raise ShapeError(
            f"has no {asked}; its columns are {names_of(cells.raw)}. Name it in the recipe: columns: {{text: ...}}", complete=True
        )
    text = as_text(cells.named(name), name)
    if not text.strip():
        raise ShapeError(f"holds no text in {name!r}")
    return Shaped([{"role": TEXT_ROLE, "content": text}], cells.used, form="document")


def _shape(cells: Cells, format: str) -> Shaped:
    """One row in one reading of its null columns."""
    _refuse_pictures(cells)
    left: dict[str, Any] = {}
    form = detect(cells) if format == "auto" else format
    chosen = rejected = None
    if form == "preference" and is_pair(cells):
        messages, chosen, rejected = read_pair(cells, left)
    elif form == "preference":
        messages = FORMATS[_thumb_form(cells)](cells, left)
    else:
        messages = FORMATS[form](cells, left)
    if messages and messages[0]["role"] != "assistant" and form not in {"messages", "sharegpt", "chatterbot"}:
        messages = [*earlier_turns(cells, left), *messages]
    messages = _with_system(cells, messages)
    tools = _tools(cells, messages)
    shaped = Shaped(messages, cells.used, chosen, rejected, tools, _left(left), form)
    if chosen is None and rejected is None:
        shaped = _judged(cells, shaped, named=format not in {"auto", "preference"})
    return replace(shaped, used=cells.used)


def _left(left: dict[str, Any]) -> dict[str, Any]:
    """Fields of turns that have no place in a turn, as ``meta`` holds them."""
    apart = {key: left.pop(key) for key in ("preamble", OTHER_ANSWERS, OTHER_REPLIES) if key in left}
    return {**({"turn_fields": left} if left else {}), **apart}


def _thumb_form(cells: Cells) -> str:
    """The shape of a row whose answer was judged; a row without a judgement is no preference."""
    if label_key(cells, named=False) is None:
        raise ShapeError(
            "is no preference (prompt, chosen, rejected; or prompt, completion, label true or false); "
            f"its columns are {names_of(cells.raw)}"
        )
    return detect(cells)


def detect(cells: Cells) -> str:
    """Name of the shape a row's columns speak for.

    Raises:
        ShapeError: none fits; shows the row and the nearest shape.
    """
    if is_pair(cells):
        return "preference"
    if cells.columns.messages:
        return "messages"
    if cells.columns.question or cells.columns.answer:
        return "question_answer"
    if conversation_key(cells) is not None or is_tree(cells.raw):
        return "messages"
    if "instruction" in cells and cells.first(("output", "response", "answer", "completion")):
        return "alpaca"
    if "prompt" in cells and cells.first(COMPLETIONS):
        return "prompt_completion"
    if cells.first(QUESTIONS) and cells.first(ANSWERS):
        return "question_answer"
    if "text" in cells or isinstance(cells.get("chat"), str):
        return "text"
    raise unknown_shape(cells.raw)


def _judged(cells: Cells, shaped: Shaped, *, named: bool) -> Shaped:
    """The row as a single thumb, where a column says whether its answer was liked."""
    key = label_key(cells, named=named)
    liked = None if key is None else read_label(cells.look(key), cells.choices.liked)
    # A ``label`` may be the name of a class; the other columns are judgements by their names.
    if key is None or (liked is None and key == "label" and not cells.columns.label):
        return shaped
    if liked is None:
        raise ShapeError(
            f"has {cells.look(key)!r} in {key!r}, which says neither liked nor disliked. Say which words mean liked (liked: "
            f"[...]), or name the rows' format (format: {shaped.form}) if it is no judgement"
        )
    if not shaped.messages or shaped.messages[-1]["role"] != "assistant":
        raise ShapeError(f"has a judgement in {key!r} and no answer that it is about")
    cells.named(key)
    answer = shaped.messages[-1]
    refuse_more_than_text(answer, f"in the answer that {key!r} judges")
    return replace(
        shaped,
        messages=shaped.messages[:-1],
        chosen=answer["content"] if liked else None,
        rejected=None if liked else answer["content"],
        label=key,
        form="preference",
    )


def _with_system(cells: Cells, messages: list[Message]) -> list[Message]:
    """The conversation with the system turn that a column holds, where it has none."""
    name = cells.columns.system
    value = cells.look(name) if name else next((cells.get(key) for key in cells.filled(SYSTEMS)), MISSING)
    value = _spoken_by_system(value)
    if is_placeholder(value) or not isinstance(value, str) or not messages:
        return messages
    spoken = messages[0]["role"] == "system"
    if not spoken or messages[0]["content"].strip() == value.strip():
        if name:
            cells.named(name)
        else:
            cells.take(cells.filled(SYSTEMS)[0])
    return messages if spoken else [{"role": "system", "content": value}, *messages]


def _spoken_by_system(value: Any) -> Any:
    """The text of a system column, also where it is a list of parts (Bedrock) or a turn (Gemini)."""
    if isinstance(value, Mapping):
        value = value.get("parts", value.get("content"))
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and "text" in part for part in value):
        return read_content(value, "the system turn")[0]
    return value


def _tools(cells: Cells, messages: list[Message]) -> list[dict[str, Any]]:
    """The tools a row names, in a column, beside OpenAI's preferences, or in Hermes' system turn."""
    name = cells.columns.tools
    found = [name] if name else [key for key in cells.filled(TOOLS) if _may_be_tools(cells.get(key))]
    tools: list[dict[str, Any]] = []
    for key in found:
        tools += read_tools(cells.named(key), key)
    inner = cells.get("input")
    if isinstance(inner, dict) and is_filled(inner.get("tools")):
        tools += read_tools(inner["tools"], "tools")
    return unfold_hermes(messages, tools)


def _may_be_tools(value: Any) -> bool:
    """False for what an ordinary column of that name holds: a number, words, or a list of words."""
    if isinstance(value, str):
        return value.lstrip()[:1] in {"[", "{"} and _may_be_tools(parsed(value) if isinstance(parsed(value), list) else {})
    if isinstance(value, list):
        return not all(isinstance(parsed(one), str) for one in value)
    return not isinstance(value, int | float)


def _refuse_pictures(cells: Cells) -> None:
    """A question about a picture that nobody sees.

    Raises:
        ShapeError: a column of pictures, sounds or films is filled.
    """
    if cells.columns.question or cells.columns.messages:
        return
    for name in cells.filled(PICTURES):
        if not isinstance(cells.get(name), bool | int | float) and not is_placeholder(cells.get(name)):
            raise ShapeError(
                f"has something in {name!r} that a chat model cannot see; take such rows out, or name the columns to train on "
                "the text alone (columns: {question: ..., answer: ...})"
            )


def _messages(cells: Cells, left: dict[str, Any]) -> list[Message]:
    """A list of turns under one key, or a tree of replies."""
    key = cells.columns.messages or conversation_key(cells)
    if key is None and is_tree(cells.raw):
        cells.take("prompt")
        path = read_tree(cells.raw)
        if others := replies_in(cells.raw) - len(path):
            left[OTHER_REPLIES] = others
        return read_turns(path, cells.choices, left)
    turns = as_turn_list(cells.named(key)) if key else None
    if turns is None:
        known = f"{key!r}" if cells.columns.messages else f"one of {', '.join(TURN_KEYS)}"
        raise ShapeError(f"has no list of turns under {known}; its columns are {names_of(cells.raw)}")
    return read_turns(turns, cells.choices, left)


def _chatterbot(cells: Cells, left: dict[str, Any]) -> list[Message]:
    """A conversation of a chatterbot corpus: plain turns, the user first."""
    key = cells.first(("conversation", "conversations"))
    turns = cells.take(key) if key else None
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise ShapeError(f"is not a chatterbot conversation (a list of texts); its columns are {names_of(cells.raw)}")
    return read_turns(turns, cells.choices, left)


def _text(cells: Cells, left: dict[str, Any]) -> list[Message]:
    """A section of a document, a column ``text`` with speakers in it, or Glaive's ``chat``."""
    if "messages" in cells:
        return _messages(cells, left)
    if "question" in cells and "answer" in cells:
        return read_question_answer(cells, left)
    chat = cells.get("chat")
    if isinstance(chat, str) and (read := read_glaive(as_text(cells.get("system"), "system"), chat)):
        cells.take("chat"), cells.take("system")
        return _glaive(cells, *read)
    text = as_text(cells.take("text"), "text") or as_text(cells.take("chat"), "chat")
    marked = read_marked(text)
    if marked:
        messages, before = marked
        left.update({"preamble": before} if before else {})
        for turn in messages:
            if cells.choices.split_thoughts and turn["role"] == "assistant":
                split_thought(turn)
        return messages
    spoken = read_transcript(text)
    if len(spoken) == 1:
        return [dict(turn) for turn in spoken[0]]
    heading = next((key for key in ("heading", "title") if isinstance(cells.get(key), str)), None)
    if heading:
        return pair(as_text(cells.take(heading), heading), text)
    raise ShapeError(
        "has a 'text' without a question: no 'title' column and no lines that start with 'User:' and 'Assistant:'. "
        "A chat model needs what is asked and what is answered; 'format: document' in the source takes it as raw text, for "
        "chat/text"
    )


def _glaive(cells: Cells, messages: list[Message], tools: list[dict[str, Any]]) -> list[Message]:
    """Glaive's conversation; its tools are handed on as a column would be."""
    if tools:
        cells.values["tools"] = tools
    return messages


FORMATS: dict[str, Callable[[Cells, dict[str, Any]], list[Message]]] = {
    "messages": _messages,
    "sharegpt": _messages,
    "alpaca": read_alpaca,
    "prompt_completion": read_prompt_completion,
    "question_answer": read_question_answer,
    "chatterbot": _chatterbot,
    "text": _text,
    "export": _messages,
}
"""Shapes that hold an answer to imitate; ``preference`` is any of them with a judgement, or a pair."""
