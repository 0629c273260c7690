"""A thought as a page shows it: folded away before what is said, open while nothing else is there."""

from __future__ import annotations

from studio.apps.inert import inert


def with_thought(text: str, thought: str | None) -> str:
    """Markdown of an answer, made inert, with its thought in a block that folds."""
    if not thought:
        return inert(text)
    unfolded = "" if text else " open"
    return (
        f'<details class="studio-thought"{unfolded}><summary>Thought</summary>\n\n{inert(thought)}\n\n</details>\n\n{inert(text)}'
    )
