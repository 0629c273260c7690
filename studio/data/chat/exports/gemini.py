"""Gemini by way of Google Takeout: ``MyActivity.json`` of "My Activity", an entry per prompt, newest first."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from studio.data.chat.exports.base import Chat, Heard, Said, inner_list, seconds_of, word
from studio.data.chat.exports.markup import text_of_html

PROGRAM = "Gemini"
ANSWERING, ASKING = "Gemini", "user"
"""Speakers: entries name none."""
PAUSE = 0.5
"""Hours after which a new conversation begins: entries name none either."""
# What an entry says before the words of a person; in other languages it is what all of a file's titles begin with.
_VERBS = ("Prompted with: ", "Asked Gemini: ", "Asked Bard: ", "Prompted ", "Asked ", "Said ")
_ATTACHED = re.compile(r"\s*Attached \d+ files?\.?\s*\Z")
_FEWEST_TITLES = 3


def is_gemini(top: frozenset[str], item: frozenset[str]) -> bool:
    """True for the keys of an entry; other activities of Google look alike, and their entries are left out by what they name."""
    return not top and {"header", "title", "time"} <= item and bool(item & {"products", "activityControls", "safeHtmlItem"})


def read_gemini(value: Any, label: str, heard: Heard) -> Chat | None:
    """All prompts of a file and their answers as one chat, cut at pauses later; None where none is Gemini's."""
    entries = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    mine = [one for one in entries if _of_gemini(one)]
    if not mine:
        return None
    heard.left["entries of other products of Google"] += len(entries) - len(mine)
    answered = [(one, answer) for one in reversed(mine) if (answer := _answer(one))]
    heard.left["entries of Gemini without an answer"] += len(mine) - len(answered)
    begin = _beginning([word(one, "title") for one, _ in answered])
    chat = Chat(PROGRAM, label, PROGRAM, answering=ANSWERING, pause=PAUSE)
    for one, answer in answered:
        asked = _ATTACHED.sub("", _without(word(one, "title"), begin)).strip()
        heard.left["files that came with a prompt"] += bool(one.get("attachedFiles") or _ATTACHED.search(word(one, "title")))
        when = seconds_of(word(one, "time"))
        if asked:
            chat.messages += [Said(ASKING, ASKING, asked, when), Said(ANSWERING, ANSWERING, answer, when)]
    return chat


def _of_gemini(entry: Mapping[str, Any]) -> bool:
    """True for an entry that names Gemini or, as it was called before, Bard."""
    named = " ".join([word(entry, "header"), *map(str, inner_list(entry, "products"))]).lower()
    return "gemini" in named or "bard" in named


def _answer(entry: Mapping[str, Any]) -> str:
    """The answer of an entry as text."""
    pieces = [word(one, "html") for one in inner_list(entry, "safeHtmlItem") if isinstance(one, dict)]
    return "\n\n".join(filter(None, (text_of_html(piece) for piece in pieces)))


def _beginning(titles: Sequence[str]) -> str:
    """The words with which all titles begin, where they are several and end at a blank or a colon; empty where they don't."""
    different = set(titles)
    if len(different) < _FEWEST_TITLES or any(title.startswith(_VERBS) for title in different):
        return ""
    first, last = min(different), max(different)
    shared = "".join(itertools.takewhile(lambda sign: sign, (a if a == b else "" for a, b in zip(first, last, strict=False))))
    return shared[: max(shared.rfind(sign) for sign in " :：\u00a0") + 1]


def _without(title: str, begin: str) -> str:
    """A title without what stands before the words of the person."""
    verb = next((verb for verb in _VERBS if title.startswith(verb)), begin)
    return title.removeprefix(verb)
