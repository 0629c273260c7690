"""What conversations are about, offline: TF-IDF (Spärck Jones 1972) and k-means on a sample, with a fixed seed.

Groups of words, not of meanings: it helps to see what a corpus is made of, and nothing is decided by it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from studio.language.identify import language_of
from studio.language.lists import LISTS
from studio.language.scripts import UNSPACED_SIGN, words_of

LEAST_ROWS = 50
"""Fewer rows make groups by chance."""
_ROWS_PER_TOPIC, _TOPICS = 40, 8
_WORDS, _QUESTIONS = 6, 2
_FEATURES = 3000
_LEAST_LETTERS = 3


@dataclass(frozen=True)
class Topic:
    """One group of the sample. share: of its rows; words: the most telling first; questions: those nearest to its middle."""

    share: float
    words: list[str]
    questions: list[str]


@dataclass(frozen=True)
class Insight:
    """What samples say. came, languages: as :func:`languages_of`, of the rows that were read and of those that stay."""

    came: dict[str, Any]
    languages: dict[str, Any]
    topics: list[Topic]


def look_into(came: Sequence[str], stays: Sequence[str], rows: Sequence[tuple[str, str]]) -> Insight:
    """Languages and topics of samples; it takes texts only, so that another process may do it.

    Args:
        came, stays: texts whose languages are told. rows: as for :func:`find_topics`.
    """
    languages = languages_of(stays)
    return Insight(languages_of(came), languages, find_topics(rows, list(languages["rows"])[:2]))


def languages_of(texts: Sequence[str]) -> dict[str, Any]:
    """``sampled``: texts that were looked at; ``rows``: of each language, most frequent first; ``unsure``: the others."""
    found = Counter(language_of(text) for text in texts)
    unsure = found.pop(None, 0)
    rows = dict(sorted(((code or "", count) for code, count in found.items()), key=lambda item: (-item[1], item[0])))
    return {"sampled": len(texts), "rows": rows, "unsure": unsure}


def find_topics(rows: Sequence[tuple[str, str]], languages: Sequence[str] = ()) -> list[Topic]:
    """Topics, the largest first.

    Args:
        rows: the question and the text of each.
        languages: whose commonest words say nothing.
    Returns:
        none where there are too few rows, or too few words that come again.
    """
    if len(rows) < LEAST_ROWS:
        return []
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

    common = set(ENGLISH_STOP_WORDS) if "en" in languages else set()
    common |= {word for code in languages if code in LISTS for word in LISTS[code].function_words}
    vectors = TfidfVectorizer(
        analyzer=lambda text: [unit for unit in _units(text) if unit not in common],
        min_df=3, max_df=0.5, max_features=_FEATURES, sublinear_tf=True,
    )  # fmt: skip
    try:
        matrix = vectors.fit_transform(text for _, text in rows)
    except ValueError:  # no word stands in three rows
        return []
    count = max(2, min(_TOPICS, len(rows) // _ROWS_PER_TOPIC))
    with warnings.catch_warnings():
        # Fewer different texts than groups leave some groups empty, which are left out below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        groups = KMeans(count, n_init=2, max_iter=50, random_state=0).fit(matrix)
    distances, names = groups.transform(matrix), vectors.get_feature_names_out()
    found = []
    for number, middle in enumerate(groups.cluster_centers_):
        members = [index for index in distances[:, number].argsort() if groups.labels_[index] == number]
        words = [str(names[index]) for index in middle.argsort()[::-1][:_WORDS] if middle[index] > 0]
        questions = list(dict.fromkeys(rows[index][0] for index in members))[:_QUESTIONS]
        if words and members:
            found.append(Topic(len(members) / len(rows), words, questions))
    return sorted(found, key=lambda topic: -topic.share)


def _units(text: str) -> list[str]:
    """Words of at least three letters, and pairs of letters of scripts without blanks."""
    words = words_of(text)
    units = [word for word in words if len(word) >= _LEAST_LETTERS and not any(map(str.isdigit, word))]
    if UNSPACED_SIGN.search(text):
        units += [one + other for one, other in pairwise(words) if UNSPACED_SIGN.match(one) and UNSPACED_SIGN.match(other)]
    return units
