"""Texts read by a linear model of TF-IDF: what each word contributes, exactly.

The model is a sum over words and runs of letters (terms). What a term contributes is its weight times its TF-IDF; it is shared
among the letters of the text that it covers, and each word gets what its letters have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from studio.evals.predictors.explanations.parts import Explanation
from studio.evals.predictors.explanations.values import Values
from studio.evals.predictors.explanations.words import TextExplainer, words_in


class WordWeights(TextExplainer):
    """Weights of terms times their TF-IDF, shared among the words they stand in."""

    def __init__(self, values: Values, vectorizers: list[tuple[Any, slice]]) -> None:
        """``vectorizers``: of scikit-learn, and which columns of the matrix each makes."""
        super().__init__(values)
        self._vectorizers = vectorizers

    @classmethod
    def of(cls, values: Values) -> WordWeights | None:
        """For a pipeline whose matrix is TF-IDF and nothing else; None for another."""
        preparation = values.predictor.pipeline[0]  # type: ignore[attr-defined]  # linear models are pipelines
        found = []
        for name, part, _ in preparation.transformers_:
            if name == "remainder":
                continue
            if not hasattr(part, "vocabulary_") or part.analyzer not in {"word", "char_wb"}:
                return None
            found.append((part, preparation.output_indices_[name]))
        return cls(values, found)

    def explain(self, row: pd.DataFrame, label: str | None = None) -> Explanation:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        label = label if label is not None else self.values.given(row)
        text = self.text_of(row)
        letters = np.zeros(len(text) + 1)
        for vectorizer, columns in self._vectorizers:
            letters[:-1] += self._of_letters(text, vectorizer, self._weights(label)[columns])
        sums = letters.cumsum()
        contributions = np.array([sums[word.end - 1] - (sums[word.start - 1] if word.start else 0.0) for word in words_in(text)])
        base = float(self.values(self.frame([""]), label)[0])
        how = (
            "Exact: the model adds up words and runs of letters, each with a weight, and each number is the sum of those that a "
            "word is covered by; without any word it says the base."
        )
        return self.told("linear", row, label, contributions, base, how)

    def weights_of_terms(self, label: str | None) -> dict[str, float]:
        """Weight of every word of the vocabulary for a label, runs of letters left out."""
        found: dict[str, float] = {}
        for vectorizer, columns in self._vectorizers:
            if vectorizer.analyzer == "word":
                weights = self._weights(label)[columns]
                found |= {term: float(weights[place]) for term, place in vectorizer.vocabulary_.items()}
        return found

    def _weights(self, label: str | None) -> np.ndarray:
        """Weight of each column of the matrix for the explained value."""
        weights = np.atleast_2d(self.values.predictor.pipeline[-1].coef_)  # type: ignore[attr-defined]
        if label is None:
            return np.asarray(weights[0])
        if len(weights) == 1:
            weights = np.concatenate([np.zeros_like(weights), weights])
        place = self.labels.index(label)
        others = np.delete(weights, place, axis=0).mean(axis=0)
        return np.asarray(weights[place] - others)

    def _of_letters(self, text: str, vectorizer: Any, weights: np.ndarray) -> np.ndarray:
        """What each letter of a text contributes through one vectorizer, [letters]."""
        row = vectorizer.transform([text])
        values = dict(zip(row.indices.tolist(), (row.data * weights[row.indices]).tolist(), strict=True))
        covered: dict[int, list[tuple[int, int]]] = {}
        for term, span in _terms(text, vectorizer):
            number = vectorizer.vocabulary_.get(term)
            if number is not None:
                covered.setdefault(number, []).append(span)
        letters = np.zeros(len(text))
        for number, spans in covered.items():
            for start, end in spans:
                inside = [place for place in range(start, min(end, len(text))) if not text[place].isspace()]
                letters[inside] += values.get(number, 0.0) / len(spans) / max(1, len(inside))
        return letters


def _terms(text: str, vectorizer: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    """The terms of a text as the vectorizer counts them, and where each begins and ends in the text."""
    lowered = text.lower() if vectorizer.lowercase else text
    # Few letters become two in lower case (İ); then places are those of the text before it.
    plain = lowered if len(lowered) == len(text) else text
    shortest, longest = vectorizer.ngram_range
    if vectorizer.analyzer == "word":
        words = [(match.group(), match.span()) for match in re.finditer(vectorizer.token_pattern, plain)]
        for size in range(shortest, longest + 1):
            for first in range(len(words) - size + 1):
                run = words[first : first + size]
                yield " ".join(word for word, _ in run), (run[0][1][0], run[-1][1][1])
        return
    for match in re.finditer(r"\S+", plain):
        yield from _letters(match.group(), match.start(), shortest, longest)


def _letters(word: str, start: int, shortest: int, longest: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Runs of letters inside a word with a blank on both sides, as scikit-learn's ``char_wb``; a short word counts once."""
    padded = f" {word} "
    for size in range(shortest, longest + 1):
        for first in range(max(1, len(padded) - size + 1)):
            yield padded[first : first + size], (max(start, start + first - 1), min(start + len(word), start + first - 1 + size))
        if size >= len(padded):
            return
