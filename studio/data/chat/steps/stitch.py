"""The step that joins conversations which were split over rows with numbered ids."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from studio.core.errors import DataError
from studio.core.telling import counted
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import CorpusStep, Verdict
from studio.data.chat.turns import Message
from studio.data.verdicts import Drop

STITCHED = "stitched"
"""Key of ``meta`` under which the ids of the joined rows lie."""
# One beginning of ids in so many rows, and in more than half of all, numbers the rows of a corpus, and no parts.
_NUMBERED_ROWS = 20


Chain = list[tuple[ChatRow, list[Message]]]


class Stitch(CorpusStep):
    """Rows ``X_0``, ``X_1`` … joined to the first of them, where nothing is missing between and turns fit; the others go, each
    naming the row it was joined to.
    """

    def __init__(self, separator: str = "_", max_turns: int | None = None) -> None:
        """See :class:`studio.schema.chat_cleaning.StitchStep`."""
        self._pattern = re.compile(rf"(?P<whole>.+){re.escape(separator)}(?P<part>[0-9]{{1,9}})(?:~[0-9]+)?", re.DOTALL)
        self._separator, self._most = separator, max_turns

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Verdict | None]:
        """Parts are brought into order; a hole between two, or turns that do not follow each other, begin another row.

        Raises:
            DataError: nearly all ids begin alike, so that the numbers count rows.
        """
        verdicts: list[Verdict | None] = [None] * len(rows)
        joined = parts = holes = overlaps = 0
        for numbers in self._groups(rows).values():
            chains, missing = self._chains([(number, rows[place]) for number, place in sorted(numbers.items())])
            holes += missing
            for chain, overlap in chains:
                overlaps += overlap
                if len(chain) > 1:
                    joined, parts = joined + 1, parts + len(chain)
                    self._carry_out(chain, list(numbers.values()), rows, verdicts)
        self.notes = self._told(joined, parts, holes, overlaps)
        return verdicts

    def _groups(self, rows: Sequence[ChatRow]) -> dict[str, dict[int, int]]:
        """Conversations with several parts: number of the part to place of the row."""
        found: dict[str, dict[int, int]] = defaultdict(dict)
        for place, row in enumerate(rows):
            match = None if row.is_preference else self._pattern.fullmatch(row.id)
            if match is None:
                continue
            numbers, part = found[match["whole"]], int(match["part"])
            # Of two rows with one number the longer one counts: the other is empty, or a copy.
            if part not in numbers or len(row.messages) > len(rows[numbers[part]].messages):
                numbers[part] = place
        several = {whole: numbers for whole, numbers in found.items() if len(numbers) > 1}
        for whole, numbers in several.items():
            if len(numbers) > max(_NUMBERED_ROWS, len(rows) / 2):
                raise DataError(
                    f"{len(numbers):,} of {len(rows):,} rows have ids that begin with {whole + self._separator!r}, "
                    "so these numbers count rows and no parts of a conversation. "
                    "Leave the step 'stitch' out, or name another 'separator'."
                )
        return several

    def _chains(self, parts: Sequence[tuple[int, ChatRow]]) -> tuple[list[tuple[Chain, int]], int]:
        """Parts that follow each other, each with the turns it adds, and how many turns were there twice; and the holes between.

        Numbers count parts (0, 1, 2), or say at which turn of the whole a part begins (0, 11, 17), as in ShareGPT's files.
        """
        chains: list[tuple[Chain, int]] = []
        turns: list[Message] = []
        holes = reached = 0
        for place, (number, part) in enumerate(parts):
            own = list(part.messages)
            hole = place > 0 and number > parts[place - 1][0] + 1 and number > reached
            holes += hole
            reached = max(reached, number + len(own))
            if own and turns and own[0] == turns[0] and own[0]["role"] == "system":
                own = own[1:]
            twice = _overlap(turns, own)
            added = own[twice:]
            fits = not hole and bool(turns) and (not added or _follows(turns[-1], added[0]))
            if fits and (self._most is None or len(turns) + len(added) <= self._most):
                chain, overlap = chains[-1]
                chains[-1] = ([*chain, (part, added)], overlap + twice)
                turns = turns + added
            else:
                chains.append(([(part, list(part.messages))], 0))
                turns = list(part.messages)
        return chains, holes

    def _carry_out(self, chain: Chain, places: list[int], rows: Sequence[ChatRow], verdicts: list[Verdict | None]) -> None:
        """Put the joined row into the first part's place; the other parts name it."""
        place_of = {rows[place].id: place for place in places}
        first = chain[0][0]
        messages = [turn for _, turns in chain for turn in turns]
        meta = {key: value for part, _ in reversed(chain) for key, value in part.meta.items()}
        tools = next((part.tools for part, _ in chain if part.tools), [])
        meta[STITCHED] = [part.id for part, _ in chain]
        verdicts[place_of[first.id]] = replace(first, messages=messages, meta=meta, tools=tools)
        for part, turns in chain[1:]:
            count = f"{len(turns)} turn{'s' if len(turns) != 1 else ''}"
            verdicts[place_of[part.id]] = Drop(
                "joined to the conversation it continues", count, "one row per conversation", first.id
            )

    def _told(self, joined: int, parts: int, holes: int, overlaps: int) -> tuple[str, ...]:
        """What was joined, and what could not be."""
        if not joined and not holes:
            return (f"no id ends in {self._separator!r} and a number that another id shares",)
        lines = [f"{parts:,} parts were joined to {counted(joined, 'conversation')}"]
        lines += [f"{counted(overlaps, 'turn')} in two parts, taken once"] if overlaps else []
        lines += [f"{counted(holes, 'time')} a part is missing before the next, which is a row of its own"] if holes else []
        return tuple(lines)


def _overlap(before: Sequence[Message], after: Sequence[Message]) -> int:
    """How many turns at the end of one part are those at the beginning of the next."""
    for size in range(min(len(before), len(after)), 0, -1):
        if list(before[-size:]) == list(after[:size]):
            return size
    return 0


def _follows(one: Message, other: Message) -> bool:
    """True where a turn can come after another: a question after an answer, an answer after a question or a result."""
    if other["role"] == "system":
        return False
    return bool(one["role"] != other["role"] or one["role"] == "tool")
