"""Rows that share a run of words with what evaluations ask."""

from __future__ import annotations

from collections.abc import Sequence

from studio.core.errors import DataError
from studio.core.telling import counted
from studio.data.chat.others import Other, texts_of
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import CorpusStep
from studio.data.chat.turns import turn_text
from studio.data.overlap import References
from studio.data.shelf import Derived
from studio.data.verdicts import Drop


class Decontaminate(CorpusStep):
    """See :class:`studio.schema.duplicate_steps.DecontaminateStep`.

    GPT-3's cleaning left out runs that stand in more than ten rows of the corpus. Here what counts does not depend on the corpus,
    for a question that was copied often is the one to find; runs that a tenth of the references share are left out instead.
    """

    def __init__(
        self, size: int, share: float, shortest: int, *, others: Sequence[Other] = (), missing: Sequence[str] = ()
    ) -> None:
        """``others``: what is compared with; ``missing``: lines on what is not here."""
        self._size, self._share, self._shortest = size, share, shortest
        self._others, self._missing = others, tuple(missing)

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Drop | None]:
        """Drop what overlaps, with the passage.

        Raises:
            DataError: what is compared with holds no text, or a file of it is damaged.
        """
        known = [(other.name, place, text) for other in self._others for place, text in texts_of(other) if text.strip()]
        if not known:
            raise DataError(f"the step decontaminate compares with {self._named()}, which hold no text. Name other files.")
        references = References([text for _, _, text in known], self._size, self._shortest)
        verdicts: list[Drop | None] = [None] * len(rows)
        texts = Derived(rows, lambda _, row: "\n".join(turn_text(turn) for turn in row.turns))
        for index in references.suspects(texts, self.crew):
            found = references.overlap(texts[index])
            if found is not None and found.share >= self._share:
                seen = f"shares {found.words} words ({100 * found.share:.0f}% of the text): {found.passage}"
                verdicts[index] = self._drop(known[found.reference], seen)
        for index, row in enumerate(rows):
            if verdicts[index] is None:
                same = next((place for turn in row.turns if (place := references.same(turn_text(turn))) is not None), None)
                if same is not None:
                    verdicts[index] = self._drop(known[same], f"a whole turn is the same: {known[same][2].strip()}")
        self.notes = (*self._missing, *self._tell(known, references))
        return verdicts

    def _drop(self, reference: tuple[str, str, str], seen: str) -> Drop:
        """The verdict on a row that overlaps with a reference (name, place, text)."""
        name, place, _ = reference
        limit = f"fewer than {self._size} words in a row" + (f", or of less than {100 * self._share:.0f}%" if self._share else "")
        return Drop(f"overlaps with {name}", seen, limit, place)

    def _named(self) -> str:
        """What is compared with."""
        return ", ".join(other.name for other in self._others)

    def _tell(self, known: Sequence[tuple[str, str, str]], references: References) -> list[str]:
        """What was compared, and what was not."""
        lines = [f"compared with {counted(len(known), 'text')} of {self._named()}"]
        if references.short:
            lines.append(f"not looked for: {counted(references.short, 'text')} of these with fewer than {self._shortest} words")
        if references.common:
            lines.append(f"left out: {counted(references.common, 'run')} of words that a tenth of these texts share")
        return lines
