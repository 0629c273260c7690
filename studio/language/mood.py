"""Sentiment by word list. English is VADER's rules and rated words (Hutto and Gilbert 2014, package ``vaderSentiment``, MIT);
other languages count words of praise and blame of the studio's lists, put on the same scale.
"""

from __future__ import annotations

import math
import re
from functools import cache
from importlib.metadata import version
from typing import Any

from studio.core.extras import require
from studio.language.lists import LISTS
from studio.language.lists.base import any_of
from studio.language.phrases import plain

SENTIMENT_MADE_WITH = "lexicon"
# VADER's: the mean rating of a plain word of praise, what a negation makes of it, and the constant of its scale of -1 to 1.
_RATING, _NEGATED, _ALPHA = 1.9, -0.74, 15.0
# How far before a word a negation still turns it: words, or letters where there are no blanks.
_REACH_WORDS, _REACH_LETTERS = 3, 2


def sentiment(text: str, language: str = "en") -> float:
    """From -1 (all negative) to 1 (all positive); 0 for a text without rated words.

    Raises:
        MissingExtraError: English, and the package vaderSentiment is not installed.
        KeyError: there is no list of that language.
    """
    if language == "en":
        return float(_analyser().polarity_scores(text)["compound"])
    lowered = plain(text)
    pattern, negation = _patterns(language)
    total = 0.0
    for match in pattern.finditer(lowered):
        rating = _RATING if match.lastgroup == "good" else -_RATING
        total += rating * (_NEGATED if negation.search(_before(lowered, match.start(), language)) else 1.0)
    return total / math.sqrt(total * total + _ALPHA)


def sentiment_made_with(language: str = "en") -> str:
    """Library and version, for the report."""
    if language == "en":
        return f"{SENTIMENT_MADE_WITH}: vaderSentiment {version('vaderSentiment')}, compound score"
    return f"{SENTIMENT_MADE_WITH}: words of praise and blame of the studio, on VADER's scale"


def _before(text: str, start: int, language: str) -> str:
    """The part of the sentence before a word in which a negation turns it."""
    clause = re.split(r"[.!?;:,。！？；，、]", text[:start])[-1]
    if LISTS[language].spaced:
        return " ".join(clause.split()[-_REACH_WORDS:])
    return clause[-_REACH_LETTERS:]


@cache
def _patterns(language: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Rated words and negations of a language; where words of both lists begin alike, the longer one is meant."""
    lists = LISTS[language]
    good, bad = (any_of(words, spaced=lists.spaced) for words in (lists.good, lists.bad))
    return re.compile(f"(?P<bad>{bad})|(?P<good>{good})"), re.compile(any_of(lists.negations, spaced=lists.spaced))


@cache
def _analyser() -> Any:
    """VADER, its word list read once."""
    return require("vaderSentiment.vaderSentiment", feature="sentiment by lexicon").SentimentIntensityAnalyzer()
