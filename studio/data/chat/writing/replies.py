"""What a writer's reply holds: items of the form that was asked for, or in a word why it is of no use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from studio.data.chat.writing.prompts import ROWS
from studio.models.chat.thoughts import split_thought

CUT_OFF = "cut off at max_tokens"
PROSE = "prose instead of JSON"
FORM = "JSON of another form"
FILTERED = "filtered by the server"
NOTHING = "an empty answer"
# A whole answer among words; an item of one that is cut off is none.
_BEGINS = re.compile(r'\{\s*"' + ROWS + '"')
_FENCE = re.compile(r"```(?:json|JSON)?\s*\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """A reply as it is kept. calls: requests it took; estimated: the server did not count tokens; gone: why there is none.

    logprobs: of each token its text, its log-probability and those of the likeliest tokens there (:func:`logprobs_of`).
    """

    content: str = ""
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    calls: int = 1
    model: str = ""
    date: str = ""
    estimated: bool = False
    gone: str | None = None
    logprobs: list[Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def items_of(reply: Reply, keys: Sequence[str]) -> tuple[list[dict[str, str]], str | None]:
    """The items of a reply and what is wrong with it, None where it is of use.

    An item without one of the keys is left out as it is, for the check of items to name it; other keys are no harm.

    Args:
        keys: what each item must hold.
    """
    said = split_thought(reply.content)[1]
    if reply.finish == "content_filter":
        return [], FILTERED
    if not said.strip():
        return [], CUT_OFF if reply.finish == "length" else NOTHING
    value = _json_in(said)
    if value is None:
        return [], CUT_OFF if reply.finish == "length" else PROSE
    rows = value.get(ROWS) if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return [], FORM
    items = [{key: row[key].strip() if isinstance(row.get(key), str) else "" for key in keys} for row in rows]
    return items, FORM if items and not any(any(item.values()) for item in items) else None


def plain_item(reply: Reply) -> tuple[list[dict[str, str]], str | None]:
    """The reply's own words as the one item, and what is wrong with it; an answer that is cut off is of no use."""
    if reply.finish == "content_filter":
        return [], FILTERED
    if reply.finish == "length":
        return [], CUT_OFF
    said = split_thought(reply.content)[1].strip()
    return ([{"answer": said}], None) if said else ([], NOTHING)


def logprobs_of(choice: Mapping[str, Any]) -> list[Any] | None:
    """``[token, log-probability, [[token, log-probability], ...]]`` of each token, as OpenAI's API gives them; None without.

    A token whose bytes are no whole text is written as a zero character and the bytes in hex.
    """
    found = choice.get("logprobs")
    tokens = found.get("content") if isinstance(found, Mapping) else None
    if not isinstance(tokens, list):
        return None
    try:
        return [
            [_token(each), float(each["logprob"]), [[_token(top), float(top["logprob"])] for top in each["top_logprobs"]]]
            for each in tokens
        ]
    except (KeyError, TypeError, ValueError):
        return None  # a server with a form of its own


def _token(given: Mapping[str, Any]) -> str:
    """The text of a token, or its bytes."""
    raw = given.get("bytes")
    if raw is None or bytes(raw) == str(given["token"]).encode():
        return str(given["token"])
    return "\0" + bytes(raw).hex()


def _json_in(text: str) -> Any:
    """The JSON of an answer: all of it, or what stands in a fence or between words; None where there is none."""
    fenced = _FENCE.search(text)
    # Some servers leave the end of a thought in the text, and not its beginning; a row may speak of such marks too.
    for candidate in (text, fenced.group(1) if fenced else "", text.rpartition("</think>")[2]):
        with suppress(ValueError, RecursionError):
            return json.loads(candidate, strict=False)
    decoder = json.JSONDecoder(strict=False)
    # The last one: drafts in a thought come before it.
    for start in reversed([match.start() for match in _BEGINS.finditer(text)]):
        with suppress(ValueError, RecursionError):
            return decoder.raw_decode(text, start)[0]
    return None
