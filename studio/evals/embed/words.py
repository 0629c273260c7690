"""A search by words, which needs no model: what every model has to beat.

Legend: q questions, p passages, w words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

# Scripts without blanks between words are taken letter by letter.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
_K1, _B = 1.5, 0.75
"""Usual values (Manning, Raghavan and Schütze 2008, section 11.4.3)."""


def words_of(text: str) -> list[str]:
    """Words in lower case."""
    return _WORD.findall(text.casefold())


def search_by_words(questions: Sequence[str], passages: Sequence[str], k: int) -> list[list[int]]:
    """Places of the k best passages of each question by Okapi BM25; equal ones in the order of the corpus.

    Source: Robertson and Zaragoza 2009, with the inverse document frequency of Lucene, which is never negative.
    """
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(analyzer=words_of)
    try:
        counts = counter.fit_transform(passages).astype(np.float64).tocsr()  # [p, w]
    except ValueError:  # no passage holds a word
        return [list(range(min(k, len(passages)))) for _ in questions]
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    found = np.asarray((counts > 0).sum(axis=0)).ravel()
    rarity = np.log1p((len(passages) - found + 0.5) / (found + 0.5))
    norm = _K1 * (1 - _B + _B * lengths / max(lengths.mean(), 1e-9))
    weighed = counts.data * (_K1 + 1) / (counts.data + np.repeat(norm, np.diff(counts.indptr)))
    scores = csr_matrix((weighed * rarity[counts.indices], counts.indices, counts.indptr), counts.shape)
    asked = counter.transform(questions)
    return [np.argsort(-(scores @ row.T).toarray().ravel(), kind="stable")[:k].tolist() for row in asked]
