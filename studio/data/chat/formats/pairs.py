"""Preferences: a liked and a disliked answer to one prompt, or one answer and whether it was liked."""

from __future__ import annotations

from typing import Any

from studio.data.chat.formats.asking import answer_turns, prompt_turns, under, with_context
from studio.data.chat.formats.base import MISSING, Cells, ShapeError, as_text, is_filled, names_of
from studio.data.chat.formats.names import CHOSEN, COMPLETIONS, LABELS, LOOSE_TURN_KEYS, REJECTED, TURN_KEYS
from studio.data.chat.formats.spoken import read_hh
from studio.data.chat.formats.turns import as_turn_list, is_turn, read_turns
from studio.data.chat.turns import Message

_ASKED = ("prompt", "question", "instruction", "query", "input")


def conversation_key(cells: Cells) -> str | None:
    """The column that holds a conversation as turns, under one of the usual names."""
    for key in (*TURN_KEYS, *LOOSE_TURN_KEYS):
        turns = as_turn_list(cells.get(key)) if key in cells else None
        if turns is None or (key == "items" and not all(isinstance(turn, str) or is_turn(turn) for turn in turns)):
            continue
        if key in LOOSE_TURN_KEYS and not (turns and all(isinstance(turn, str) or is_turn(turn) for turn in turns)):
            continue
        return key
    return None


def answer_keys(cells: Cells) -> tuple[str | None, str | None]:
    """The columns of the liked and of the disliked answer."""
    columns = cells.columns
    chosen = columns.chosen or next((key for key in CHOSEN if key in cells and _says(cells.get(key))), None)
    rejected = columns.rejected or next((key for key in REJECTED if key in cells and _says(cells.get(key))), None)
    return chosen, rejected


def _says(value: Any) -> bool:
    """True for what can be an answer; a number or true and false in a column of that name is none."""
    return value is None or isinstance(value, str | list | dict)


def is_pair(cells: Cells) -> bool:
    """True where a row holds a liked and a disliked answer, the liked one maybe as the end of its conversation."""
    chosen, rejected = answer_keys(cells)
    if rejected is None:
        return False
    if chosen is not None:
        return True
    return is_filled(cells.get(rejected)) and (conversation_key(cells) is not None or cells.first(COMPLETIONS) is not None)


def read_pair(cells: Cells, left: dict[str, Any]) -> tuple[list[Message], str | None, str | None]:
    """Prompt, liked answer and disliked answer of a row.

    Raises:
        ShapeError: there is no pair, or the two are answers to different things.
    """
    chosen_key, rejected_key = answer_keys(cells)
    if rejected_key is None or not is_pair(cells):
        raise ShapeError(
            "is no preference (prompt, chosen, rejected; or prompt, completion, label true or false); "
            f"its columns are {names_of(cells.raw)}"
        )
    prompt = _prompt(cells, left)
    chosen: list[Message] | None
    if chosen_key is None:
        chosen, prompt = _last_answer(cells, prompt, left)
    else:
        chosen = _answer(cells.named(chosen_key), chosen_key, cells, left)
    rejected = _answer(cells.named(rejected_key), rejected_key, cells, left)
    whole = [turns for turns in (chosen, rejected) if turns and len(turns) > 1]
    if not whole:
        if not prompt:
            raise ShapeError(f"has no prompt, and {chosen_key!r} and {rejected_key!r} are not whole conversations")
        if prompt[-1]["role"] == "assistant" and chosen and prompt[-1]["content"] == chosen[-1]["content"]:
            prompt = prompt[:-1]
        return prompt, *_without_prompt(prompt, (_text(chosen), _text(rejected)))
    return _common(prompt, whole), _text(chosen), _text(rejected)


def _prompt(cells: Cells, left: dict[str, Any]) -> list[Message]:
    """What was asked: turns, or a text with what belongs under it."""
    key = cells.columns.messages or conversation_key(cells)
    asked = cells.columns.question or next((name for name in _ASKED if name in cells), None)
    if key is not None:
        if asked is not None and not cells.columns.question:
            cells.take(asked)
        return read_turns(as_turn_list(cells.named(key)) or [], cells.choices, left)
    if asked is None:
        return []
    value = cells.named(asked)
    if isinstance(value, str):
        spoken = read_hh(value)
        if spoken:
            return spoken[:-1] if spoken[-1]["role"] == "assistant" and not spoken[-1]["content"] else spoken
        if asked == "instruction" and "input" in cells:
            value = under(value, as_text(cells.take("input"), "input"))
        return [{"role": "user", "content": with_context(cells, value)}]
    return prompt_turns(value, asked, cells, left)


def _last_answer(cells: Cells, prompt: list[Message], left: dict[str, Any]) -> tuple[list[Message], list[Message]]:
    """The liked answer where only the disliked one has a column: the end of the conversation, or the answer's column."""
    if prompt and prompt[-1]["role"] == "assistant":
        return prompt[-1:], prompt[:-1]
    key = cells.columns.answer or cells.first(COMPLETIONS)
    if key is None or not prompt:
        raise ShapeError(f"has a disliked answer and no liked one; its columns are {names_of(cells.raw)}")
    return answer_turns(cells.named(key), key, cells, left), prompt


def _answer(value: Any, where: str, cells: Cells, left: dict[str, Any]) -> list[Message] | None:
    """An answer as turns: one of the assistant, or a whole conversation that ends with one. None where it is missing."""
    if value is None or value is MISSING:
        return None
    spoken = read_hh(value) if isinstance(value, str) else None
    turns = spoken or answer_turns(value, where, cells, left)
    if not turns or turns[-1]["role"] != "assistant":
        raise ShapeError(f"has {len(turns)} turns in '{where}' where one answer of the assistant is expected")
    refuse_more_than_text(turns[-1], f"in {where!r}")
    return turns


def refuse_more_than_text(answer: Message, where: str) -> None:
    """An answer of a preference that is more than text, none of which may be lost.

    Raises:
        ShapeError: it has a call, a thought, a weight or a name.
    """
    words = {"tool_calls": "a call", "reasoning_content": "a thought", "weight": "a weight", "name": "a name"}
    for key, word in words.items():
        if key in answer:
            raise ShapeError(f"has {word} {where}; the answers of a preference are text for now")


def _text(turns: list[Message] | None) -> str | None:
    """Text of the last turn."""
    return None if turns is None else str(turns[-1]["content"])


def _without_prompt(prompt: list[Message], answers: tuple[str | None, str | None]) -> tuple[str | None, str | None]:
    """Answers as texts, without the question where each of them begins with all of it and says more."""
    asked = prompt[-1]["content"].strip()
    texts = [text.strip() for text in answers if text is not None]
    if not asked or not texts or not all(text.startswith(asked) and text != asked for text in texts):
        return answers
    chosen, rejected = (None if text is None else text.strip().removeprefix(asked) for text in answers)
    return chosen, rejected


def _common(prompt: list[Message], whole: list[list[Message]]) -> list[Message]:
    """The prompt, which whole conversations repeat.

    Raises:
        ShapeError: they differ in more than the last answer, or from the prompt beside them.
    """
    before = whole[0][:-1]
    if any(turns[:-1] != before for turns in whole):
        raise ShapeError("has a 'chosen' and a 'rejected' conversation that differ in more than the last answer")
    said = {turn["content"].strip() for turn in [*before, whole[0][-1]]}
    if not all(turn["content"].strip() in said for turn in prompt if turn["role"] == "user"):
        if prompt and before and all(turn["role"] != "user" for turn in before):
            return [*prompt, *before]
        raise ShapeError("has a prompt that the conversations in 'chosen' and 'rejected' do not repeat")
    systems = [turn for turn in prompt[:1] if turn["role"] == "system" and before[0]["role"] != "system"]
    return [*systems, *before]


def label_key(cells: Cells, *, named: bool) -> str | None:
    """The column that says whether an answer was liked.

    Args:
        named: the recipe named a shape that is no preference, so that ``label`` is a column like any other.
    """
    if cells.columns.label:
        return cells.columns.label
    names = LABELS[:1] if named else LABELS
    return next((name for name in names if is_filled(cells.get(name))), None)


def read_label(value: Any, liked: tuple[str, ...]) -> bool | None:
    """Whether an answer was liked: true and false, 1 and 0 (or -1), as values or as text; None where it says neither.

    Args:
        liked: the words that mean liked, where the recipe says so; all others then mean disliked.
    """
    word = str(value).strip().lower()
    if liked:
        return word in {str(one).strip().lower() for one in liked}
    if isinstance(value, bool | int | float | str):
        return {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False, "-1": False}.get(word)
    return None
