"""Written rows, kept and dropped, as plain values: known before a Dataset is looked for, they are part of what it is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.turns import TEXT_ROLE
from studio.data.sources import ResolvedSource
from studio.data.verdicts import Drop

WRITE_STEP = "write"
"""The step under which rows stand that were dropped because of what was written."""


def written_row(identity: str, question: str, answer: str, *, group: str | None, meta: dict[str, Any]) -> ChatRow:
    """A row of one question and answer; its source is put to it when the source has its name."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return ChatRow(identity, messages, "", group, {key: value for key, value in meta.items() if value not in (None, "")})


def raw_row(identity: str, text: str, group: str, meta: dict[str, Any]) -> ChatRow:
    """A row of raw text; its source is put to it when the source has its name."""
    return ChatRow(identity, [{"role": TEXT_ROLE, "content": text}], "", group, meta)


def dropped(row: ChatRow, drop: Drop, step: str = WRITE_STEP) -> RemovedRow:
    """A row that goes, and why."""
    return RemovedRow(row, step, drop.reason, drop.value, drop.threshold, drop.matched)


def unwritten(identity: str, text: str, reason: str, step: str = WRITE_STEP) -> RemovedRow:
    """What gave no rows, as a removed row: its text stands where a question would."""
    return RemovedRow(ChatRow(identity, [{"role": "user", "content": text[:2000]}], ""), step, reason)


def as_line(row: ChatRow | RemovedRow) -> dict[str, Any]:
    """A row as plain values."""
    kept, why = (row.row, row) if isinstance(row, RemovedRow) else (row, None)
    line: dict[str, Any] = {"id": kept.id, "messages": kept.messages, "group": kept.group, "meta": kept.meta}
    if kept.tools:
        line["tools"] = kept.tools
    line |= {name: said for name in ("chosen", "rejected") if (said := getattr(kept, name)) is not None}
    if why is not None:
        line["removed"] = {key: value for key, value in asdict(why).items() if key != "row"}
    return line


def from_line(line: dict[str, Any], source: str, system: str | None) -> ChatRow | RemovedRow:
    """A row from plain values.

    Args:
        source: name of its source, with which ids begin.
        system: a turn put before conversations that have none.
    """
    messages = line["messages"]
    if system and messages[0]["role"] not in {"system", TEXT_ROLE}:
        messages = [{"role": "system", "content": system}, *messages]
    judged = {name: line.get(name) for name in ("chosen", "rejected")}
    row = ChatRow(f"{source}/{line['id']}", messages, source, line["group"], line["meta"], tools=line.get("tools", []), **judged)
    gone = line.get("removed")
    if gone is None:
        return row
    matched = f"{source}/{gone['matched']}" if gone["matched"] else None
    return RemovedRow(row, **gone | {"matched": matched})


def known_rows(source: ResolvedSource, system: str | None) -> list[ChatRow | RemovedRow]:
    """The rows of a source that are known, kept and dropped, in order."""
    return [from_line(line, source.name, system) for line in source.known.lines] if source.known else []
