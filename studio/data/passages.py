"""Questions with the passages that answer them, whatever kind of Dataset they come from.

A kind of Dataset whose rows can be searched this way has a line in :data:`PASSAGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from studio.core.errors import UserError
from studio.core.registry import Registry
from studio.data.kinds import rows_of
from studio.data.parquet import read_whole_dataset

# Kind of Dataset to what reads a split of it: ``read(folder, split, passage) -> Passages``.
PASSAGES = Registry("kind of Dataset", {"chat": "studio.data.chat.passages:read_chat_passages"})


@dataclass(frozen=True)
class Found:
    """A question with what is known to answer it.

    id: of the row. positive: what answers it, None where only wrong answers are known. negatives: texts that people disliked as
    its answer. group: what the row belongs to, where rows are not independent.
    """

    id: str
    query: str
    positive: str | None
    negatives: tuple[str, ...] = ()
    group: str | None = None


@dataclass
class Passages:
    """Questions of one split, in its order. left_out: rows without any, each with its reason. notes: what people have to know."""

    rows: list[Found]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


Read = Callable[[Path, str, str], Passages]


def same_text(text: str) -> str:
    """What two texts share that differ in case and white space only."""
    return " ".join(text.casefold().split())


def relevant_passages(rows: Iterable[Found]) -> dict[str, set[str]]:
    """Each question to all passages that are known to answer it, both as :func:`same_text` has them."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if row.positive is not None:
            found.setdefault(same_text(row.query), set()).add(same_text(row.positive))
    return found


def read_passages(folder: Path, split: str, passage: str) -> Passages:
    """The questions of a split.

    Args:
        passage: ``answer``, or a column of the rows.
    Raises:
        UserError: there is no such split or column, or the Dataset's rows hold no questions.
    """
    record = read_whole_dataset(folder)
    if record.kind not in PASSAGES:
        raise UserError(
            f"the dataset {record.name} holds {rows_of(record)}, which are no questions with passages. "
            f"Kinds that are: {', '.join(PASSAGES)}. Build one: studio data build chat/construction-faq-en"
        )
    read: Read = PASSAGES.get(record.kind)
    return read(folder, split, passage)
