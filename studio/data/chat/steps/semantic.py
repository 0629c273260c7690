"""Rows that say the same in other words, as an encoder sees them: told, and dropped only by one that knows opposites."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from studio.core.errors import UserError
from studio.core.telling import counted
from studio.data.chat.likeness import turns_of
from studio.data.chat.rows import ChatRow
from studio.data.chat.steps.base import CorpusStep
from studio.data.chat.turns import turn_text
from studio.data.verdicts import Drop

if TYPE_CHECKING:
    from studio.models.text_encoder import TextEncoder

CONTRASTS = Path(__file__).parents[1] / "contrasts.txt"
# Least AUC on the contrast set from which an encoder may drop rows: 0.5 is chance.
LEAST_AUC = 0.8
# Tokens of a text that are read; all-MiniLM-L6-v2 was trained on no more.
_TOKENS = 256
_ROWS_AT_ONCE = 1024
# Pairs that are told one by one, and characters of each text.
_TOLD, _SHOWN = 10, 100

Vectors = NDArray[np.float32]


class SemanticDuplicates(CorpusStep):
    """See :class:`studio.schema.duplicate_steps.SemanticDuplicatesStep`.

    The first of alike rows stays, and as in near_duplicates each row is compared with the row that it names, never chained.
    """

    def __init__(self, action: str, threshold: float, on: str, model: str, max_rows: int) -> None:
        self._drop, self._threshold, self._on = action == "drop", threshold, on
        self._model, self._most = model, max_rows

    def judge_all(self, rows: Sequence[ChatRow]) -> list[Drop | None]:
        """Drop or tell rows that say what an earlier one says.

        Raises:
            UserError: there are more rows than may be read, the encoder cannot be had, or it may not drop.
        """
        from studio.models.text_encoder import open_text_encoder

        if len(rows) > self._most:
            raise UserError(
                f"the step semantic_duplicates would read {len(rows):,} rows, and max_rows allows {self._most:,}. Raise it "
                "(a row takes 2 to 50 ms on two cores), or take rows out before."
            )
        encoder = open_text_encoder(self._model)
        auc = contrast_auc(encoder)
        if self._drop and auc < LEAST_AUC:
            raise UserError(
                f"the encoder {self._model} may not drop rows: it tells texts that say the same from negations, other numbers "
                f"and swapped names with an AUC of {auc:.2f} ({CONTRASTS.name}), and {LEAST_AUC:g} is needed. Set action: tell, "
                "or name another encoder (model)."
            )
        texts = ["\n".join(turn_text(turn) for turn in turns_of(row, self._on) if turn["role"] != "system") for row in rows]
        leaders = self._leaders(encoder, texts)
        self.notes = self._tell(rows, texts, leaders, auc)
        if not self._drop:
            return [None] * len(rows)
        limit = f"{self._threshold:g}"
        return [
            Drop("says the same in other words", f"{leaders[index][1]:.3f}", limit, rows[leaders[index][0]].id)
            if index in leaders
            else None
            for index in range(len(rows))
        ]

    def _leaders(self, encoder: TextEncoder, texts: Sequence[str]) -> dict[int, tuple[int, float]]:
        """Rows that say what an earlier one says that is not among them, with that one and their cosine."""
        spoken = [index for index, text in enumerate(texts) if text.strip()]
        if not spoken:
            return {}
        vectors: Vectors = encoder.embed([texts[index] for index in spoken], _TOKENS).numpy()
        leaders: dict[int, tuple[int, float]] = {}
        for start in range(0, len(spoken), _ROWS_AT_ONCE):
            block = vectors[start : start + _ROWS_AT_ONCE]
            cosines = block @ vectors[: start + len(block)].T
            for row, column in _earlier(cosines, start, self._threshold):
                index, other = spoken[start + row], spoken[column]
                if other not in leaders and cosines[row, column] > leaders.get(index, (0, 0.0))[1]:
                    leaders[index] = (other, float(cosines[row, column]))
        return leaders

    def _tell(
        self, rows: Sequence[ChatRow], texts: Sequence[str], leaders: dict[int, tuple[int, float]], auc: float
    ) -> tuple[str, ...]:
        """How many rows, how far to trust that, and the most alike ones."""
        done = "were dropped" if self._drop else "stay (action: tell)"
        lines = [
            f"{counted(len(leaders))} with what an earlier row says (cosine of {self._model} at least {self._threshold:g}) "
            f"{done}; of the same said in other words and its opposite (negations, other numbers, swapped names) this encoder "
            f"finds the right one more alike in {100 * auc:.0f}% of cases, where 50% is chance"
        ]
        ranked = sorted(leaders.items(), key=lambda item: (-item[1][1], item[0]))
        lines += [
            f"{cosine:.3f}: {rows[index].id} “{_begin(texts[index])}” and {rows[other].id} “{_begin(texts[other])}”"
            for index, (other, cosine) in ranked[:_TOLD]
        ]
        return tuple(lines)


def _earlier(cosines: Vectors, start: int, threshold: float) -> list[tuple[int, int]]:
    """Row and column of each cosine that is large enough, of a row of the block with an earlier one; in order."""
    places = np.argwhere(cosines >= threshold)
    return [(int(row), int(column)) for row, column in places if column < start + row]


def _begin(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN].rstrip()} …"


def contrast_auc(encoder: TextEncoder) -> float:
    """How well cosines tell texts that say the same from look-alikes that say something else.

    The share of all pairings of one with the other in which the former is higher (ties half); 0.5 is chance.
    """
    pairs = [line.split("\t") for line in CONTRASTS.read_text(encoding="utf-8").splitlines()]
    ones, others = encoder.embed([one for _, one, _ in pairs]), encoder.embed([other for _, _, other in pairs])
    cosines = (ones * others).sum(dim=-1).numpy()
    same = np.array([kind == "same" for kind, _, _ in pairs])
    higher = cosines[same][:, None] - cosines[~same][None, :]
    return float((higher > 0).mean() + (higher == 0).mean() / 2)
