"""Rows with columns for what is asked and what is answered: alpaca, prompt and completion, question and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.data.chat.formats.base import (
    MISSING,
    Cells,
    ShapeError,
    as_text,
    in_yaml,
    is_filled,
    is_placeholder,
    names_of,
    parsed,
)
from studio.data.chat.formats.names import ANSWERS, ASKING, COMPLETIONS, CONTEXTS, HISTORIES, QUESTIONS
from studio.data.chat.formats.turns import as_turn_list, is_part, is_turn, read_content, read_turns, split_thought
from studio.data.chat.turns import Message

OTHER_ANSWERS = "other_answers"
"""Key of ``meta`` under which the answers lie that count as right too, and are not the one that trains."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def pair(question: str, answer: str) -> list[Message]:
    """One question and its answer."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def read_alpaca(cells: Cells, left: dict[str, Any]) -> list[Message]:
    """Stanford Alpaca: instruction, input, output; Dolly's context beside them."""
    answer = cells.columns.answer or cells.first(("output", "response", "answer", "completion"))
    if "instruction" not in cells or answer is None:
        raise ShapeError(f"is not alpaca (instruction, input, output); its columns are {names_of(cells.raw)}")
    question = as_text(cells.take("instruction"), "instruction")
    if not cells.columns.context:
        question = under(question, as_text(cells.take("input"), "input"))
    return _asked(cells, question, answer, left)


def read_prompt_completion(cells: Cells, left: dict[str, Any]) -> list[Message]:
    """TRL's prompt and completion, each as text or as a list of turns; an older form of OpenAI's is the same."""
    answer = cells.first(COMPLETIONS)
    if "prompt" not in cells or answer is None:
        raise ShapeError(f"is not prompt_completion (prompt, completion); its columns are {names_of(cells.raw)}")
    prompt, completion = cells.get("prompt"), cells.get(answer)
    if isinstance(prompt, str) and isinstance(completion, str):
        cells.take("prompt")
        return _asked(cells, prompt.removesuffix(cells.choices.prompt_end), answer, left)
    first = prompt_turns(cells.take("prompt"), "prompt", cells, left)
    return [*first, *answer_turns(cells.take(answer), answer, cells, left)]


def read_question_answer(cells: Cells, left: dict[str, Any]) -> list[Message]:
    """Two columns, named in the recipe or by one of the usual names."""
    question = cells.columns.question or cells.first((*QUESTIONS, "instruction", "prompt"))
    answer = cells.columns.answer or cells.first((*ANSWERS, "completion"))
    for what, key in (("question", question), ("answer", answer)):
        if key is None or cells.look(key) is MISSING:
            asked = f"column {key!r}" if key else f"{what} column"
            raise ShapeError(
                f"has no {asked}; its columns are {names_of(cells.raw)}. Name it in the recipe: columns: {{{what}: ...}}"
            )
    assert question is not None and answer is not None
    return _asked(cells, as_text(cells.named(question), question), answer, left)


def _asked(cells: Cells, question: str, answer: str, left: dict[str, Any]) -> list[Message]:
    """A question with what belongs under it, and its answer."""
    value = cells.named(answer)
    named = cells.columns.context
    if named and _is_choices(named) and isinstance(value, int) and isinstance(options := parsed(cells.look(named)), list):
        # The number of a choice, counted from 0, is its letter in the question.
        value = _LETTERS[value] if 0 <= value < min(len(options), 26) else value
    text = value.removesuffix(cells.choices.answer_end) if isinstance(value, str) and cells.choices.answer_end else None
    answered = [{"role": "assistant", "content": text}] if text is not None else answer_turns(value, answer, cells, left)
    question = with_context(cells, question)
    refuse_second_question(cells, question, answer)
    return [{"role": "user", "content": question}, *answered]


def with_context(cells: Cells, question: str) -> str:
    """A question with the text that it is about below it, from the column that was named or one of the usual names."""
    columns = cells.columns
    if columns.context:
        return under(question, context_text(cells.named(columns.context), columns.context))
    if columns.question and columns.answer:
        # Who names both says what the conversation is made of.
        return question
    for name in cells.filled(CONTEXTS):
        value = cells.get(name)
        if isinstance(value, str) or (isinstance(value, list) and all(isinstance(part, str) for part in value)):
            question = under(question, context_text(cells.take(name), name))
    return question


def context_text(value: Any, where: str) -> str:
    """Text under a question: text, or a list of texts; choices are written with letters."""
    value = parsed(value)
    if _is_choices(where):
        # Choices by letter, and ARC's object with texts and their letters.
        if isinstance(value, dict) and isinstance(value.get("text"), list) and isinstance(value.get("label"), list):
            value = dict(zip(value["label"], value["text"], strict=False))
        if isinstance(value, list):
            value = {_LETTERS[index % 26]: part for index, part in enumerate(value)}
        if isinstance(value, dict) and all(isinstance(part, str | int | float) for part in value.values()):
            return "\n".join(f"{letter}. {part}" for letter, part in value.items())
    if isinstance(value, list) and value and all(isinstance(part, str | int | float) for part in value):
        return "\n\n".join(str(part) for part in value)
    return as_text(value, where)


def _is_choices(name: str) -> bool:
    """True for a column of answers to choose from."""
    return name.rpartition(".")[2].lower() in {"choices", "options"}


def under(question: str, context: str) -> str:
    """A question with the text it is about below it; a placeholder is no text."""
    if is_placeholder(context) or context in question:
        return question
    return f"{question}\n\n{context}" if question.strip() else context


def refuse_second_question(cells: Cells, question: str, answer: str) -> None:
    """Two columns that can each be what is asked, and nobody said which.

    Raises:
        ShapeError: names both, and the lines of a recipe that read them.
    """
    if cells.columns.question:
        return
    for name in cells.filled(ASKING):
        value = cells.get(name)
        texts = value if isinstance(value, list) else [value]
        if name == answer or all(isinstance(text, str) and text.strip() in question for text in texts):
            continue
        if isinstance(value, str) and question.strip() in value:
            # The same once more inside a prompt that was made of it.
            continue
        first = next(
            (key for key in ("question", "prompt", "instruction", "query", "input") if key in cells and key != name), "..."
        )
        raise ShapeError(
            f"has two columns that say what is asked, {first!r} and {name!r}. Say in the recipe what each is, for example\n"
            f"    columns: {{question: {in_yaml(first)}, context: {in_yaml(name)}, answer: {in_yaml(answer)}}}",
            complete=True,
        )


def prompt_turns(value: Any, where: str, cells: Cells, left: dict[str, Any]) -> list[Message]:
    """What is asked, as text or as turns; an object with ``messages`` in it is opened (OpenAI's preferences)."""
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, dict) and is_turn(value):
        value = [value]
    turns = as_turn_list(value)
    if turns is not None and any(map(is_turn, turns)):
        return turns_under(turns, where, cells, left)
    return [{"role": "user", "content": read_content(_parts(value), where)[0]}]


def answer_turns(value: Any, where: str, cells: Cells, left: dict[str, Any]) -> list[Message]:
    """What is answered, as text, as turns, or as SQuAD's object with the texts in it."""
    if isinstance(value, dict) and is_turn(value):
        value = [value]
    if isinstance(value, dict) and "text" in value:
        value = value["text"]
    turns = as_turn_list(value)
    if turns is not None and any(map(is_turn, turns)):
        return turns_under(turns, where, cells, left)
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        # Several answers that count as right: the first one is trained.
        if others := [text for text in dict.fromkeys(value) if text.strip() != value[0].strip()]:
            left[OTHER_ANSWERS] = [*left.get(OTHER_ANSWERS, ()), *others]
        value = value[0]
    text, thought = read_content(_parts(value), where)
    turn: Message = {"role": "assistant", "content": text, **({"reasoning_content": thought} if thought else {})}
    if cells.choices.split_thoughts:
        split_thought(turn)
    return [turn]


def turns_under(turns: Sequence[Any], where: str, cells: Cells, left: dict[str, Any]) -> list[Message]:
    """Turns of one of several columns; what has no place in them is told under the column's name, as each counts its own."""
    inner: dict[str, Any] = {}
    messages = read_turns(turns, cells.choices, inner)
    left.update({where: inner} if inner else {})
    return messages


def _parts(value: Any) -> Any:
    """A value; text that is a list of parts is opened, a part alone is a list of one."""
    opened = parsed(value)
    if is_part(opened):
        return [opened]
    return opened if isinstance(opened, list) and opened and all(map(is_part, opened)) else value


def earlier_turns(cells: Cells, left: dict[str, Any]) -> list[Message]:
    """Turns before the question: pairs of question and answer, or turns (``history``).

    Raises:
        ShapeError: they are something else.
    """
    named = cells.columns.history
    name = named or next(iter(cells.filled(HISTORIES)), None)
    if name is None:
        return []
    value = parsed(cells.named(name) if named else cells.take(name))
    if not is_filled(value) or is_placeholder(value):
        return []
    if isinstance(value, list) and all(
        isinstance(turn, Sequence) and not isinstance(turn, str) and len(turn) == 2 for turn in value
    ):
        return [turn for asked, answered in value for turn in pair(as_text(asked, name), as_text(answered, name))]
    turns = as_turn_list(value)
    if turns is not None and all(map(is_turn, turns)):
        return turns_under(turns, name, cells, left)
    raise ShapeError(f"has a {name!r} that is not a list of [question, answer]")
