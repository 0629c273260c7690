"""Steps that judge text by the rules for MassiveText: repetition, and text that is no running text.

Source of every limit: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher"
(https://arxiv.org/abs/2112.11446), table A1 and appendix A.1.1. They were made for web pages, so short texts are not judged.
Chinese, Japanese and Thai are judged by letters, two for a word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from studio.data.chat.prose import prose
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import RowStep, Verdict
from studio.data.chat.turns import TEXT_ROLE
from studio.data.verdicts import Drop
from studio.language.identify import language_of
from studio.language.lists import LISTS
from studio.language.scripts import UNSPACED_SIGN, count_words, words_of

# Table A1: shares of lines, paragraphs, and characters from which a text goes.
DUPLICATE_LINES, DUPLICATE_PARAGRAPHS = 0.30, 0.30
DUPLICATE_LINE_CHARACTERS, DUPLICATE_PARAGRAPH_CHARACTERS = 0.20, 0.20
TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}
DUPLICATE_NGRAMS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
# Appendix A.1.1, quality filtering.
MEAN_WORD_LENGTH = (3, 10)
SYMBOLS_PER_WORD, ELLIPSIS_LINES, ALPHABETIC_WORDS = 0.1, 0.3, 0.8
FUNCTION_WORDS, ASKED_FROM_WORDS = 2, 50
# Letters that are taken for a word where there are no blanks: the mean word of Chinese has about two.
_LETTERS_PER_WORD = 2
_PARAGRAPHS = re.compile(r"\n\s*\n")
_ELLIPSIS = re.compile(r"(?:\.{3,}|…+)")
_SPACED = re.compile(r"\S+")


def judged_texts(row: ChatRow, of: str) -> Iterator[str]:
    """What of a row is judged, turn by turn, without code and tables; system turns and results of tools are nobody's words, and
    raw text counts as an answer.
    """
    answers = {"assistant", "chosen", TEXT_ROLE}
    for turn in row.turns:
        if turn["role"] in answers or (of == "conversation" and turn["role"] in {"user", "rejected"}):
            yield prose(turn["content"])


def is_unspaced(text: str) -> bool:
    """True for a text whose letters are mostly of a script without blanks between words."""
    letters = sum(map(str.isalpha, text))
    return not text.isascii() and 2 * len(UNSPACED_SIGN.findall(text)) > letters


class Repetition(RowStep):
    """Rows with a turn that repeats lines, paragraphs or runs of words."""

    def __init__(self, of: str = "answer", min_words: int = 50, factor: float = 2.0) -> None:
        """See :class:`studio.schema.chat_cleaning.RepetitionStep`."""
        self._of, self._least, self._factor = of, min_words, factor

    def judge(self, row: ChatRow) -> Verdict:
        """Keep or drop one row, for the first rule that is broken."""
        for text in judged_texts(row, self._of):
            words = words_of(text)
            if len(words) < self._least:
                continue
            for what, share, limit in repetitions(text, words):
                if share > limit * self._factor:
                    return Drop(f"repeats {what}", f"{share:.2f}", f"at most {limit * self._factor:.2f}")
        return row


def repetitions(text: str, words: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """What is repeated, its share, and the limit, rule by rule."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [part.strip() for part in _PARAGRAPHS.split(text) if part.strip()]
    for name, parts, most, most_characters in (
        ("lines", lines, DUPLICATE_LINES, DUPLICATE_LINE_CHARACTERS),
        ("paragraphs", paragraphs, DUPLICATE_PARAGRAPHS, DUPLICATE_PARAGRAPH_CHARACTERS),
    ):
        twice = _repeated(parts)
        yield name, len(twice) / max(1, len(parts)), most
        yield f"{name} (characters)", sum(map(len, twice)) / max(1, sum(map(len, parts))), most_characters
    per_word = _LETTERS_PER_WORD if is_unspaced(text) else 1
    for size, limit in TOP_NGRAM.items():
        yield f"one run of {size} words", _top_share(words, size * per_word), limit
    for size, limit in DUPLICATE_NGRAMS.items():
        yield f"runs of {size} words", _duplicate_share(words, size * per_word), limit


def _repeated(parts: Sequence[str]) -> list[str]:
    """Parts that stood before."""
    seen: set[str] = set()
    twice = []
    for part in parts:
        if part in seen:
            twice.append(part)
        seen.add(part)
    return twice


def _top_share(words: Sequence[str], size: int) -> float:
    """Share of all letters in the run of words that takes most of them, counted without overlap; of a run seen once, none."""
    counts = Counter(_runs(words, size))
    repeated = [(len("".join(run)) * count, run) for run, count in counts.items() if count > 1]
    if not repeated:
        return 0.0
    _, top = max(repeated)
    found, place = 0, 0
    while place + size <= len(words):
        if tuple(words[place : place + size]) == top:
            found, place = found + 1, place + size
        else:
            place += 1
    return found * len("".join(top)) / max(1, sum(map(len, words))) if found > 1 else 0.0


def _duplicate_share(words: Sequence[str], size: int) -> float:
    """Share of all letters in words that belong to a run which stood before, each letter once."""
    seen: set[tuple[str, ...]] = set()
    covered = bytearray(len(words))
    for place, run in enumerate(_runs(words, size)):
        if run in seen:
            covered[place : place + size] = b"\x01" * size
        seen.add(run)
    return sum(len(word) for word, twice in zip(words, covered, strict=True) if twice) / max(1, sum(map(len, words)))


def _runs(words: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Every run of so many words."""
    return (tuple(words[place : place + size]) for place in range(len(words) - size + 1))


class Gibberish(RowStep):
    """Rows with a turn that is no running text: signs instead of words, words of no length, none of a language's common words.

    The paper's rule on lists (nine lines in ten begin with a bullet) is left out: an answer may well be a list.
    """

    def __init__(self, of: str = "answer", min_words: int = 20) -> None:
        """See :class:`studio.schema.chat_cleaning.GibberishStep`."""
        self._of, self._least = of, min_words

    def judge(self, row: ChatRow) -> Verdict:
        """Keep or drop one row, for the first rule that is broken."""
        for text in judged_texts(row, self._of):
            if count_words(text) >= self._least and (drop := no_running_text(text)) is not None:
                return drop
        return row


def no_running_text(text: str) -> Drop | None:
    """The first rule that a text breaks, or None."""
    unspaced = is_unspaced(text)
    pieces = _SPACED.findall(text)
    count = count_words(text) / (_LETTERS_PER_WORD if unspaced else 1)
    if not unspaced:
        mean = sum(map(len, pieces)) / len(pieces)
        low, high = MEAN_WORD_LENGTH
        if not low <= mean <= high and not any(map(UNSPACED_SIGN.search, pieces)):
            return Drop("mean length of words", f"{mean:.1f} characters", f"{low} to {high}")
    for name, symbols in (("number signs", text.count("#")), ("ellipses", len(_ELLIPSIS.findall(text)))):
        if symbols / count > SYMBOLS_PER_WORD:
            return Drop(f"{name} per word", f"{symbols / count:.2f}", f"at most {SYMBOLS_PER_WORD}")
    lines = [line.rstrip() for line in text.split("\n") if line.strip()]
    trailing = sum(line.endswith(("...", "…")) for line in lines) / len(lines)
    if len(lines) > 1 and trailing > ELLIPSIS_LINES:
        return Drop("lines that end in an ellipsis", f"{trailing:.2f}", f"at most {ELLIPSIS_LINES}")
    alphabetic = _alphabetic(text, pieces, unspaced)
    if alphabetic < ALPHABETIC_WORDS:
        return Drop("words with a letter", f"{alphabetic:.2f}", f"at least {ALPHABETIC_WORDS}")
    return _without_common_words(text, unspaced) if count >= ASKED_FROM_WORDS else None


def _alphabetic(text: str, pieces: Sequence[str], unspaced: bool) -> float:
    """Share of words that hold a letter; where there are no blanks, of signs that are letters or punctuation."""
    if unspaced:
        signs = [sign for sign in text if not sign.isspace()]
        return sum(sign.isalpha() or sign in "，。、！？；：「」『』（）《》“”‘’…,.!?;:()" for sign in signs) / max(1, len(signs))
    return sum(any(map(str.isalpha, piece)) for piece in pieces) / max(1, len(pieces))


def _without_common_words(text: str, unspaced: bool) -> Drop | None:
    """A verdict where a text holds too few of the common words of its language; None too where there is no list of them."""
    lists = LISTS.get(language_of(text) or "")
    if lists is None:
        return None
    there = set(text) if unspaced else set(words_of(text))
    found = sum(word in there for word in lists.function_words)
    if found >= FUNCTION_WORDS:
        return None
    return Drop("common words", f"{found} of {len(lists.function_words)} in {lists.code}", f"at least {FUNCTION_WORDS}")
