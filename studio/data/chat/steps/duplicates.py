"""Steps that drop repeated conversations; each dropped row names the row it repeats, which stays."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from studio.data.chat.rows import ChatRow, comparable_text
from studio.data.chat.steps.base import CorpusStep, Verdict
from studio.data.similarity import NearPairs, Shingling, plain_key
from studio.data.verdicts import Drop


class ExactDuplicates(CorpusStep):
    """Rows equal once case, blanks and Unicode form are set aside; punctuation counts."""

    def __init__(self, of: str = "conversation") -> None:
        """``of``: compare the whole ``conversation`` or its first ``question``."""
        self._of = of

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Verdict]:
        """The first of equal rows stays."""
        first: dict[bytes, str] = {}
        verdicts: list[Verdict] = []
        for row in rows:
            known = first.setdefault(self._key(row), row.id)
            verdicts.append(row if known == row.id else Drop(f"same {self._of}", "equal", "different", known))
        return verdicts

    def _key(self, row: ChatRow) -> bytes:
        """Hash of what is compared."""
        questions = [message for message in row.messages if message["role"] == "user"]
        turns = questions[:1] if self._of == "question" else row.turns
        parts = (f"{turn['role']}\x1f{plain_key(_composed(turn['content']))}\x1e" for turn in turns)
        return hashlib.blake2b("".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


class NearDuplicates(CorpusStep):
    """Rows nearly equal to one that stays.

    Each dropped row was itself compared with the kept row that it names: similarity is never passed on from row to row, so
    a chain of small changes does not fold a corpus into one row. At most ``max_cluster`` rows are folded into one.
    """

    def __init__(self, threshold: float = 0.8, unit: str = "word", size: int = 5, max_cluster: int = 1000) -> None:
        """See :class:`studio.schema.recipe.NearDuplicatesStep`."""
        self._threshold, self._shingling, self._cap = threshold, Shingling(unit, size), max_cluster

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Verdict]:
        """The first of similar rows stays."""
        pairs = NearPairs([comparable_text(row) for row in rows], self._threshold, self._shingling)
        leaders: dict[int, tuple[int, float]] = {}
        folded: dict[int, int] = {}
        outside: set[int] = set()
        for index, candidates in pairs.earlier():
            scored = [
                (pairs.similarity(index, other), -other) for other in candidates if other not in leaders and other not in outside
            ]
            best, negative = max(scored, default=(0.0, 0))
            if best < self._threshold:
                continue
            leader = -negative
            if folded.get(leader, 1) >= self._cap:
                outside.add(index)
                continue
            folded[leader] = folded.get(leader, 1) + 1
            leaders[index] = (leader, best)
        self.notes = self._tell(outside)
        return [self._verdict(index, row, rows, pairs.same[index], leaders) for index, row in enumerate(rows)]

    def _verdict(
        self, index: int, row: ChatRow, rows: Sequence[ChatRow], first: int, leaders: dict[int, tuple[int, float]]
    ) -> Verdict:
        """Keep a row, or drop it for the kept row it resembles."""
        if first in leaders:
            leader, similarity = leaders[first]
        elif first != index:
            leader, similarity = first, 1.0
        else:
            return row
        return Drop("near duplicate", f"{similarity:.3f}", f"{self._threshold:g}", rows[leader].id)

    def _tell(self, outside: set[int]) -> tuple[str, ...]:
        """A note when the cap was reached."""
        if not outside:
            return ()
        return (
            f"{len(outside):,} rows resemble a row into which {self._cap:,} were folded already and stay (max_cluster); "
            "look at them before you raise it: a template shared by all rows makes all rows alike",
        )


def _composed(text: str) -> str:
    """Text in the Unicode form NFKC, in which ``ﬁ`` and ``fi`` are the same."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)
