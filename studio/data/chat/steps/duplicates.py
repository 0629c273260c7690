"""Steps that drop repeated conversations; each dropped row names the row it repeats, which stays."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from studio.core.telling import counted
from studio.data.chat.likeness import Comparison, turns_of
from studio.data.chat.others import Other, conversations_of
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import CorpusStep
from studio.data.chat.turns import Message, as_json, turn_text
from studio.data.shelf import Joined, Picked
from studio.data.similarity import NearPairs, Shingling, plain_key
from studio.data.sketch import firsts_of
from studio.data.text import without_invisible
from studio.data.verdicts import Drop


class ExactDuplicates(CorpusStep):
    """Rows equal once case, blanks, invisible characters and Unicode form are set aside; punctuation counts.

    Signs that mean something else stay apart: ``x²`` is not ``x2``, ``aBc`` is not ``abc`` (but ``Abc`` is).
    """

    def __init__(self, of: str = "conversation", on: str = "rows", *, others: Sequence[Other] = ()) -> None:
        """``of``: compare the whole ``conversation`` or its first ``question``; ``on``: of which turns (``rows``: all);
        ``others``: another corpus to compare with, instead of the rows with each other.
        """
        self._of, self._on, self._others = of, on, others

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Drop | None]:
        """The first of equal rows stays, or those that the other corpus does not hold."""
        others, names = _rows_of(self._others)
        if self._others and not names:
            return [None] * len(rows)
        if names:
            self.notes = (_compared_with(self._others, len(others)),)
        matches = self._matches(Joined([others, rows]) if others else rows, len(others))
        found = _ids(rows, {match - len(others) for match in matches.values() if match >= len(others)})
        verdicts: list[Drop | None] = [None] * len(rows)
        for index, match in matches.items():
            name = names[match] if match < len(others) else found[match - len(others)]
            verdicts[index - len(others)] = Drop(f"same {self._what}", "equal", "different", name)
        return verdicts

    def _matches(self, rows: Sequence[ChatRow], others: int) -> dict[int, int]:
        """Rows that say what an earlier one says, with that one; where the first ones are another corpus, only with one of these.

        Rows with one hash, which sets more aside than may be, are looked at closely. Both hashes are kept, not the texts: rows
        may be more than memory holds, and mostly those that are equal are so to the letter.
        """
        hashes, letters, filled = bytearray(), bytearray(), []
        for row in rows:
            parts = self._parts(row)
            hashes += _hash([plain_key(_composed(part)) for part in parts])
            letters += _hash(parts)
            filled.append(bool(parts))
        firsts = firsts_of(np.frombuffer(hashes, dtype="<u8").reshape(-1, 2)).tolist()
        alike: dict[int, list[int]] = {}
        close: dict[int, tuple[str, ...]] = {}
        found: dict[int, int] = {}
        for index, first in enumerate(firsts):
            if first == index or not filled[index]:
                continue
            known = alike.setdefault(first, [first])
            match = next((one for one in known if self._same(close, letters, index, one, rows)), None)
            if match is not None and (not others or match < others <= index):
                found[index] = match
            elif match is None:
                known.append(index)
        return found

    @property
    def _what(self) -> str:
        """What has to be equal, in a word."""
        return self._of if self._on == "rows" else self._on

    def _same(
        self, close: dict[int, tuple[str, ...]], letters: bytearray, index: int, other: int, rows: Sequence[ChatRow]
    ) -> bool:
        """True when two rows say the same; what the close look saw is kept, and made where it is needed only."""
        if letters[16 * index : 16 * index + 16] == letters[16 * other : 16 * other + 16]:
            return True
        for place in (index, other):
            if place not in close:
                close[place] = tuple(map(_closely, self._parts(rows[place])))
        return close[index] == close[other]

    def _parts(self, row: ChatRow) -> list[str]:
        """What is compared: each turn with its role, and all that it holds besides."""
        if self._of == "question":
            return [turn["content"] for turn in row.messages if turn["role"] == "user"][:1]
        tools = [as_json(row.tools)] if row.tools and self._on == "rows" else []
        return [f"{turn['role']}: {turn_text(turn)}{_besides(turn)}" for turn in turns_of(row, self._on)] + tools


def _rows_of(others: Sequence[Other]) -> tuple[list[ChatRow], list[str]]:
    """The rows of another corpus, and how each is named to people."""
    found = [(other, row) for other in others for row in conversations_of(other)]
    return [row for _, row in found], [f"{row.id} of {other.name}" for other, row in found]


def _ids(rows: Sequence[ChatRow], places: set[int]) -> dict[int, str]:
    """Ids of some rows by their places, in one walk."""
    rising = sorted(places)
    return {place: row.id for place, row in zip(rising, Picked(rows, rising), strict=True)}


def _compared_with(others: Sequence[Other], count: int) -> str:
    """A line on another corpus."""
    return f"compared with {counted(count)} of {', '.join(other.name for other in others)}, not with each other"


def _besides(turn: Message) -> str:
    """What a turn holds besides its text, for comparison; an id of a call says nothing."""
    return "" if len(turn) == 2 else f" [{turn.get('name', '')} {turn.get('weight', 1):g}]"


def _hash(parts: Sequence[str]) -> bytes:
    """Hash of several texts."""
    return hashlib.blake2b("\x1e".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


class NearDuplicates(CorpusStep):
    """Rows nearly equal to one that stays.

    Each dropped row was itself compared with the kept row that it names: similarity is never passed on from row to row, so
    a chain of small changes does not fold a corpus into one row. At most ``max_cluster`` rows are folded into one.
    """

    def __init__(
        self,
        threshold: float = 0.8,
        unit: str = "word",
        size: int = 5,
        max_cluster: int = 1000,
        on: str = "rows",
        *,
        others: Sequence[Other] = (),
    ) -> None:
        """See :class:`studio.schema.duplicate_steps.NearDuplicatesStep`; ``others``: another corpus to compare with."""
        self._threshold, self._shingling, self._cap = threshold, Shingling(unit, size), max_cluster
        self._on, self._others = on, others

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Drop | None]:
        """The first of similar rows stays, or those that the other corpus does not nearly hold."""
        others, names = _rows_of(self._others)
        compared = Comparison(Joined([others, rows]) if others else rows, self._on)
        pairs = compared.pairs(self._threshold, self._shingling, self.crew)
        # With another corpus only its rows are proposed, never those that are judged.
        pairs.gone[len(others) :] = bool(others)
        leaders, outside = self._leaders(compared, pairs, len(others))
        self.notes = (*compared.notes, *self._tell(outside))
        if self._others:
            self.notes += (_compared_with(self._others, len(others)),)
        folded: dict[int, tuple[int, float]] = {}
        for index in range(len(others), len(others) + len(rows)):
            first = pairs.same[index]
            if not pairs.empty[index] and (first in leaders or (first != index and (not others or first < len(others)))):
                folded[index] = leaders.get(first, (first, 1.0))
        found = _ids(rows, {leader - len(others) for leader, _ in folded.values() if leader >= len(others)})
        verdicts: list[Drop | None] = [None] * len(rows)
        for index, (leader, similarity) in folded.items():
            name = names[leader] if leader < len(others) else found[leader - len(others)]
            verdicts[index - len(others)] = Drop("near duplicate", f"{similarity:.3f}", f"{self._threshold:g}", name)
        return verdicts

    def _leaders(self, compared: Comparison, pairs: NearPairs, others: int) -> tuple[dict[int, tuple[int, float]], set[int]]:
        """Rows that go, with the row that each is folded into and how alike they are; and those that the cap lets stay.

        ``others``: so many rows at the beginning are another corpus, which is not judged.
        """
        leaders: dict[int, tuple[int, float]] = {}
        folded: dict[int, int] = {}
        outside: set[int] = set()
        for index, candidates in pairs.earlier():
            if index < others:
                continue
            scored = [
                (pairs.similarity(index, other), -other) for other in candidates if other not in leaders and other not in outside
            ]
            best, negative = max(scored, default=(0.0, 0))
            leader = -negative
            if best < self._threshold or not compared.really_alike(pairs, index, leader):
                continue
            if folded.get(leader, 1) >= self._cap:
                outside.add(index)
                pairs.gone[index] = True
                continue
            folded[leader] = folded.get(leader, 1) + 1
            leaders[index] = (leader, best)
            pairs.gone[index] = True
        return leaders, outside

    def _tell(self, outside: set[int]) -> tuple[str, ...]:
        """A note when the cap was reached."""
        if not outside:
            return ()
        return (
            f"stays (max_cluster): {counted(len(outside))} like a row into which {self._cap:,} were folded already; "
            "look at them before you raise it: a template shared by all rows makes all rows alike",
        )


def _composed(text: str) -> str:
    """Text in the Unicode form NFKC, in which ``ﬁ`` and ``fi`` are the same, without invisible characters."""
    return text if text.isascii() else unicodedata.normalize("NFKC", without_invisible(text))


# Forms that NFKC gives up though they mean something: x², ½, ①, and letters of mathematics.
_MEANT = ("<super>", "<sub>", "<fraction>", "<circle>", "<font>")
# From the first letter of a word on (the look back spares a try at each of its letters).
_INNER_CAPITAL = re.compile(r"(?<![^\W\d_])[^\W\d_]*[^\W\d_A-Z][A-Z]\w*")


def _closely(text: str) -> str:
    """Text as it is compared once more: superscripts stay, and words with capitals inside keep their case."""
    if not text.isascii():
        signs = without_invisible(text)
        text = "".join(
            sign if sign.isascii() or unicodedata.decomposition(sign).startswith(_MEANT) else unicodedata.normalize("NFKC", sign)
            for sign in unicodedata.normalize("NFC", signs)
        )
    meant = _INNER_CAPITAL.findall(text)
    return plain_key(text) + ("\x1f" + " ".join(meant) if meant else "")
