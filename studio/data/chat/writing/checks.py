"""What is checked of a written row before it may train: its quote, its numbers, its words, and that nothing is written twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from studio.data.verdicts import Drop
from studio.language.scripts import UNSPACED_SIGN, words_of

# A quote of fewer words stands in every text.
_SHORTEST_QUOTE = 3
# Words of fewer letters (the, and, is) say nothing of where an answer comes from; longer ones are compared by their beginning, so
# that an inflected form counts.
_CONTENT, _STEM = 4, 5
_NUMBER = re.compile(r"\d+(?:[.,'’]\d+|[\u00a0\u202f ]\d{3}(?!\d))*")
# Half of a question is its own (what, does, many), and stands in no text.
_ASKED_SUPPORT = 0.5
_QUESTION_MARKS = ("?", "？", "؟", ";", "՞", "፧")
# Sharing this much of their words (Jaccard) makes two questions one.
SAME_QUESTION = 0.9


def squeezed(text: str) -> str:
    """Text without any white space."""
    return "".join(text.split())


def numbers_in(text: str) -> set[str]:
    """Numbers as their digits, whatever parts thousands and decimals; those of a run of numbers also one by one."""
    found = _NUMBER.findall(text)
    return {re.sub(r"\D", "", number) for number in found} | {part for number in found for part in re.findall(r"\d+", number)}


def missing_numbers(text: str, within: str) -> list[str]:
    """Numbers of a text that another one does not hold, as they are written."""
    known = numbers_in(within)
    return [number for number in _NUMBER.findall(text) if re.sub(r"\D", "", number) not in known]


def supported_share(text: str, within: str) -> float:
    """Share of a text's content words that another one holds; 1 where it has none."""
    words = _content(text)
    return _shared(words, words_of(within)) / len(words) if words else 1.0


def _content(text: str) -> list[str]:
    """The words of a text that say where it comes from."""
    return [word for word in words_of(text) if len(word) >= _CONTENT or UNSPACED_SIGN.match(word)]


def _shared(words: Sequence[str], within: Sequence[str]) -> int:
    """How many words are among others, in any form."""
    known = set(within)
    beginnings = {word[:length] for word in known for length in (_CONTENT, _STEM) if len(word) >= length}
    return sum(word in known or (len(word) >= _CONTENT and word[:_STEM] in beginnings) for word in words)


def check_source(item: dict[str, str], text: str, support: float) -> Drop | None:
    """Why a question, answer and quote of a text are no use; None where they are.

    Args:
        text: the chunk with its title and headings.
        support: share of the answer's content words that must stand in it.
    """
    empty = next((key for key, value in item.items() if not value), None)
    if empty:
        return Drop(f"without {'an' if empty == 'answer' else 'a'} {empty}")
    quote = item["quote"]
    if squeezed(quote) not in squeezed(text):
        return Drop("the quote is not in the document", quote[:200], "word for word, white space set aside")
    if len(words_of(quote)) < _SHORTEST_QUOTE:
        return Drop("the quote is too short to show anything", quote, f"{_SHORTEST_QUOTE} words")
    missing = missing_numbers(item["answer"], text)
    if missing:
        return Drop("the answer holds a number that the document does not", ", ".join(missing), "a number of the document")
    share = supported_share(item["answer"], text)
    if share < support:
        return Drop("the answer is not supported by the document", f"{share:.2f}", f"{support:g} of its longer words")
    return None


def check_question(question: str, sentence: str, text: str, support: float) -> Drop | None:
    """Why a question is no use that was written for a sentence of a text; None where it is.

    Args:
        text: the chunk with its title and headings.
        support: share of the question's content words that must stand in it, half at most.
    """
    if not question:
        return Drop("without a question")
    # Thai, Chinese and Japanese can do without the mark.
    if not question.endswith(_QUESTION_MARKS) and not UNSPACED_SIGN.search(question):
        return Drop("the question does not end as one", question[-40:], "a question mark")
    asked, said = _content(question), _content(sentence)
    if not _shared(asked, said):
        return Drop("the question shares no word with its answer", question[:200], "one of its longer words")
    if _shared(said, asked) == len(said) and not missing_numbers(sentence, question):
        return Drop("the question holds its answer already", question[:200], "a word less than the answer")
    missing = missing_numbers(question, text)
    if missing:
        return Drop("the question holds a number that the document does not", ", ".join(missing), "a number of the document")
    share, needed = supported_share(question, text), min(support, _ASKED_SUPPORT)
    if share < needed:
        return Drop("the question is not supported by the document", f"{share:.2f}", f"{needed:g} of its longer words")
    return None


def cut_text(item: dict[str, str], longest: int | None) -> Drop | None:
    """A text that was cut where the form of an answer ends it, as a reason to drop its row.

    Args:
        longest: most characters that the form allows.
    """
    cut = next((key for key, value in item.items() if len(value) == longest), None)
    return Drop(f"the {cut} was cut at its share of max_tokens", f"{longest}", "fewer characters") if cut else None


@dataclass
class Repeats:
    """Questions and answers that were kept already, by the row that holds them.

    near: Jaccard similarity of words from which two questions are one; answers: whether an answer may come once only.
    """

    near: float = SAME_QUESTION
    answers: bool = True
    _questions: dict[str, str] = field(default_factory=dict)
    _answers: dict[str, str] = field(default_factory=dict)
    _words: dict[str, list[tuple[frozenset[str], str]]] = field(default_factory=dict)

    def check(self, question: str, answer: str, identity: str) -> Drop | None:
        """Why a row repeats another; one that does not is remembered."""
        words = words_of(question)
        key, said = " ".join(words), " ".join(words_of(answer))
        if key in self._questions:
            return Drop("the question is asked already", matched=self._questions[key])
        if self.answers and said in self._answers:
            return Drop("the answer is given already", matched=self._answers[said])
        share, other = self._nearest(frozenset(words))
        if share >= self.near:
            return Drop("the question is nearly one that is asked already", f"{share:.2f}", f"below {self.near:g}", other)
        self.remember(question, answer, identity)
        return None

    def remember(self, question: str, answer: str, identity: str) -> None:
        """Keep a row in mind."""
        words = frozenset(words_of(question))
        self._questions.setdefault(" ".join(words_of(question)), identity)
        self._answers.setdefault(" ".join(words_of(answer)), identity)
        for word in words:
            self._words.setdefault(word, []).append((words, identity))

    def _nearest(self, words: frozenset[str]) -> tuple[float, str]:
        """The most alike question and how alike it is.

        One that is at least ``near`` alike shares a word with any set of more than (1 - near) of the words, so only questions
        with one of the rarest such words are looked at (prefix filtering: Chaudhuri et al., ICDE 2006).
        """
        rarest = sorted(words, key=lambda word: (len(self._words.get(word, ())), word))
        looked = rarest[: len(words) - int(self.near * len(words)) + 1]
        best = (0.0, "")
        for other, identity in (entry for word in looked for entry in self._words.get(word, ())):
            best = max(best, (len(words & other) / len(words | other), identity))
        return best
