"""A thought as a page shows it: folded away before what is said, open while nothing else is there."""

from __future__ import annotations

from studio.apps.inert import inert
from studio.core.translation import t


def with_thought(text: str, thought: str | None) -> str:
    """Markdown of an answer, made inert, with its thought in a block that folds."""
    if not thought:
        return inert(text)
    unfolded, heading = "" if text else " open", t("Thought")
    folded = f'<details class="studio-thought"{unfolded}><summary>{heading}</summary>\n\n{inert(thought)}\n\n</details>'
    return f"{folded}\n\n{inert(text)}"
