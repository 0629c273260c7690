"""What the reply of an OpenAI-compatible server holds: its first choice, and the words and the thought in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.models.openai_client import EndpointError


def first_choice(reply: Mapping[str, Any], url: str, *, part: str = "message") -> Mapping[str, Any] | None:
    """The first choice of a reply; None where it has none, or one without what was asked for.

    Args:
        part: what a choice holds: ``message`` of a chat, ``text`` of a completion.
    Raises:
        EndpointError: the reply is in no form that OpenAI's API knows.
    """
    choices = reply.get("choices")
    if not isinstance(choices, list):
        names = ", ".join(map(str, list(reply)[:5])) or "nothing"
        raise EndpointError(f"the endpoint {url} answers without 'choices' (it has {names}). Is it OpenAI-compatible?")
    choice = choices[0] if choices else None
    if choice is None or (isinstance(choice, Mapping) and choice.get(part) is None):
        return None
    if not isinstance(choice, Mapping) or (part == "message" and not isinstance(choice[part], Mapping)):
        raise EndpointError(f"the endpoint {url} answers with a choice that is no object with a {part}. Is it OpenAI-compatible?")
    return choice


def text_of(message: Mapping[str, Any], url: str) -> tuple[str, str | None]:
    """Text and thought of a message: a text, a list of parts, or nothing but a refusal in a field of its own.

    Raises:
        EndpointError: it holds something other than text.
    """
    content = message.get("content")
    thought = message.get("reasoning_content") or message.get("reasoning")
    if content is None:
        content = message.get("refusal") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        raise EndpointError(f"the endpoint {url} answers with content of type {type(content).__name__}, expected a text.")
    said, thoughts = [], [str(thought)] if thought else []
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if kind in {"thinking", "reasoning"}:
            thoughts.append(_words_of(part.get(kind) or part.get("text") or ""))
        elif kind in {"text", "output_text", "refusal"}:
            said.append(_words_of(part if isinstance(part, str) else part.get("text") or part.get("refusal") or ""))
        else:
            raise EndpointError(f"the endpoint {url} answers with a part of type {kind!r}, and only text can be scored.")
    return "".join(said).strip(), "\n\n".join(thoughts).strip() or None


def _words_of(value: Any) -> str:
    """The text of a part, whose own text may again be a list of parts."""
    if isinstance(value, list):
        return "".join(_words_of(item.get("text") if isinstance(item, Mapping) else item) for item in value)
    return str(value or "")
