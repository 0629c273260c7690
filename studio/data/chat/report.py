"""``report.html`` of a Dataset: one self-contained page that opens offline. Everything that comes from data is escaped."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.core.records import DatasetRecord
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.turns import shown_turn
from studio.data.page import page_template

# Examples of one reason; enough to judge a step, few enough to read.
_EXAMPLES = 3
_SHOWN_CHARACTERS = 420


@dataclass(frozen=True)
class Turn:
    """A turn as it is shown, cut to a readable length."""

    role: str
    content: str


@dataclass(frozen=True)
class Example:
    """A removed row and, for a duplicate, the row it matched."""

    id: str
    value: str
    threshold: str
    turns: list[Turn]
    matched: str | None
    matched_turns: list[Turn]


@dataclass(frozen=True)
class Reason:
    """Examples of one reason of one step."""

    step: str
    reason: str
    count: int
    examples: list[Example]


def render_report(
    record: DatasetRecord,
    removed: Sequence[RemovedRow],
    kept: Sequence[ChatRow],
    lengths_before: Sequence[int],
    lengths_after: Sequence[int],
    edges: Sequence[int],
) -> str:
    """The page as text.

    Args:
        lengths_before: rows per length class when they were read; lengths_after: of the rows that stayed.
        edges: borders of the classes in characters.
    """
    extra: dict[str, Any] = record.model_extra or {}
    return page_template("chat/report.html.j2").render(
        record=record,
        notes=extra.get("notes", []),
        clusters=extra.get("clusters", {}),
        shapes=extra.get("shapes", {}),
        mixture=extra.get("mixture", {}),
        added=extra.get("rows_added", 0),
        unused=extra.get("columns_not_used", {}),
        writers=extra.get("writers", {}),
        crawls=extra.get("crawls", {}),
        kept=sum(record.splits.values()),
        seconds=sum(step.seconds for step in record.steps),
        histogram=_bars(lengths_before, lengths_after, edges),
        boxes=[_drawn(step.model_extra["box"]) for step in record.steps if step.model_extra and "box" in step.model_extra],
        reasons=_reasons(removed, kept),
        samples=[_turns(row) for row in kept[:2]],
        roles=_turn_counts(kept),
    )


def _drawn(box: dict[str, Any]) -> dict[str, Any]:
    """Geometry of a box plot: places as shares of the drawing's width, between the least and the greatest value."""
    low, high = box["lowest"], box["highest"]
    scale = 100 / (high - low) if high > low else 0.0
    first, middle, third = (round((value - low) * scale, 3) for value in box["quartiles"])
    left, right = (round((value - low) * scale, 3) for value in box["whiskers"])
    return {
        "name": box["name"],
        "low": min(left, first),
        "high": max(right, third),
        "first": first,
        "middle": middle,
        "third": third,
        "points": [round(min((value - low) * scale, 99.6), 3) for value in box["points"]],
        "words": f"{box['name']}: from {low:g} to {high:g}; quartiles {', '.join(f'{value:g}' for value in box['quartiles'])}; "
        f"whiskers {box['whiskers'][0]:g} and {box['whiskers'][1]:g}; {box['beyond']:,} rows beyond",
    }


def _turns(row: ChatRow) -> list[Turn]:
    """The first turns of a row."""
    shown = [Turn(turn["role"], _shorten(turn["content"])) for turn in map(shown_turn, row.turns[:4])]
    more = len(row.turns) - len(shown)
    return [*shown, Turn("", f"… {more} more turn{'s' if more > 1 else ''}")] if more > 0 else shown


def _shorten(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS].rstrip()} …"


def _reasons(removed: Sequence[RemovedRow], kept: Sequence[ChatRow]) -> list[Reason]:
    """Removed rows by step and reason, in the order of the steps, with a few examples each."""
    counts: Counter[tuple[str, str]] = Counter()
    chosen: dict[tuple[str, str], list[RemovedRow]] = {}
    for gone in removed:
        # Sentences about damaged rows name the row, so they are one group.
        key = (gone.step, gone.reason if gone.matched or gone.step != "read" else "damaged")
        counts[key] += 1
        if counts[key] <= _EXAMPLES:
            chosen.setdefault(key, []).append(gone)
    wanted = {gone.matched for rows in chosen.values() for gone in rows if gone.matched}
    known = {row.id: row for row in itertools.chain(kept, (gone.row for gone in removed)) if row.id in wanted}
    return [
        Reason(step, reason, counts[step, reason], [_example(gone, known) for gone in rows])
        for (step, reason), rows in chosen.items()
    ]


def _example(gone: RemovedRow, known: dict[str, ChatRow]) -> Example:
    """One removed row."""
    match = known.get(gone.matched or "")
    value = gone.reason if gone.step == "read" else gone.value or ""
    return Example(gone.row.id, value, gone.threshold or "", _turns(gone.row), gone.matched, _turns(match) if match else [])


def _turn_counts(kept: Sequence[ChatRow]) -> list[tuple[str, int]]:
    """How many rows have one exchange, several, and a system turn; in one walk, because rows may lie on disk."""
    labels = ("one exchange", "several exchanges", "with a system turn")
    more = ("with tools", "with thoughts", "with turns that train less or not")
    counts: Counter[str] = Counter()
    for row in kept:
        counts[labels[sum(message["role"] == "user" for message in row.messages) > 1]] += 1
        counts[labels[2]] += row.messages[0]["role"] == "system"
        counts[more[0]] += bool(row.tools) or any("tool_calls" in turn for turn in row.messages)
        counts[more[1]] += any("reasoning_content" in turn for turn in row.messages)
        counts[more[2]] += any("weight" in turn for turn in row.messages)
    return [*((label, counts[label]) for label in labels), *((label, counts[label]) for label in more if counts[label])]


def _bars(before: Sequence[int], after: Sequence[int], edges: Sequence[int]) -> dict[str, Any]:
    """Geometry of the histogram: bars as shares of the drawing's width and height."""
    used = [index for index, count in enumerate(before) if count or after[index]]
    if not used:
        return {"bars": [], "ticks": []}
    first, last = min(used), max(used)
    highest = max(*before, *after)
    width = 100 / (last - first + 1)
    bars = []
    for index in range(first, last + 1):
        low = edges[index - 1] if index else 0
        high = f"{edges[index] - 1:,}" if index < len(edges) else "more"
        bars.append(
            {
                "x": round((index - first) * width, 3),
                "width": round(width * 0.86, 3),
                "before": round(100 * before[index] / highest, 3),
                "after": round(100 * after[index] / highest, 3),
                "label": f"{low:,} to {high} characters: {before[index]:,} read, {after[index]:,} kept",
            }
        )
    every = max(1, (last - first + 1) // 5)
    ticks = [
        {"x": round((index - first) * width, 3), "label": f"{edges[index - 1]:,}" if index else "0"}
        for index in range(first, last + 1, every)
    ]
    return {"bars": bars, "ticks": ticks, "highest": highest}
