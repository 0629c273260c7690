"""How near questions and their answers are in meaning, as a text encoder sees them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

# Tokens of a text that are read, as in semantic_duplicates; pairs that are in memory at once.
_TOKENS = 256
_AT_ONCE = 1024


class Nearness:
    """Cosines of questions with their answers. told: how far they can be trusted on these rows, once all are measured."""

    def __init__(self, model: str) -> None:
        """``model``: a text encoder, see :func:`studio.models.text_encoder.open_text_encoder`."""
        self._model = model
        self._nearer = 0.0
        self._compared = 0

    def measure(self, pairs: Iterable[tuple[str, str]]) -> Iterator[float | None]:
        """The cosine of each question and answer (-1 to 1), None where either is empty, in order.

        Raises:
            UserError: the encoder cannot be had.
        """
        from studio.models.text_encoder import open_text_encoder

        encoder = open_text_encoder(self._model)
        waiting = iter(pairs)
        while block := list(islice(waiting, _AT_ONCE)):
            whole = [place for place, pair in enumerate(block) if all(text.strip() for text in pair)]
            found: dict[int, float] = {}
            if whole:
                asked, said = (encoder.embed([block[place][side] for place in whole], _TOKENS).numpy() for side in (0, 1))
                right = (asked * said).sum(axis=-1)
                found = dict(zip(whole, map(float, right), strict=True))
                # Each question with the answer of the next one: what a wrong answer of the same corpus gives.
                wrong = (asked[:-1] * said[1:]).sum(axis=-1)
                self._nearer += float((right[:-1] > wrong).sum() + (right[:-1] == wrong).sum() / 2)
                self._compared += len(wrong)
            yield from (found.get(place) for place in range(len(block)))

    @property
    def told(self) -> str:
        """How well the figure tells right answers from those of other rows."""
        if not self._compared:
            return f"meaning: cosine of {self._model}; too few rows to say how far to trust it"
        share = self._nearer / self._compared
        return (
            f"meaning: cosine of {self._model}; a question is nearer to its own answer than to the next row's in {share:.0%} of "
            "cases here, where 50% is chance. It tells what a text is about, not whether it is right"
        )
