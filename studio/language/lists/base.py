"""What a language brings to be judged by word list. All is matched against NFC text in lower case, plain apostrophes."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class WordLists:
    """One language's words and phrases. Patterns are Python's; a star in a list of words takes any ending.

    refusals: phrases by which assistants decline, where they stand in the first sentences of an answer.
    noes: whole answers that mean no. yes_no: how a question begins (or, in Chinese, ends) that no answers rather than refuses.
    toxic: words that are an insult, a slur or profanity wherever they stand. toxic_phrases: threats, and words that are an insult
    only when aimed at people ("stupid", "scum").
    good, bad: words of praise and of blame; negations, which turn the mood of what follows. Empty for English, which has VADER.
    openings: what assistants put before an answer and could leave out ("Great question!"), as patterns for text as it is
    written, without regard to case, each with the signs that end it. function_words: the commonest words, some of which running
    text always holds.
    spaced: words stand between blanks.
    """

    code: str
    refusals: tuple[str, ...]
    noes: tuple[str, ...]
    yes_no: str
    toxic: tuple[str, ...]
    toxic_phrases: tuple[str, ...]
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    negations: tuple[str, ...] = ()
    openings: tuple[str, ...] = ()
    function_words: tuple[str, ...] = ()
    spaced: bool = True


def any_of(words: tuple[str, ...], *, spaced: bool) -> str:
    """One pattern for a list of words, the longest first."""
    ordered = sorted(words, key=len, reverse=True)
    stems = "|".join(re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word) for word in ordered)
    return rf"\b(?:{stems})\b" if spaced else f"(?:{stems})"
