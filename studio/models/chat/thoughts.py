"""Thoughts: what an assistant writes for itself before an answer, in a field of its own or between marks in the text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# How templates and models open and close a thought. Gemma 4 names the channel after its mark.
THOUGHTS = {
    "<think>": "</think>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|channel>thought": "<channel|>",
}
_OPENED = re.compile("(" + "|".join(re.escape(mark) for mark in THOUGHTS) + r")(\s*)$")
_BEGINS = re.compile(r"\s*(" + "|".join(re.escape(mark) for mark in THOUGHTS) + ")")
_WRITTEN = re.compile(r"\s*<think>(.*?)</think>", re.DOTALL)


def opened_thought(prompt: str) -> re.Match[str] | None:
    """The mark (group 1) and the blanks (group 2) with which a prompt opens a thought, None where it opens none."""
    return _OPENED.search(prompt)


def without_opening(prompt: str) -> str:
    """A prompt without the thought that it opens."""
    return _OPENED.sub("", prompt)


def thought_of(message: Mapping[str, Any]) -> tuple[str, str]:
    """The thought of an assistant turn and what is said after it; the thought may be its own field or stand in the text."""
    content = str(message["content"])
    if message.get("reasoning_content"):
        return str(message["reasoning_content"]), content
    match = written_thought(content)
    return (match.group(1), content[match.end() :]) if match else ("", content)


def written_thought(content: str) -> re.Match[str] | None:
    """A thought between marks at the start of a text, its words in group 1."""
    return _WRITTEN.match(content)


def without_thought(message: Mapping[str, Any]) -> dict[str, Any]:
    """An assistant turn without its thought; any other turn as it is."""
    bare = {key: value for key, value in message.items() if key != "reasoning_content"}
    if message["role"] != "assistant" or not isinstance(message.get("content"), str):
        return bare
    match = None if message.get("reasoning_content") else written_thought(message["content"])
    return {**bare, "content": message["content"][match.end() :].lstrip("\n")} if match else bare


def with_field(message: Mapping[str, Any]) -> dict[str, Any]:
    """An assistant turn whose thought stands in a field of its own; any other turn as it is."""
    if message["role"] != "assistant" or not isinstance(message.get("content"), str):
        return dict(message)
    thought, said = thought_of(message)
    if message.get("reasoning_content") or not thought.strip():
        return dict(message)
    return {**message, "content": said.lstrip("\n"), "reasoning_content": thought.strip()}


def thought_in_text(message: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """A turn with its thought between marks in its text, for a template that knows no field for it."""
    bare = {key: value for key, value in message.items() if key != "reasoning_content"}
    if not message.get("reasoning_content"):
        return bare
    return {**bare, "content": f"{mark}\n{message['reasoning_content']}\n{THOUGHTS[mark]}\n\n{message.get('content') or ''}"}


def split_thought(text: str, opened: str | None = None) -> tuple[str | None, str]:
    """What a model wrote, as its thought (None without one) and what it says.

    Args:
        opened: the mark of a thought that the prompt had opened before the text; none or empty where it had not.
    """
    thoughts: list[str] = []
    match = _BEGINS.match(text)  # also behind an opened one, which a model may open once more
    while opened or match:
        mark = match.group(1) if match else str(opened)
        thought, closed, text = text[match.end() if match else 0 :].partition(THOUGHTS[mark])
        thoughts.append(thought.strip())
        if not closed:  # cut off in the middle of it
            break
        opened, match = None, _BEGINS.match(text)
    return ("\n\n".join(thoughts) if thoughts else None), text
