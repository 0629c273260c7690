"""Rows that hold several: an article of SQuAD with its paragraphs and questions, an intent with its patterns and responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def nested_rows(value: Any) -> list[dict[str, Any]] | None:
    """The rows inside a row; None where it is one itself."""
    if not isinstance(value, Mapping):
        return None
    paragraphs = value.get("paragraphs")
    if isinstance(paragraphs, list) and paragraphs and all(isinstance(one, dict) and "qas" in one for one in paragraphs):
        return [_of_squad(value, paragraph, asked) for paragraph in paragraphs for asked in paragraph["qas"]]
    patterns, responses = value.get("patterns"), value.get("responses")
    if _texts(patterns) and _texts(responses):
        return _of_intent(value)
    return None


def _texts(value: Any) -> bool:
    """True for a list of texts."""
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _of_squad(article: Mapping[str, Any], paragraph: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A question about a paragraph; one that cannot be answered has no answer."""
    answers = [one.get("text") for one in asked.get("answers") or () if isinstance(one, dict)]
    row = {"question": asked.get("question"), "context": paragraph.get("context"), "answer": list(dict.fromkeys(answers)) or None}
    facts = {"id": asked.get("id"), "title": article.get("title"), "is_impossible": asked.get("is_impossible")}
    return row | {key: fact for key, fact in facts.items() if fact is not None}


def _of_intent(intent: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each pattern; the responses take turns in being the one that trains."""
    patterns, responses = intent["patterns"], intent["responses"]
    rest = {key: other for key, other in intent.items() if key not in {"patterns", "responses"}}
    turned = [responses[number % len(responses) :] + responses[: number % len(responses)] for number in range(len(patterns))]
    return [{"question": pattern, "answer": answers, **rest} for pattern, answers in zip(patterns, turned, strict=True)]
