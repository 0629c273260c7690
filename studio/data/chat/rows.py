"""The one row type of the chat stages, and how it lies on disk: a parquet table anyone can open with pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from studio.core.errors import UserError
from studio.data.cache import Codec
from studio.data.chat.turns import EXTRAS, TEXT_ROLE, Message, as_json, is_plain, is_text, turn_text
from studio.data.kinds import rows_of
from studio.data.parquet import read_removed_table, read_split_table, read_whole_dataset, write_table, write_tables
from studio.data.shelf import batches

_PLAIN_TURN = [("role", pa.string()), ("content", pa.string())]
_MESSAGES = pa.list_(pa.struct(_PLAIN_TURN))
# Format 2: written only where a row of the table needs it; the calls are JSON text.
_WHOLE_MESSAGES = pa.list_(
    pa.struct([*_PLAIN_TURN, *((name, pa.float64() if name == "weight" else pa.string()) for name in EXTRAS)])
)
ROW_SCHEMA = pa.schema(
    [("id", pa.string()), ("messages", _MESSAGES), ("source", pa.string()), ("group", pa.string()), ("meta", pa.string())]
)
# Written only where a row has them: a corpus of plain conversations keeps its five columns.
PREFERENCE_SCHEMA = pa.schema([("chosen", pa.string()), ("rejected", pa.string())])
TEXT_COLUMN = "text"
"""Column of raw texts, as TRL and others name it; written only where a row is one, and such a row has no messages there."""
TEXT_FORMAT = 3
"""Format of a Dataset in which rows are raw texts: a studio that does not know it would find them empty."""
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
    """One conversation, or one raw text: a single turn with the role ``text``.

    id: unique in its Dataset. messages: turns in order, with the keys of :mod:`studio.data.chat.turns`. source: name of the
    source in the recipe. group: rows that share it never straddle two splits. meta: the columns that were not used.
    chosen, rejected: for preferences, the answer that was liked and the one that was not; the messages then end with the
    turn that is answered. A pair has both, a lone thumb one of them, a plain conversation neither. tools: what the assistant may
    call, as OpenAI writes it (``{"type": "function", "function": {...}}``).
    """

    id: str
    messages: list[Message]
    source: str
    group: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    chosen: str | None = None
    rejected: str | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_preference(self) -> bool:
        """True when the row holds a liked or a disliked answer beside its prompt."""
        return self.chosen is not None or self.rejected is not None

    @property
    def is_text(self) -> bool:
        """True when the row is raw text (a document), without questions and answers."""
        return is_text(self.messages)

    @property
    def is_plain(self) -> bool:
        """True when the turns are role and content only, and there are no tools: what format 1 of a Dataset can hold."""
        return not self.tools and is_plain(self.messages)

    @property
    def turns(self) -> list[Message]:
        """The messages, and for preferences the answers after them with the roles ``chosen`` and ``rejected``."""
        answers = [("chosen", self.chosen), ("rejected", self.rejected)]
        return [*self.messages, *({"role": role, "content": text} for role, text in answers if text is not None)]

    @property
    def text(self) -> str:
        """All turns, one after the other, without roles, thoughts and calls included; the answers of a preference come last."""
        return "\n".join(turn_text(turn) for turn in self.turns)


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


def rows_to_table(
    rows: Sequence[ChatRow], plain: bool | None = None, pairs: bool | None = None, texts: bool | None = None
) -> pa.Table:
    """Arrow table of rows, in order.

    Args:
        plain: whether turns are written as role and content only; None looks whether these rows allow it.
        pairs: whether there are columns for liked and disliked answers; None looks whether these rows have some.
        texts: whether there is a column of raw texts; None looks whether these rows have some.
    """
    plain = all(row.is_plain for row in rows) if plain is None else plain
    table = pa.table(
        {
            "id": [row.id for row in rows],
            "messages": _messages_column([[] if row.is_text else row.messages for row in rows], plain),
            "source": [row.source for row in rows],
            "group": pa.array([row.group for row in rows], type=pa.string()),
            "meta": [json.dumps(row.meta, ensure_ascii=False, default=str) if row.meta else "{}" for row in rows],
        },
        schema=ROW_SCHEMA if plain else ROW_SCHEMA.set(1, pa.field("messages", _WHOLE_MESSAGES)),
    )
    if not plain:
        tools = [as_json(row.tools) if row.tools else None for row in rows]
        table = table.append_column("tools", pa.array(tools, type=pa.string()))
    if any(row.is_preference for row in rows) if pairs is None else pairs:
        for column in PREFERENCE_SCHEMA:
            table = table.append_column(column, pa.array([getattr(row, column.name) for row in rows], type=column.type))
    if any(row.is_text for row in rows) if texts is None else texts:
        whole = [row.messages[0]["content"] if row.is_text else None for row in rows]
        table = table.append_column(TEXT_COLUMN, pa.array(whole, type=pa.string()))
    return table


def _messages_column(conversations: Sequence[list[Message]], plain: bool) -> pa.Array:
    """Turns as they lie on disk."""
    if plain:
        return pa.array(conversations, type=_MESSAGES)
    whole = [
        [{**turn, "tool_calls": as_json(turn["tool_calls"])} if turn.get("tool_calls") else turn for turn in turns]
        for turns in conversations
    ]
    return pa.array(whole, type=_WHOLE_MESSAGES)


def _turns_of(line: Sequence[Message] | None) -> list[Message]:
    """Turns as they are in memory: only the keys that hold something."""
    turns = [{key: value for key, value in turn.items() if value is not None} for turn in line or ()]
    for turn in turns:
        turn.setdefault("content", "")
        if "tool_calls" in turn:
            turn["tool_calls"] = json.loads(turn["tool_calls"])
    return turns


def table_to_rows(table: pa.Table) -> list[ChatRow]:
    """Rows of an Arrow table in format 1 or 2, in order."""
    plain = table.schema.field("messages").type.value_type.num_fields == len(_PLAIN_TURN)
    columns = [table.column(name).to_pylist() for name in ROW_SCHEMA.names]
    columns += [
        table.column(name).to_pylist() if name in table.column_names else [None] * len(table)
        for name in (*PREFERENCE_SCHEMA.names, "tools", TEXT_COLUMN)
    ]
    return [
        ChatRow(
            identity,
            [{"role": TEXT_ROLE, "content": text}] if text is not None else messages if plain else _turns_of(messages),
            source,
            group,
            json.loads(meta) if meta != "{}" else {},
            chosen,
            rejected,
            json.loads(tools) if tools else [],
        )
        for identity, messages, source, group, meta, chosen, rejected, tools, text in zip(*columns, strict=True)
    ]


def removed_to_table(removed: Sequence[RemovedRow], plain: bool | None = None) -> pa.Table:
    """Arrow table of removed rows, in the order they were removed; ``plain`` as in :func:`rows_to_table`."""
    turns = [gone.row.turns for gone in removed]
    plain = all(map(is_plain, turns)) if plain is None else plain
    return pa.table(
        {
            "id": [gone.row.id for gone in removed],
            "source": [gone.row.source for gone in removed],
            "step": [gone.step for gone in removed],
            "reason": [gone.reason for gone in removed],
            "value": [gone.value for gone in removed],
            "threshold": [gone.threshold for gone in removed],
            "matched": [gone.matched for gone in removed],
            "messages": _messages_column(turns, plain),
        },
        schema=REMOVED_SCHEMA if plain else REMOVED_SCHEMA.set(7, pa.field("messages", _WHOLE_MESSAGES)),
    )


def table_to_removed(table: pa.Table) -> list[RemovedRow]:
    """Removed rows of an Arrow table; group, meta and tools are not kept for them."""
    return [
        RemovedRow(
            ChatRow(line["id"], _turns_of(line["messages"]), line["source"]),
            line["step"],
            line["reason"],
            line["value"],
            line["threshold"],
            line["matched"],
        )
        for line in table.to_pylist()
    ]


def format_of(splits: Iterable[Sequence[ChatRow]], *, plain: bool) -> int:
    """Format of a Dataset of such rows; ``plain`` as in :func:`rows_to_table`, for all of them."""
    if any(row.is_text for rows in splits for row in rows):
        return TEXT_FORMAT
    return 1 if plain else 2


def write_rows(rows: Sequence[ChatRow], plain: bool, path: Path) -> None:
    """Write a parquet file of rows; those on a shelf part by part.

    Args:
        plain: see :func:`rows_to_table`; the same for all files of a Dataset.
    """
    if isinstance(rows, list):
        write_table(rows_to_table(rows, plain), path)
        return
    pairs, texts = any(row.is_preference for row in rows), any(row.is_text for row in rows)
    write_tables((rows_to_table(part, plain, pairs, texts) for part in batches(rows)), path)


def write_removed(removed: Sequence[RemovedRow], path: Path) -> None:
    """Write a parquet file of removed rows; those on a shelf part by part."""
    if isinstance(removed, list):
        write_table(removed_to_table(removed), path)
        return
    plain = all(is_plain(gone.row.turns) for gone in removed)
    write_tables((removed_to_table(part, plain) for part in batches(removed)), path)


def read_split(dataset_folder: Path, split: str) -> list[ChatRow]:
    """Read one split of a finished Dataset.

    Raises:
        UserError: the folder is no Dataset of conversations, or it has no such split (those it has are named).
        StudioError: the file's bytes are not those that were written.
    """
    record = read_whole_dataset(dataset_folder)
    if record.kind != "chat":
        raise UserError(
            f"the dataset {record.name} holds {rows_of(record)}, not conversations. Build one: studio data build chat/…"
        )
    return table_to_rows(read_split_table(dataset_folder, record, split))


def read_removed(dataset_folder: Path) -> list[RemovedRow]:
    """Read every row that was dropped while a Dataset was built.

    Raises:
        StudioError: the file is missing or damaged.
    """
    return table_to_removed(read_removed_table(dataset_folder))


def character_count(row: ChatRow) -> int:
    """Length of a conversation in characters, roles not counted."""
    return sum(len(turn_text(turn)) for turn in row.turns)


def memory_of(row: ChatRow) -> int:
    """About how many bytes a row takes in memory: its text, and what Python needs for each turn and column."""
    texts = sum(len(turn["content"]) for turn in row.turns)
    return texts + 1000 + 350 * len(row.messages) + 150 * len(row.meta)


def comparable_text(row: ChatRow) -> str:
    """What of a conversation is compared: user and assistant turns. A system turn shared by all rows would make all alike."""
    return "\n".join(turn_text(turn) for turn in row.turns if turn["role"] != "system")


def spoken_text(row: ChatRow) -> str:
    """What people and the assistant say, without system turns, calls and results of tools."""
    return "\n".join(turn["content"] for turn in row.turns if turn["role"] not in {"system", "tool"})


CODEC: Codec[ChatRow, RemovedRow] = Codec(
    rows_to_table,
    table_to_rows,
    removed_to_table,
    table_to_removed,
    row_bytes=memory_of,
    gone_bytes=lambda gone: memory_of(gone.row),
)
"""How conversations lie in the cache of steps, and on shelves."""
