"""Finding out whether the rows that are asked were trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import StudioError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_dataset, run_dataset
from studio.data.chat.rows import ChatRow, read_split


@dataclass(frozen=True)
class Leak:
    """What of the evaluated rows is known from training.

    rows: places of rows that were trained on (same conversation, or same id in the same dataset).
    questions: how many further rows ask a question that was trained on, with another answer.
    checked: None when the training rows were read; otherwise why they could not be.
    """

    rows: tuple[int, ...] = ()
    questions: int = 0
    checked: str | None = None


def find_leak(rows: Sequence[ChatRow], dataset: Path, run: RunRecord | None, workspace: Workspace) -> Leak:
    """Compare the rows to be asked with the training split of the run's own dataset."""
    if run is None:
        return Leak(checked="the model is not a run, so nothing says what it was trained on.")
    try:
        folder = run_dataset(run, workspace)
        training = read_split(folder, "train")
    except (UserError, StudioError) as error:
        return Leak(checked=str(error))
    same_dataset = read_dataset(folder).name == read_dataset(dataset).name
    ids = {row.id for row in training} if same_dataset else set()
    conversations = {_fingerprint(row.messages) for row in training}
    questions = {_fingerprint(_before_answer(row)) for row in training}
    leaked = tuple(index for index, row in enumerate(rows) if row.id in ids or _fingerprint(row.messages) in conversations)
    known = set(leaked)
    asked = sum(_fingerprint(_before_answer(row)) in questions for index, row in enumerate(rows) if index not in known)
    return Leak(leaked, asked)


def _before_answer(row: ChatRow) -> list[dict[str, str]]:
    """The turns before the last assistant turn."""
    last = max((index for index, message in enumerate(row.messages) if message["role"] == "assistant"), default=len(row.messages))
    return row.messages[:last]


def _fingerprint(messages: Sequence[dict[str, str]]) -> bytes:
    """Hash of a conversation, blind to case and white space."""
    text = "\x1e".join(f"{message['role']}\x1f{' '.join(message['content'].casefold().split())}" for message in messages)
    return hashlib.sha256(text.encode()).digest()
