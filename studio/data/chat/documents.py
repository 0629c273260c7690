"""Text and markdown documents as conversations: written-out questions and answers, else heading and section."""

from __future__ import annotations

import re

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_SPEAKER = re.compile(
    r"^\s*(?:\*\*)?(Q|A|Question|Answer|User|Human|Assistant|Bot|System)(?:\*\*)?\s*[:.](?:\*\*)?\s*(.*)$", re.I
)
_ROLES = {
    "q": "user",
    "question": "user",
    "user": "user",
    "human": "user",
    "a": "assistant",
    "answer": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "system": "system",
}


def read_document(text: str, name: str, *, markdown: bool, prompt: str) -> list[dict[str, object]]:
    """Rows of a document.

    Lines that start with ``Q:`` and ``A:`` (or ``User:`` and ``Assistant:``) are taken at their word. A markdown file is cut at
    its headings: the heading is the question, the section its answer. Any other text is one row, asked for by its file name.

    Args:
        name: file name without suffix; it is the title of a document that has none.
        prompt: question made from ``{heading}``, ``{title}`` and ``{file}``.
    """
    spoken = read_transcript(text)
    if spoken:
        return [{"messages": messages} for messages in spoken]
    readable = re.sub(r"[-_]+", " ", name).strip()
    rows: list[dict[str, object]] = []
    title = readable
    for level, heading, body in _sections(text, readable) if markdown else [(0, readable, text.strip())]:
        if level == 1:
            title = heading
        if body:
            question = prompt.replace("{heading}", heading).replace("{title}", title).replace("{file}", name)
            rows.append({"question": question, "answer": body, "heading": heading, "title": title})
    return rows


def read_transcript(text: str) -> list[list[dict[str, str]]]:
    """Conversations written out line by line with speakers; a new question after an answer starts a new one for ``Q:``.

    Returns an empty list when the text does not start with a speaker or has no answer.
    """
    turns: list[dict[str, str]] = []
    labels: list[str] = []
    for line in text.strip().splitlines():
        match = _SPEAKER.match(line.removeprefix("###").strip() if line.startswith("###") else line)
        if match:
            labels.append(match.group(1).lower())
            turns.append({"role": _ROLES[labels[-1]], "content": match.group(2)})
        elif turns:
            turns[-1]["content"] += "\n" + line
        elif line.strip() and not line.startswith("#"):
            return []
    if {"user", "assistant"} - {turn["role"] for turn in turns}:
        return []
    conversations: list[list[dict[str, str]]] = []
    for label, turn in zip(labels, turns, strict=True):
        turn["content"] = turn["content"].strip()
        # Q: and A: are separate questions; User: and Assistant: are one talk.
        if not conversations or (label in {"q", "question"} and conversations[-1][-1]["role"] == "assistant"):
            conversations.append([])
        conversations[-1].append(turn)
    return conversations


def _sections(text: str, title: str) -> list[tuple[int, str, str]]:
    """Level, heading and body of each markdown section; code fences may hold lines that look like headings."""
    sections: list[tuple[int, str, list[str]]] = [(0, title, [])]
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(line)
        if heading:
            sections.append((len(heading.group(1)), heading.group(2), []))
        else:
            sections[-1][2].append(line)
    return [(level, heading, "\n".join(body).strip()) for level, heading, body in sections]
