"""Steps about length: fixed limits, and outliers against the other rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import CorpusStep
from studio.data.chat.tokens import TokenCounter
from studio.data.chat.turns import TEXT_ROLE, turn_text
from studio.data.shelf import Picked, batches
from studio.data.verdicts import Drop
from studio.language.scripts import count_words

# Texts given to the tokenizer at once; bounds its memory.
_BATCH = 256


def measured_turns(row: ChatRow, of: str) -> list[str]:
    """Texts that a length is taken of: all turns, or the assistant's; of raw text all of it either way, for all of it trains."""
    said = {"assistant", "chosen", "rejected", TEXT_ROLE}
    return [turn_text(turn) for turn in row.turns if of == "conversation" or turn["role"] in said]


def plain_length(row: ChatRow, unit: str, of: str) -> int:
    """Length in characters or words."""
    turns = measured_turns(row, of)
    if unit == "characters":
        return sum(map(len, turns))
    return sum(map(count_words, turns))


class Length(CorpusStep):
    """Rows below or above fixed limits. It sees all rows because a tokenizer is fast on batches only."""

    def __init__(
        self,
        unit: str = "tokens",
        of: str = "conversation",
        min: int | None = None,
        max: int | None = None,
        min_turns: int | None = None,
        max_turns: int | None = None,
        model: str = "",
        counter: Callable[[], TokenCounter] | None = None,
    ) -> None:
        """``counter`` opens the tokenizer of ``model``; it is called only when tokens have to be counted."""
        self._unit, self._of, self._low, self._high = unit, of, min, max
        self._turns = (min_turns, max_turns)
        self._model, self._open = model, counter
        self._counter: TokenCounter | None = None

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Drop | None]:
        """Turns are looked at first, since that costs nothing."""
        verdicts = [self._by_turns(row) for row in rows]
        if self._low is None and self._high is None:
            return verdicts
        left = [index for index, verdict in enumerate(verdicts) if verdict is None]
        lengths = itertools.chain.from_iterable(self._lengths(part) for part in batches(Picked(rows, left)))
        for index, length in zip(left, lengths, strict=True):
            verdicts[index] = self._by_length(length)
        return verdicts

    def _by_turns(self, row: ChatRow) -> Drop | None:
        """Keep or drop for the number of turns; the system turn does not count."""
        low, high = self._turns
        if row.is_text:
            return None
        turns = sum(message["role"] != "system" for message in row.messages)
        if low is not None and turns < low:
            return Drop("too few turns", f"{turns} turns", f"at least {low}")
        if high is not None and turns > high:
            return Drop("too many turns", f"{turns} turns", f"at most {high}")
        return None

    def _by_length(self, length: tuple[int, bool]) -> Drop | None:
        """Keep or drop for the length; a count that was broken off says so."""
        count, whole = length
        seen = f"{count if whole else f'more than {count - 1}'} {self._unit}"
        if self._low is not None and count < self._low:
            return Drop("too short", seen, f"at least {self._low}")
        if self._high is not None and count > self._high:
            return Drop("too long", seen, f"at most {self._high}")
        return None

    def _lengths(self, rows: Sequence[ChatRow]) -> list[tuple[int, bool]]:
        """Length of each row, and whether it was counted to the end."""
        if self._unit != "tokens":
            return [(plain_length(row, self._unit, self._of), True) for row in rows]
        if self._open is None:
            raise ValueError("a length in tokens needs a counter")
        self._counter = self._counter or self._open()
        return self._counter.count_up_to([measured_turns(row, self._of) for row in rows], self._low, self._high)


class Outliers(CorpusStep):
    """Rows whose length is far from the rest: 3-sigma, or Tukey's fences (1.5 interquartile ranges beyond the quartiles)."""

    def __init__(
        self,
        method: str = "sigma",
        factor: float | None = None,
        unit: str = "characters",
        of: str = "conversation",
        log: bool = False,
    ) -> None:
        """``factor``: None means 3 for ``sigma`` and 1.5 for ``iqr`` (Tukey, Exploratory Data Analysis, 1977)."""
        self._method, self._unit, self._of, self._log = method, unit, of, log
        self._factor = factor if factor is not None else {"sigma": 3.0, "iqr": 1.5}[method]

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Drop | None]:
        """Limits are taken from all rows before any is dropped."""
        if len(rows) < 2:
            return [None] * len(rows)
        lengths = [plain_length(row, self._unit, self._of) for row in rows]
        low, high = self.limits(lengths)
        verdicts: list[Drop | None] = []
        for length in lengths:
            if low <= length <= high:
                verdicts.append(None)
                continue
            side = "unusually short" if length < low else "unusually long"
            limits = f"{max(0, math.ceil(low))} to {math.floor(high)} ({self._factor:g} {self._method})"
            verdicts.append(Drop(side, f"{length} {self._unit}", limits))
        return verdicts

    def limits(self, lengths: Sequence[int]) -> tuple[float, float]:
        """Shortest and longest length that is not an outlier."""
        values = np.log1p(lengths) if self._log else np.asarray(lengths, dtype=float)
        if self._method == "sigma":
            middle, spread = float(values.mean()), float(values.std(ddof=1))
            low, high = middle - self._factor * spread, middle + self._factor * spread
        else:
            first, third = (float(value) for value in np.percentile(values, [25, 75]))
            low, high = first - self._factor * (third - first), third + self._factor * (third - first)
        return (math.expm1(low), math.expm1(high)) if self._log else (low, high)
