"""The step that measures conversations, and the one that keeps them by such a figure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise, repeat
from typing import Any

import numpy as np

from studio.core.errors import DataError, nearest
from studio.data.chat.prose import prose
from studio.data.chat.rows import ChatRow, spoken_text
from studio.data.chat.steps.base import CorpusStep, Verdict
from studio.data.chat.steps.meaning import Nearness
from studio.data.chat.turns import TEXT_ROLE
from studio.data.verdicts import Drop
from studio.language.identify import WHOLE, identifier, language_of
from studio.language.lists import LISTS
from studio.language.phrases import toxicity
from studio.language.readability import flesch, lix
from studio.language.scripts import UNSPACED_SIGN, count_words, words_of

SCORES = "scores"
"""Key in ``meta`` under which the step ``score`` writes its figures."""
_SAMPLE = 2000
# Values of a column of words that are told; more are counted together.
_TOLD = 8


def _said(row: ChatRow, *roles: str) -> str:
    """What some roles say, code and tables left out."""
    return "\n".join(prose(turn["content"]) for turn in row.turns if turn["role"] in roles)


def _answers(row: ChatRow) -> str:
    """What is answered; of a pair what was liked, and raw text itself."""
    return _said(row, "assistant", "chosen", TEXT_ROLE)


class Score(CorpusStep):
    """Figures in ``meta``; it sees all rows because what is rare in them decides what an answer should take up."""

    def __init__(self, what: Sequence[str], model: str = "minilm-l6") -> None:
        """See :class:`studio.schema.chat_cleaning.ScoreStep`."""
        self._what = tuple(dict.fromkeys(what))
        self._model = model

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Verdict]:
        """Every row with its figures; a score that a row cannot have is not in them."""
        rarity = _rarity(rows) if "relevance" in self._what else {}
        verdicts: list[Verdict] = []
        missing: Counter[str] = Counter()
        nearness = Nearness(self._model)
        meant = "meaning" in self._what
        meanings = nearness.measure((_said(row, "user"), _answers(row)) for row in rows) if meant else repeat(None)
        for row, meaning in zip(rows, meanings, strict=meant):
            values = {name: meaning if name == "meaning" else self._value(name, row, rarity) for name in self._what}
            missing.update(name for name, value in values.items() if value is None)
            scores = {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}
            known = {name: value for name, value in scores.items() if value is not None}
            verdicts.append(replace(row, meta={**row.meta, SCORES: {**row.meta.get(SCORES, {}), **known}}))
        told = [f"{name}: {count:,} of {len(rows):,} rows have no value" for name, count in missing.items()]
        self.notes = (*told, nearness.told) if meant else tuple(told)
        return verdicts

    def _value(self, name: str, row: ChatRow, rarity: dict[str, float]) -> float | int | str | None:
        """One figure of one row."""
        if name == "relevance":
            return relevance(_said(row, "user"), _answers(row), rarity)
        value: float | int | str | None = _MEASURES[name](row)
        return value


def _language(row: ChatRow) -> tuple[str, float] | None:
    """The language of a row and how sure that is; None where nothing is said in letters."""
    sample = prose(spoken_text(row)[: 2 * _SAMPLE])[:_SAMPLE].strip()
    if not any(map(str.isalpha, sample)):
        return None
    code, confidence = identifier().classify(sample)
    return WHOLE.get(code, code), float(confidence)


def _readability(row: ChatRow) -> float | None:
    """Flesch's reading ease of the answers, in the form of their language."""
    text = _answers(row)
    return flesch(text, language_of(text) or "")


def _lix(row: ChatRow) -> float | None:
    """Björnsson's index of the answers; none where words are not told apart by blanks."""
    text = _answers(row)
    return None if UNSPACED_SIGN.search(text) else lix(text)


def _toxicity(row: ChatRow) -> float | None:
    """1 where the word list of the answers' language finds something that the question did not bring; None without a list."""
    text = _answers(row)
    code = language_of(text)
    return toxicity(text, code, _said(row, "user")) if code in LISTS else None


def _of_language(place: int) -> Callable[[ChatRow], Any]:
    """Its code (0), or how sure it is (1)."""

    def measure(row: ChatRow) -> Any:
        found = _language(row)
        return None if found is None else found[place]

    return measure


_MEASURES: dict[str, Callable[[ChatRow], Any]] = {
    "characters": lambda row: len(row.text),
    "words": lambda row: count_words(row.text),
    "turns": lambda row: sum(turn["role"] != "system" for turn in row.turns),
    "answer_words": lambda row: count_words(_answers(row)),
    "question_words": lambda row: count_words(_said(row, "user")),
    "language": _of_language(0),
    "language_confidence": _of_language(1),
    "readability": _readability,
    "lix": _lix,
    "toxicity": _toxicity,
}


def _units(text: str) -> set[str]:
    """What texts are compared by: words, and of scripts without blanks pairs of letters, for one letter says little."""
    words = words_of(text)
    pairs = {one + other for one, other in pairwise(words) if UNSPACED_SIGN.match(one + other)}
    return pairs | {word for word in words if not UNSPACED_SIGN.match(word)}


def _rarity(rows: Sequence[ChatRow]) -> dict[str, float]:
    """Inverse document frequency (Spärck Jones 1972) of every unit, a row being a document."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(_units(f"{_said(row, 'user')}\n{_answers(row)}"))
    return {unit: math.log((1 + len(rows)) / (1 + count)) for unit, count in counts.items()}


def relevance(question: str, answer: str, rarity: dict[str, float]) -> float | None:
    """How much of what is rare in a question stands in its answer, from 0 to 1; None where the question says nothing rare."""
    asked = _units(question)
    whole = sum(rarity.get(unit, 0.0) for unit in asked)
    return sum(rarity.get(unit, 0.0) for unit in asked & _units(answer)) / whole if whole > 0 else None


class Filter(CorpusStep):
    """Rows by a figure in ``meta``. box: what a box plot of it needs, for the report."""

    def __init__(
        self,
        by: str,
        min: float | None = None,
        max: float | None = None,
        allowed: Sequence[str] | None = None,
        outliers: float | None = None,
        missing: str = "keep",
    ) -> None:
        """See :class:`studio.schema.chat_cleaning.FilterStep`."""
        self._by, self._low, self._high, self._fence = by, min, max, outliers
        self._allowed = None if allowed is None else tuple(allowed)
        self._drop_missing = missing == "drop"

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Drop | None]:
        """Limits of outliers are taken from all rows before any is dropped.

        Raises:
            DataError: no row has such a value, or one that should be a number is none.
        """
        values = [_looked_up(row.meta, self._by) for row in rows]
        if rows and all(value is None for value in values):
            known = sorted({name for row in rows for name in (*row.meta, *row.meta.get(SCORES, {}))} - {SCORES})
            raise DataError(f"no row has a value {self._by!r} in meta. {self._remedy(known)}")
        return self._by_words(values) if self._is_words(values) else self._by_numbers(rows, values)

    def _remedy(self, known: list[str]) -> str:
        """What to filter by, or what has to be measured first."""
        score = self._by.removeprefix(f"{SCORES}.")
        if score in _MEASURES:
            return f"Measure it in a step before: {{step: score, what: [{score}]}}"
        near = nearest(self._by, [*known, *_MEASURES]).lstrip()
        listed = ", ".join(known) or "none"
        return f"{near} Filter by one of: {listed}; the step 'score' writes more.".lstrip()

    def _is_words(self, values: Sequence[Any]) -> bool:
        """Whether values are compared as words."""
        return self._allowed is not None or (
            self._low is None and self._high is None and self._fence is None and any(isinstance(value, str) for value in values)
        )

    def _by_words(self, values: Sequence[Any]) -> list[Drop | None]:
        """Keep what is allowed, and tell how the values are balanced before and after."""
        verdicts: list[Drop | None] = []
        for value in values:
            if value is None:
                verdicts.append(self._missing())
            elif self._allowed is None or str(value) in self._allowed:
                verdicts.append(None)
            else:
                verdicts.append(Drop(f"{self._by} not allowed", str(value), ", ".join(self._allowed)))
        before = Counter(str(value) for value in values if value is not None)
        after = Counter(
            str(value) for value, verdict in zip(values, verdicts, strict=True) if value is not None and verdict is None
        )
        shown = [
            f"{value} {count:,} ({count / before.total():.0%}), {after[value]:,} stay"
            for value, count in before.most_common(_TOLD)
        ]
        self.notes = (
            f"balance of {self._by}: {'; '.join(shown)}{f'; {len(before) - _TOLD} more values' if len(before) > _TOLD else ''}",
        )
        return verdicts

    def _by_numbers(self, rows: Sequence[ChatRow], values: Sequence[Any]) -> list[Drop | None]:
        """Keep what lies between the limits."""
        numbers = [_number(value, self._by, row.id) for value, row in zip(values, rows, strict=True)]
        given = [number for number in numbers if number is not None]
        first, middle, third = (float(value) for value in np.percentile(given, [25, 50, 75]))
        low, high = self._limits(first, third)
        self.notes = (
            f"{self._by}: {min(given):g} to {max(given):g}, quartiles {first:g}, {middle:g}, {third:g}; "
            f"{len(numbers) - len(given):,} rows without",
        )
        self.box = _box(self._by, given, (first, middle, third), (low, high))
        return [self._judged(number, low, high) for number in numbers]

    def _limits(self, first: float, third: float) -> tuple[float, float]:
        """Least and most that stay: those that were named, and the fences of a box plot (Tukey 1977)."""
        lows = [self._low if self._low is not None else -math.inf]
        highs = [self._high if self._high is not None else math.inf]
        if self._fence is not None:
            lows.append(first - self._fence * (third - first))
            highs.append(third + self._fence * (third - first))
        return max(lows), min(highs)

    def _judged(self, number: float | None, low: float, high: float) -> Drop | None:
        """Keep or drop one row."""
        if number is None:
            return self._missing()
        if low <= number <= high:
            return None
        outlier = (
            self._fence is not None
            and (self._low is None or number >= self._low)
            and (self._high is None or number <= self._high)
        )
        kind = "outlier in" if outlier else "low" if number < low else "high"
        limit = f"at least {low:g}" if number < low else f"at most {high:g}"
        return Drop(f"{kind} {self._by}", f"{number:g}", limit)

    def _missing(self) -> Drop | None:
        """A row without a value."""
        return Drop(f"no {self._by}", None, f"a value in meta under {self._by!r}") if self._drop_missing else None


def _looked_up(meta: dict[str, Any], name: str) -> Any:
    """A score, a column, or a nested value; None where there is none."""
    scores = meta.get(SCORES)
    if isinstance(scores, dict) and name in scores:
        return scores[name]
    if name in meta:
        return meta[name]
    value: Any = meta
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _number(value: Any, name: str, identity: str) -> float | None:
    """A value as a number; csv holds numbers as text.

    Raises:
        DataError: it is none.
    """
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise DataError(
            f"the value {str(value)[:60]!r} of {name!r} in row {identity} is no number. "
            "Filter words by 'allowed', or mend the column."
        )
    return number


def _box(name: str, given: Iterable[float], quartiles: tuple[float, float, float], limits: tuple[float, float]) -> dict[str, Any]:
    """What a box plot shows: quartiles, whiskers at the last values within the limits, and how many lie beyond."""
    values = np.sort(np.asarray(list(given), dtype=float))
    inside = values[(values >= limits[0]) & (values <= limits[1])]
    beyond = values[(values < limits[0]) | (values > limits[1])]
    whiskers = [float(inside[0]), float(inside[-1])] if len(inside) else [quartiles[0], quartiles[2]]
    step = max(1, len(beyond) // 100)
    return {
        "name": name,
        "lowest": float(values[0]),
        "highest": float(values[-1]),
        "quartiles": list(quartiles),
        "whiskers": whiskers,
        "beyond": len(beyond),
        "points": [float(value) for value in beyond[::step]],
    }
