"""The step that takes personal and secret data out of conversations, or counts it.

It finds what has a clear form. It is no anonymisation: names, addresses and stories stay.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from studio.core.values import with_values
from studio.data.chat.personal.finding import Found, Search, masked, same_value
from studio.data.chat.personal.presidio import Presidio
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict, with_turns
from studio.data.chat.turns import Message, as_json, with_texts
from studio.data.verdicts import Drop
from studio.schema.scrubbing import USUAL_KINDS

FLAG = "personal_data"
"""Key in ``meta`` under which ``action: flag`` counts what a row holds, by kind."""
# Masked examples of each kind that are told.
_EXAMPLES = 3


@dataclass
class _Seen:
    """What was found in one row. numbers: the number of each value, by kind."""

    kinds: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)

    def take(self, kind: str, value: str) -> int:
        """Count a finding; gives back the number of its value among those of its kind in this row."""
        self.kinds[kind] += 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < _EXAMPLES and (mask := masked(kind, value)) not in shown:
            shown.append(mask)
        values = self.numbers.setdefault(kind, {})
        return values.setdefault(same_value(kind, value), len(values) + 1)


class Scrub(RowStep):
    """Placeholders for what should not be learnt, the row dropped, or what it holds counted in ``meta``."""

    def __init__(
        self,
        what: Sequence[str] = tuple(USUAL_KINDS),
        action: str = "replace",
        phone_region: str | None = None,
        regions: Sequence[str] = (),
        numbered: bool = False,
        engine: Presidio | None = None,
    ) -> None:
        """See :class:`studio.schema.scrubbing.ScrubStep`."""
        self._search = Search(what, phone_region, regions, engine)
        self._action, self._numbered = action, numbered

    def judge(self, row: ChatRow) -> Verdict:
        """Replace, drop, flag or keep; text in ``meta`` is cleaned too."""
        cleaned, seen = self._cleaned(row)
        if not seen.kinds:
            return row
        if self._action == "drop":
            kinds = ", ".join(f"{count} {kind}" for kind, count in seen.kinds.items())
            return Drop("personal or secret data", kinds, "none")
        if self._action == "flag":
            return replace(row, meta={**row.meta, FLAG: dict(seen.kinds)})
        return cleaned

    def removed_form(self, row: ChatRow) -> ChatRow:
        """A row that was dropped for what it holds, with placeholders: nobody reads it in ``removed.parquet`` instead."""
        return self._cleaned(row)[0]

    def tell(self, before: Sequence[ChatRow], after: Sequence[ChatRow]) -> list[str]:  # noqa: ARG002 - before says it
        """Findings by kind, with masked examples."""
        return self._told(before, {"replace": "replaced", "flag": "found and left in the text"}[self._action]) if before else []

    def tell_removed(self, rows: Sequence[ChatRow]) -> list[str]:
        """The same of rows that were dropped."""
        return self._told(rows, "found in dropped rows") if rows else []

    def _told(self, rows: Sequence[ChatRow], verb: str) -> list[str]:
        """A line for each kind."""
        kinds: Counter[str] = Counter()
        holding: Counter[str] = Counter()
        examples: dict[str, list[str]] = {}
        for row in rows:
            seen = self._cleaned(row)[1]
            kinds += seen.kinds
            holding.update(seen.kinds.keys())
            for kind, shown in seen.examples.items():
                known = examples.setdefault(kind, [])
                known += [mask for mask in shown if mask not in known][: _EXAMPLES - len(known)]
        return [
            f"{kind}: {count:,} {verb} in {holding[kind]:,} row{'s' if holding[kind] != 1 else ''} ({', '.join(examples[kind])})"
            for kind, count in kinds.most_common()
        ]

    def _cleaned(self, row: ChatRow) -> tuple[ChatRow, _Seen]:
        """A row with placeholders, and what was found in it."""
        seen = _Seen()

        def clean(text: str) -> str:
            findings = self._search.findings(text)
            return self._replaced(text, findings, seen) if findings else text

        turns = [_clean_turn(turn, clean) for turn in row.turns]
        tools = with_values(row.tools, clean)
        meta = {
            key: with_values(value, clean) if not isinstance(value, int | float) else value for key, value in row.meta.items()
        }
        return replace(with_turns(row, turns), meta=meta, tools=tools) if seen.kinds else row, seen

    def _replaced(self, text: str, findings: Sequence[Found], seen: _Seen) -> str:
        """Text with a placeholder for each finding; the same value gets the same number within a row."""
        parts: list[str] = []
        position = 0
        for one in findings:
            number = seen.take(one.kind, text[one.start : one.stop])
            placeholder = f"[{one.kind.upper()}_{number}]" if self._numbered else f"[{one.kind.upper()}]"
            parts += [text[position : one.start], placeholder]
            position = one.stop
        return "".join([*parts, text[position:]])


def _clean_turn(turn: Message, clean: Callable[[str], str]) -> Message:
    """A turn with a function applied to its texts and to every value in its calls; a tool's result that is JSON stays JSON."""
    if len(turn) == 2 and turn["role"] != "tool":
        return {**turn, "content": clean(turn["content"])}
    opened = _opened(turn["content"]) if turn["role"] == "tool" else None
    if opened is None:
        cleaned = with_texts(turn, clean)
    else:
        inner = with_values(opened, clean)
        cleaned = turn if inner == opened else {**turn, "content": as_json(inner)}
    if turn.get("name"):
        cleaned = {**cleaned, "name": clean(turn["name"])}
    if turn.get("tool_calls"):
        calls = [
            {**call, "function": {**call["function"], "arguments": with_values(call["function"]["arguments"], clean)}}
            for call in turn["tool_calls"]
        ]
        cleaned = {**cleaned, "tool_calls": calls}
    return cleaned


def _opened(text: str) -> Any:
    """The JSON object or list that a text is, else None."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
