"""A thought as a page shows it: folded away before what is said, open while nothing else is there; calls of tools below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.apps.inert import inert
from studio.core.translation import t
from studio.data.chat.turns import call_text


def answer_shown(turn: Mapping[str, Any]) -> str:
    """Markdown of a turn: its thought, its words, and its calls of tools, a line each."""
    calls = "\n".join(f"[call] {call_text(call)}" for call in turn.get("tool_calls") or ())
    text = "\n\n".join(part for part in (turn["content"], calls) if part)
    return with_thought(text, turn.get("reasoning_content"))


def with_thought(text: str, thought: str | None) -> str:
    """Markdown of an answer, made inert, with its thought in a block that folds."""
    if not thought:
        return inert(text)
    unfolded, heading = "" if text else " open", t("Thought")
    folded = f'<details class="studio-thought"{unfolded}><summary>{heading}</summary>\n\n{inert(thought)}\n\n</details>'
    return f"{folded}\n\n{inert(text)}"
