"""Conversations, preferences and thumbs as questions with passages, for embeddings and rerankers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from studio.core.errors import UserError, nearest
from studio.data.chat.rows import ChatRow, read_split
from studio.data.passages import Found, Passages, relevant_passages, same_text

ANSWER = "answer"
_NEVER_PASSAGES = {"id", "source"}


def read_chat_passages(folder: Path, split: str, passage: str) -> Passages:
    """The questions of a split: of a conversation the first one, of a preference the last turn before the answers.

    A disliked answer alone belongs to the rows that ask the same question; where there is none it stands without a passage.

    Args:
        passage: ``answer``, or the column of the rows that holds the passage.
    Raises:
        UserError: no row has that column.
    """
    rows = read_split(folder, split)
    if passage != ANSWER:
        columns = sorted({key for row in rows for key in row.meta} - _NEVER_PASSAGES)
        if passage not in columns:
            raise UserError(
                f"passage: the rows of {folder.parent.name} have no column {passage!r}.{nearest(passage, [ANSWER, *columns])} "
                f"Allowed: {ANSWER}, the answer itself; columns: {', '.join(columns) or 'none'}."
            )
    found = Passages([])
    longer = 0
    for row in rows:
        one = _of_row(row, passage)
        if isinstance(one, str):
            found.left_out.append((row.id, one))
        else:
            found.rows.append(one)
            longer += not row.is_preference and sum(turn["role"] == "user" for turn in row.messages) > 1
    if longer:
        found.notes.append(
            f"{longer:,} of {len(rows):,} conversations of {split} go on after their first question, which alone is taken: "
            "what follows leans on what was said before"
        )
    return _with_disliked(found)


def _of_row(row: ChatRow, passage: str) -> Found | str:
    """A row's question, or why it has none."""
    question, answer = _exchange(row)
    if not question.strip():
        return "no question: no user's turn with text before an answer"
    if passage != ANSWER:
        value = row.meta.get(passage)
        if not isinstance(value, str) or not value.strip():
            return f"nothing in its column {passage!r}"
        return Found(row.id, question, value, (), row.group)
    disliked = (row.rejected,) if row.rejected is not None and row.rejected.strip() else ()
    if not answer.strip() and not disliked:
        return "no answer with text"
    return Found(row.id, question, answer if answer.strip() else None, disliked, row.group)


def _exchange(row: ChatRow) -> tuple[str, str]:
    """Question and right answer of a row; empty where there is none."""
    if row.is_preference:
        last = row.messages[-1] if row.messages else {"role": "", "content": ""}
        return (str(last["content"]) if last["role"] == "user" else ""), row.chosen or ""
    for first, second in zip(row.messages, row.messages[1:], strict=False):
        if first["role"] == "user" and second["role"] == "assistant":
            return str(first["content"]), str(second["content"])
    return "", ""


def _with_disliked(found: Passages) -> Passages:
    """Disliked answers with the rows of the same question; one that is liked elsewhere for it counts as liked."""
    liked = relevant_passages(found.rows)
    disliked: dict[str, dict[str, str]] = {}
    for row in found.rows:
        key = same_text(row.query)
        for text in row.negatives:
            if same_text(text) not in liked.get(key, set()):
                disliked.setdefault(key, {}).setdefault(same_text(text), text)
    rows: list[Found] = []
    for row in found.rows:
        key = same_text(row.query)
        if row.positive is None and key in liked:
            kept = any(same_text(text) in disliked.get(key, {}) for text in row.negatives)
            why = "set against the liked answers of the same question" if kept else "liked elsewhere for the same question"
            found.left_out.append((row.id, f"a disliked answer alone: {why}"))
            continue
        rows.append(replace(row, negatives=tuple(disliked.get(key, {}).values())))
    return Passages(rows, found.left_out, found.notes)
