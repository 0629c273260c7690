"""Which questions are only ever measured: decided once for each and for all that resemble it, in this round and later ones.

Legend: True is held out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.core.files import write_text
from studio.data.similarity import NearPairs, Shingling
from studio.feedback.export import comparable

FILE = "questions.jsonl"
_SHINGLING = Shingling("character", 4)


def question_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the user says in a talk, case, punctuation and blanks set aside."""
    return "\n".join(comparable(str(turn.get("content") or "")) for turn in messages if turn["role"] == "user")


def decide(known: Mapping[str, bool], questions: Sequence[str], *, share: float, near: float) -> dict[str, bool]:
    """The fate of every question: that of the first one before it that it resembles, or else by its hash.

    Args:
        known: questions whose fate is decided. share: of unlike questions that is held out. near: least Jaccard similarity of
            4-character runs.
    """
    fresh = list(dict.fromkeys(question for question in questions if question not in known))
    texts = [*known, *fresh]
    fates = dict(known)
    pairs = NearPairs(texts, near, _SHINGLING)
    like = {
        place: next((other for other in earlier if pairs.similarity(place, other) >= near), None)
        for place, earlier in pairs.earlier()
        if place >= len(known)
    }
    for place in range(len(known), len(texts)):
        leader = pairs.same[place] if pairs.same[place] != place else like.get(place)
        fates[texts[place]] = fates[texts[leader]] if leader is not None else _by_hash(texts[place], share)
    return fates


def _by_hash(question: str, share: float) -> bool:
    """Whether a question that resembles none before is held out."""
    digest = hashlib.sha256(question.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def write_fates(folder: Path, fates: Mapping[str, bool]) -> None:
    """Keep the fates with a round."""
    lines = [json.dumps({"question": question, "held_out": held}, ensure_ascii=False) for question, held in fates.items()]
    write_text(folder / FILE, "".join(line + "\n" for line in lines))


def read_fates(folder: Path) -> dict[str, bool]:
    """The fates that a round kept; none where it was interrupted before."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    entries = [json.loads(line) for line in text.splitlines()]
    return {entry["question"]: bool(entry["held_out"]) for entry in entries}
