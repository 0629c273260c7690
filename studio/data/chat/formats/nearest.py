"""What a row of no known shape is told: its columns, the nearest shape, and the lines of recipe that would read it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from studio.data.chat.formats.base import ShapeError, fold, in_yaml, names_of
from studio.data.chat.formats.names import ANSWERS, COMPLETIONS, QUESTIONS
from studio.data.chat.formats.turns import as_turn_list, is_turn

_SHOWN = 60
_COMPARED = 100
_RIVALS = (
    ("good", "bad"), ("better", "worse"), ("best", "worst"), ("winner", "loser"), ("win", "lose"), ("positive", "negative"),
    ("a", "b"), ("j", "k"), ("0", "1"), ("1", "2"), ("w", "l"),
)  # fmt: skip


def unknown_shape(row: Mapping[str, Any]) -> ShapeError:
    """The error for a row of no known shape."""
    # Of thousands of columns none is a question; comparing their names would take minutes.
    near, line = _nearest(dict(itertools.islice(row.items(), _COMPARED)))
    cells = "; ".join(f"{name}: {_glimpse(value)}" for name, value in list(row.items())[:6])
    if len(row) <= _COMPARED and _looks_headless(row):
        return ShapeError(
            f"has columns called {names_of(row)}, which read like a row. If the table has no line of names, the recipe's source "
            f"says by number, counted from 0, what is what\n    columns: {{{_by_number(row)}}}\nand else by name\n    {line}",
            complete=True,
        )
    return ShapeError(
        f"has the columns {names_of(row)}, which is none of the known shapes ({cells}). Nearest is {near}; if it is "
        f"that, the recipe's source says\n    format: {near}\n    {line}",
        complete=True,
    )


def _looks_headless(row: Mapping[str, Any]) -> bool:
    """True where the names of columns read like what stands in them: sentences, beside texts only."""
    said = [str(name).strip() for name in row]
    if len(said) < 2 or not all(isinstance(value, str | None) for value in row.values()):
        return False
    return any(name.count(" ") >= 2 or len(name) > _SHOWN or name.endswith((".", "?", "!", "。", "？", "！")) for name in said)


def _by_number(row: Mapping[str, Any]) -> str:
    """The columns of a table without names that are likely question and answer: the first with words, the longest after it."""
    lengths = [len(str(name)) + len(str(value)) for name, value in row.items()]
    worded = [place for place, (name, value) in enumerate(row.items()) if not f"{name}{value}".replace(".", "").isdigit()]
    question = next((place for place in worded if lengths[place] > 8 and place < len(lengths) - 1), 0)
    answer = max(range(question + 1, len(lengths)), key=lambda place: lengths[place])
    return f"question: {question}, answer: {answer}"


def _glimpse(value: Any) -> str:
    """The beginning of a value."""
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _nearest(row: Mapping[str, Any]) -> tuple[str, str]:
    """The nearest shape and the line that names its columns."""
    texts = [str(name) for name, value in row.items() if isinstance(value, str | int | float)]
    for name, value in row.items():
        turns = as_turn_list(value)
        if turns and (all(map(is_turn, turns)) or (not texts and all(isinstance(turn, str) for turn in turns))):
            return "messages", f"columns: {{messages: {in_yaml(name)}}}"
    words = [name for name in texts if isinstance(row[name], str)]
    pair = _rivals(words)
    question = _like([name for name in texts if name not in pair], ("question", "prompt", "instruction", *QUESTIONS))
    question = question or next((name for name in texts if name not in pair), "...")
    if pair:
        chosen, rejected = map(in_yaml, pair)
        return "preference", f"columns: {{question: {in_yaml(question)}, chosen: {chosen}, rejected: {rejected}}}"
    rest = [name for name in texts if name != question]
    longest = max(rest, key=lambda name: len(str(row[name])), default="...")
    answer = _like(rest, ("answer", *ANSWERS, *COMPLETIONS)) or longest
    return "question_answer", f"columns: {{question: {in_yaml(question)}, answer: {in_yaml(answer)}}}"


def _rivals(names: list[str]) -> tuple[str, ...]:
    """Two columns that hold rival answers by their names (``good`` and ``bad``, ``response_a`` and ``response_b``)."""
    folded = {fold(name): name for name in names}
    for one, other in _RIVALS:
        for first, name in folded.items():
            words = first.split("_")
            second = "_".join(other if word == one else word for word in words)
            # A letter or a number alone says nothing.
            if one in words and second in folded and (len(one) > 1 or len(words) > 1):
                return name, folded[second]
    return ()


def _like(names: list[str], known: tuple[str, ...]) -> str | None:
    """A column whose name resembles a usual one."""
    whole = [word for word in known if len(word) > 1]
    return next(
        (name for name in names if any(word in fold(name) for word in whole) or get_close_matches(fold(name), whole, 1)), None
    )
