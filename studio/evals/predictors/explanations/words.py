"""Texts: what each word contributes, by leaving it out.

Legend: w words, t texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studio.evals.predictors.explanations.parts import Explanation, Part, ranked
from studio.evals.predictors.explanations.values import Values
from studio.language.scripts import UNSPACED_SIGN

# Words of a text that are looked at one by one; of a longer text runs of words are.
MOST_WORDS = 200
_BETWEEN_BLANKS = re.compile(r"\S+")

SAYS = (
    "It says which words the model goes by, not why: words that it never met count nothing, and two that say the same may each "
    "look as if they did not matter."
)


@dataclass(frozen=True)
class Word:
    """A word of a text, or a run of them: where it begins and ends in it."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """The word itself."""
        return text[self.start : self.end]


def words_in(text: str) -> list[Word]:
    """What stands between blanks, and each letter of scripts without blanks; runs of them in texts with very many."""
    found: list[Word] = []
    for match in _BETWEEN_BLANKS.finditer(text):
        start, end = match.span()
        if UNSPACED_SIGN.search(match.group()):
            found += [Word(place, place + 1) for place in range(start, end)]
        else:
            found.append(Word(start, end))
    if len(found) <= MOST_WORDS:
        return found
    size = -(-len(found) // MOST_WORDS)
    return [Word(run[0].start, run[-1].end) for run in (found[first : first + size] for first in range(0, len(found), size))]


def left_out(text: str, words: Sequence[Word]) -> str:
    """The text without some of its words."""
    for word in sorted(words, key=lambda item: -item.start):
        text = text[: word.start] + text[word.end :]
    return text


class TextExplainer:
    """What the explanations of single texts share: words as parts, and texts without some of them."""

    nouns = ("word", "words")
    reads = "text"
    most = 60

    def __init__(self, values: Values) -> None:
        """``values``: of a predictor that reads one column of texts."""
        self.values = values
        self.column = values.predictor.info.columns[0].name
        self.labels = list(values.predictor.info.labels)

    def text_of(self, row: pd.DataFrame) -> str:
        """The text of a row; a missing one is empty."""
        value = row[self.column].iloc[0]
        return "" if value is None or value != value else str(value)

    def places(self, row: pd.DataFrame) -> list[int]:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        return list(range(len(words_in(self.text_of(row)))))

    def without(self, row: pd.DataFrame, label: str | None, deleted: Sequence[Sequence[int]]) -> np.ndarray:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`: the words are left out."""
        text = self.text_of(row)
        words = words_in(text)
        texts = [left_out(text, [words[place] for place in places]) for places in deleted]
        return self.values(self.frame(texts), label if label is not None else self.values.given(row))

    def frame(self, texts: Sequence[str]) -> pd.DataFrame:
        """Texts as rows, [t, 1]."""
        return pd.DataFrame({self.column: np.array(texts, dtype=object)})

    def told(
        self, kind: str, row: pd.DataFrame, label: str | None, contributions: np.ndarray, base: float, how: str
    ) -> Explanation:
        """The explanation of a text from the contributions of its words, [w]."""
        text = self.text_of(row)
        parts = [
            Part(word.of(text), "", float(contribution), None, place)
            for place, (word, contribution) in enumerate(zip(words_in(text), contributions, strict=True))
        ]
        value = float(self.values(row, label)[0])
        return Explanation(
            kind=kind,
            of=label if label is not None else self.values.predictor.info.target,
            unit=self.values.unit,
            value=value,
            base=base,
            parts=ranked(parts),
            rest=value - base - float(contributions.sum()),
            how=how,
            says=f"{how} {SAYS}",
        )


class LeftOutWords(TextExplainer):
    """By how much the value falls without each word, the others staying."""

    def explain(self, row: pd.DataFrame, label: str | None = None) -> Explanation:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        label = label if label is not None else self.values.given(row)
        count = len(self.places(row))
        base = float(self.values(self.frame([""]), label)[0])
        if not count:
            return self.told("words", row, label, np.zeros(0), base, "The text has no words.")
        value = float(self.values(row, label)[0])
        contributions = value - self.without(row, label, [[place] for place in range(count)])
        how = (
            f"By how much the {self.values.unit} falls when a word is left out and the others stay. These numbers do not add up: "
            "two words that each suffice alone both count nothing."
        )
        return self.told("words", row, label, contributions, base, how)
