"""What a row of no known shape is told: its columns, the nearest shape, and the lines of recipe that would read it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from studio.data.chat.formats.base import ShapeError, fold, in_yaml, names_of
from studio.data.chat.formats.names import ANSWERS, COMPLETIONS, QUESTIONS
from studio.data.chat.formats.turns import as_turn_list, is_turn

_SHOWN = 60
_RIVALS = (
    ("good", "bad"), ("better", "worse"), ("best", "worst"), ("winner", "loser"), ("win", "lose"), ("positive", "negative"),
    ("a", "b"), ("j", "k"), ("0", "1"), ("1", "2"), ("w", "l"),
)  # fmt: skip


def unknown_shape(row: Mapping[str, Any]) -> ShapeError:
    """The error for a row of no known shape."""
    cells = "; ".join(f"{name}: {_glimpse(value)}" for name, value in list(row.items())[:6])
    near, line = _nearest(row)
    headless = " If the first line of the table is no header, put one before it." if _looks_headless(row) else ""
    return ShapeError(
        f"has the columns {names_of(row)}, which is none of the known shapes ({cells}).{headless} Nearest is {near}; if it is "
        f"that, the recipe's source says\n    format: {near}\n    {line}",
        complete=True,
    )


def _looks_headless(row: Mapping[str, Any]) -> bool:
    """True where the names of columns read like what stands in them: sentences."""
    return any(str(name).count(" ") >= 2 or str(name).rstrip().endswith((".", "?", "!", "。", "？")) for name in row)


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
