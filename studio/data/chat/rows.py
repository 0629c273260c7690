"""The one row type of the chat stages, and how it lies on disk: a parquet table anyone can open with pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from studio.core.errors import UserError
from studio.data.parquet import read_removed_table, read_split_table, read_whole_dataset

ROLES = ("system", "user", "assistant")

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
ROW_SCHEMA = pa.schema(
    [("id", pa.string()), ("messages", _MESSAGES), ("source", pa.string()), ("group", pa.string()), ("meta", pa.string())]
)
# Written only where a row has them: a corpus of plain conversations keeps its five columns.
PREFERENCE_SCHEMA = pa.schema([("chosen", pa.string()), ("rejected", pa.string())])
REMOVED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("value", pa.string()),
        ("threshold", pa.string()),
        ("matched", pa.string()),
        ("messages", _MESSAGES),
    ]
)


@dataclass(frozen=True)
class ChatRow:
    """One conversation.

    id: unique in its Dataset. messages: role (system, user or assistant) and content, in order. source: name of the
    source in the recipe. group: rows that share it never straddle two splits. meta: the columns that were not used.
    chosen, rejected: for preferences, the answer that was liked and the one that was not; the messages then end with the
    user's turn. A pair has both, a lone thumb one of them, a plain conversation neither.
    """

    id: str
    messages: list[dict[str, str]]
    source: str
    group: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    chosen: str | None = None
    rejected: str | None = None

    @property
    def is_preference(self) -> bool:
        """True when the row holds a liked or a disliked answer beside its prompt."""
        return self.chosen is not None or self.rejected is not None

    @property
    def turns(self) -> list[dict[str, str]]:
        """The messages, and for preferences the answers after them with the roles ``chosen`` and ``rejected``."""
        answers = [("chosen", self.chosen), ("rejected", self.rejected)]
        return [*self.messages, *({"role": role, "content": text} for role, text in answers if text is not None)]

    @property
    def text(self) -> str:
        """All turns, one after the other, without roles; the answers of a preference come last."""
        return "\n".join(turn["content"] for turn in self.turns)


@dataclass(frozen=True)
class RemovedRow:
    """A row that was dropped: by which step, why, the value that was seen, the limit it broke, the row it matched.

    value and threshold are text, because a length, a similarity and a language share the column.
    """

    row: ChatRow
    step: str
    reason: str
    value: str | None = None
    threshold: str | None = None
    matched: str | None = None


def rows_to_table(rows: Sequence[ChatRow]) -> pa.Table:
    """Arrow table of rows, in order."""
    table = pa.table(
        {
            "id": [row.id for row in rows],
            "messages": pa.array([row.messages for row in rows], type=_MESSAGES),
            "source": [row.source for row in rows],
            "group": pa.array([row.group for row in rows], type=pa.string()),
            "meta": [json.dumps(row.meta, ensure_ascii=False, default=str) if row.meta else "{}" for row in rows],
        },
        schema=ROW_SCHEMA,
    )
    if any(row.is_preference for row in rows):
        for column in PREFERENCE_SCHEMA:
            table = table.append_column(column, pa.array([getattr(row, column.name) for row in rows], type=column.type))
    return table


def table_to_rows(table: pa.Table) -> list[ChatRow]:
    """Rows of an Arrow table, in order."""
    columns = [table.column(name).to_pylist() for name in ROW_SCHEMA.names]
    columns += [
        table.column(name).to_pylist() if name in table.column_names else [None] * len(table) for name in PREFERENCE_SCHEMA.names
    ]
    return [
        ChatRow(identity, messages, source, group, json.loads(meta) if meta != "{}" else {}, chosen, rejected)
        for identity, messages, source, group, meta, chosen, rejected in zip(*columns, strict=True)
    ]


def removed_to_table(removed: Sequence[RemovedRow]) -> pa.Table:
    """Arrow table of removed rows, in the order they were removed."""
    return pa.table(
        {
            "id": [gone.row.id for gone in removed],
            "source": [gone.row.source for gone in removed],
            "step": [gone.step for gone in removed],
            "reason": [gone.reason for gone in removed],
            "value": [gone.value for gone in removed],
            "threshold": [gone.threshold for gone in removed],
            "matched": [gone.matched for gone in removed],
            "messages": pa.array([gone.row.turns for gone in removed], type=_MESSAGES),
        },
        schema=REMOVED_SCHEMA,
    )


def table_to_removed(table: pa.Table) -> list[RemovedRow]:
    """Removed rows of an Arrow table; group and meta are not kept for them."""
    return [
        RemovedRow(
            ChatRow(line["id"], line["messages"] or [], line["source"]),
            line["step"],
            line["reason"],
            line["value"],
            line["threshold"],
            line["matched"],
        )
        for line in table.to_pylist()
    ]


def read_split(dataset_folder: Path, split: str) -> list[ChatRow]:
    """Read one split of a finished Dataset.

    Raises:
        UserError: the folder is no Dataset of conversations, or it has no such split (those it has are named).
        StudioError: the file's bytes are not those that were written.
    """
    record = read_whole_dataset(dataset_folder)
    if record.kind != "chat":
        raise UserError(
            f"the dataset {record.name} holds {record.kind} rows, not conversations. Build one: studio data build chat/…"
        )
    return table_to_rows(read_split_table(dataset_folder, record, split))


def read_removed(dataset_folder: Path) -> list[RemovedRow]:
    """Read every row that was dropped while a Dataset was built.

    Raises:
        StudioError: the file is missing or damaged.
    """
    return table_to_removed(read_removed_table(dataset_folder))


def characters(rows: Iterable[ChatRow]) -> list[int]:
    """Length of each conversation in characters, roles not counted."""
    return [sum(len(turn["content"]) for turn in row.turns) for row in rows]


def comparable_text(row: ChatRow) -> str:
    """What of a conversation is compared: user and assistant turns. A system turn shared by all rows would make all alike."""
    return "\n".join(turn["content"] for turn in row.turns if turn["role"] != "system")
