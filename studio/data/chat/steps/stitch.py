"""The step that joins conversations which were split over rows with numbered ids."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from studio.core.errors import DataError
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import CorpusStep, Verdict
from studio.data.chat.turns import Message
from studio.data.verdicts import Drop

STITCHED = "stitched"
"""Key of ``meta`` under which the ids of the joined rows lie."""
# One beginning of ids in so many rows, and in more than half of all, numbers the rows of a corpus, and no parts.
_NUMBERED_ROWS = 20


class Stitch(CorpusStep):
    """Rows ``X_0``, ``X_1`` … joined to the first of them, where numbers follow each other and turns fit; the others go, each
    naming the row it was joined to.
    """

    def __init__(self, separator: str = "_", max_turns: int | None = None) -> None:
        """See :class:`studio.schema.chat_cleaning.StitchStep`."""
        self._pattern = re.compile(rf"(?P<whole>.+){re.escape(separator)}(?P<part>[0-9]{{1,9}})", re.DOTALL)
        self._separator, self._most = separator, max_turns

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Verdict]:
        """Parts are brought into order; a missing number, or two turns that do not follow each other, begin another row.

        Raises:
            DataError: nearly all ids begin alike, so that the numbers count rows.
        """
        groups = self._groups(rows)
        verdicts: list[Verdict] = list(rows)
        joined = parts = gaps = overlaps = 0
        for numbers in groups.values():
            places = [numbers[number] for number in sorted(numbers)]
            for run in _runs(sorted(numbers)):
                for chain, overlap in self._chains([rows[numbers[number]] for number in run]):
                    overlaps += overlap
                    if len(chain) > 1:
                        joined, parts = joined + 1, parts + len(chain)
                        self._carry_out(chain, [numbers[number] for number in run], rows, verdicts)
            gaps += len(places) and sorted(numbers)[-1] - sorted(numbers)[0] + 1 - len(places)
        self.notes = self._told(joined, parts, gaps, overlaps)
        return verdicts

    def _groups(self, rows: Sequence[ChatRow]) -> dict[str, dict[int, int]]:
        """Conversations with several parts: number of the part to place of the row."""
        found: dict[str, dict[int, int]] = defaultdict(dict)
        for place, row in enumerate(rows):
            match = None if row.is_preference else self._pattern.fullmatch(row.id)
            if match and int(match["part"]) not in found[match["whole"]]:
                found[match["whole"]][int(match["part"])] = place
        several = {whole: numbers for whole, numbers in found.items() if len(numbers) > 1}
        for whole, numbers in several.items():
            if len(numbers) > max(_NUMBERED_ROWS, len(rows) / 2):
                raise DataError(
                    f"{len(numbers):,} of {len(rows):,} rows have ids that begin with {whole + self._separator!r}, "
                    "so these numbers count rows and no parts of a conversation. "
                    "Leave the step 'stitch' out, or name another 'separator'."
                )
        return several

    def _chains(self, parts: Sequence[ChatRow]) -> list[tuple[list[tuple[ChatRow, list[Message]]], int]]:
        """Parts that follow each other, each with the turns it adds; and how many turns were there twice."""
        chains: list[tuple[list[tuple[ChatRow, list[Message]]], int]] = []
        turns: list[Message] = []
        for part in parts:
            own = list(part.messages)
            if chains:
                if own and turns and own[0] == turns[0] and own[0]["role"] == "system":
                    own = own[1:]
                twice = _overlap(turns, own)
                added = own[twice:]
                fits = bool(turns) and (not added or _follows(turns[-1], added[0]))
                if fits and (self._most is None or len(turns) + len(added) <= self._most):
                    chain, overlap = chains[-1]
                    chains[-1] = ([*chain, (part, added)], overlap + twice)
                    turns = turns + added
                    continue
            chains.append(([(part, list(part.messages))], 0))
            turns = list(part.messages)
        return chains

    def _carry_out(
        self, chain: list[tuple[ChatRow, list[Message]]], places: list[int], rows: Sequence[ChatRow], verdicts: list[Verdict]
    ) -> None:
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

    def _told(self, joined: int, parts: int, gaps: int, overlaps: int) -> tuple[str, ...]:
        """What was joined, and what could not be."""
        if not joined and not gaps:
            return (f"no id ends in {self._separator!r} and a number that another id shares",)
        lines = [f"{parts:,} parts were joined to {joined:,} conversations"]
        lines += [f"{overlaps:,} turns stood in two parts and were taken once"] if overlaps else []
        lines += [f"{gaps:,} parts are missing between others; what comes after such a gap is a row of its own"] if gaps else []
        return tuple(lines)


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Numbers that follow each other without a gap."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


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
