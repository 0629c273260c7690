"""Steps that drop repeated conversations; each dropped row names the row it repeats, which stays."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from studio.data.chat.likeness import Comparison, turns_of
from studio.data.chat.others import Other, conversations_of
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import CorpusStep
from studio.data.chat.turns import Message, as_json, turn_text
from studio.data.similarity import NearPairs, Shingling, plain_key
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
        if not names:
            return self._judge(rows)
        verdicts = self._judge([*others, *rows], len(others))[len(others) :]
        self.notes = (_compared_with(self._others, len(others)),)
        return [
            replace(one, matched=names[int(one.matched)]) if isinstance(one, Drop) and one.matched else one for one in verdicts
        ]

    def _judge(self, rows: Sequence[ChatRow], others: int = 0) -> list[Drop | None]:
        """Verdicts on rows; where the first ones are another corpus, ``matched`` is the number of one of these."""
        # Rows by a hash that sets more aside than may be; those that share it are looked at closely.
        alike: dict[bytes, list[tuple[str, int]]] = {}
        close: dict[int, tuple[str, ...]] = {}
        verdicts: list[Drop | None] = []
        for index, row in enumerate(rows):
            parts = self._parts(row)
            if not parts:
                verdicts.append(None)
                continue
            known = alike.setdefault(_hash([plain_key(_composed(part)) for part in parts]), [])
            match = next((one for one, other in known if self._same(close, (index, parts), other, rows)), None)
            if match is None and (not others or index < others):
                known.append((str(index) if others else row.id, index))
            verdicts.append(None if match is None else Drop(f"same {self._what}", "equal", "different", match))
        return verdicts

    @property
    def _what(self) -> str:
        """What has to be equal, in a word."""
        return self._of if self._on == "rows" else self._on

    def _same(self, close: dict[int, tuple[str, ...]], row: tuple[int, list[str]], other: int, rows: Sequence[ChatRow]) -> bool:
        """True when a row and an earlier one say the same; what the close look saw is kept, and made where it is needed only."""
        others = self._parts(rows[other])
        if row[1] == others:
            return True
        for index, parts in (row, (other, others)):
            if index not in close:
                close[index] = tuple(map(_closely, parts))
        return close[row[0]] == close[other]

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


def _compared_with(others: Sequence[Other], count: int) -> str:
    """A line on another corpus."""
    return f"compared with {count:,} rows of {', '.join(other.name for other in others)}, not with each other"


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
        both = [*others, *rows] if others else rows
        compared = Comparison(both, self._on)
        pairs = compared.pairs(self._threshold, self._shingling, self.crew)
        # With another corpus only its rows are proposed, never those that are judged.
        pairs.gone[len(others) :] = bool(others)
        leaders, outside = self._leaders(compared, pairs, len(others))
        self.notes = (*compared.notes, *self._tell(outside))
        if self._others:
            self.notes += (_compared_with(self._others, len(others)),)
        ids = [*names, *(row.id for row in rows)]
        empty = [not text.strip() for text in compared.texts]
        verdicts: list[Drop | None] = []
        for index in range(len(others), len(others) + len(rows)):
            first = pairs.same[index]
            may = not empty[index] and (not others or first < len(others) or first in leaders)
            verdicts.append(self._verdict(index, ids, first, leaders) if may else None)
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

    def _verdict(self, index: int, ids: Sequence[str], first: int, leaders: dict[int, tuple[int, float]]) -> Drop | None:
        """Keep a row, or drop it for the kept row it resembles."""
        if first in leaders:
            leader, similarity = leaders[first]
        elif first != index:
            leader, similarity = first, 1.0
        else:
            return None
        return Drop("near duplicate", f"{similarity:.3f}", f"{self._threshold:g}", ids[leader])

    def _tell(self, outside: set[int]) -> tuple[str, ...]:
        """A note when the cap was reached."""
        if not outside:
            return ()
        return (
            f"{len(outside):,} rows resemble a row into which {self._cap:,} were folded already and stay (max_cluster); "
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
