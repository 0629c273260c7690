"""What people and models speak in an evaluation: looked at once per text, told in the report, and what follows for the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from studio.evals.evidence import Evidence
from studio.language.identify import language_of, name_of
from studio.language.lists import LISTS
from studio.language.scripts import script_of

# A score by word list stands on at least this share of the answers; with fewer in languages that have a list there is none.
MEASURED_SHARE = 0.9
# Fewer rows of a language are no slice of a corpus: a few are misread, or quote.
FEWEST_OF_A_LANGUAGE = 5


def languages_of(texts: Sequence[str | None], expected: Sequence[str | None] | None = None) -> list[str | None]:
    """The language of each text. One too short to tell is taken for what is expected of it, else for that of most texts.

    Args:
        expected: for each text the language it is likely to be in, as that of its question.
    Returns:
        ISO 639-1 codes; None for what has no letters, and where no text at all could be told.
    """
    likely = list(expected) if expected is not None else [None] * len(texts)
    found = [language_of(text, code) if text else None for text, code in zip(texts, likely, strict=True)]
    counted = Counter(code for code in found if code is not None)
    main = counted.most_common(1)[0][0] if counted else None
    return [
        code if (code and code == main) or not text or script_of(text) is None else _again(text, code, guess or main)
        for text, code, guess in zip(texts, found, likely, strict=True)
    ]


def _again(text: str, code: str | None, likely: str | None) -> str | None:
    """The language of a text that is not in that of the others: theirs, where it is too short or too odd to tell otherwise."""
    return language_of(text, likely) or code or likely


def reference_languages(evidence: Sequence[Evidence]) -> list[str | None]:
    """The language in which each question should be answered, as its reference is."""
    return languages_of([item.question.reference for item in evidence])


def answer_languages(evidence: Sequence[Evidence]) -> list[str | None]:
    """The language of each answer."""
    return languages_of([item.said for item in evidence], reference_languages(evidence))


def counts_of(languages: Iterable[str | None]) -> dict[str, int]:
    """How many texts are in each language, the commonest first."""
    return dict(Counter(code for code in languages if code is not None).most_common())


def told(counts: Mapping[str, int]) -> str:
    """Counts for people: ``20 Chinese, 1 English``."""
    return ", ".join(f"{count} {name_of(code)}" for code, count in counts.items())


def slices_of(languages: Sequence[str | None]) -> dict[str, list[int]]:
    """Places of the rows of each language, where a corpus mixes them; nothing for a corpus in one language."""
    kept = [code for code, count in counts_of(languages).items() if count >= FEWEST_OF_A_LANGUAGE]
    if len(kept) < 2:
        return {}
    return {code: [place for place, other in enumerate(languages) if other == code] for code in kept}


def has_list(code: str | None) -> bool:
    """True where answers of a language can be judged by word list; what has no letters holds no bad word."""
    return code is None or code in LISTS


def not_measured(languages: Sequence[str | None]) -> str | None:
    """Why a score by word list says nothing of these answers; None where nearly all are in languages with a list."""
    without = counts_of(code for code in languages if not has_list(code))
    count = sum(without.values())
    if len(languages) - count >= MEASURED_SHARE * len(languages):
        return None
    names = ", ".join(name_of(code) for code in without)
    there = ", ".join(sorted(name_of(code) for code in LISTS))
    return (
        f"not measured for {names}: {count} of {len(languages)} answers are in a language without a word list (there are lists "
        f"for {there})"
    )


def left_out(languages: Sequence[str | None]) -> dict[str, int]:
    """Answers that no word list can judge, by language."""
    return counts_of(code for code in languages if not has_list(code))
