"""Texts read by a network: what each word contributes, by integrated gradients over its embedding.

Legend: b texts, s pieces (words or tokens), e numbers per piece, k labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from studio.evals.predictors.explanations.parts import Explanation, Part, ranked
from studio.evals.predictors.explanations.values import LOG_ODDS
from studio.evals.predictors.explanations.words import SAYS
from studio.models.predictors.base import Predictor

STEPS = 50
"""Points of the way from nothing to the text at which the gradient is taken."""
_MORE_STEPS = 300
_WELL = 0.05
"""Share of the value that the sum may miss before more points are taken."""


@dataclass(frozen=True)
class _Read:
    """A text as the network takes it.

    embedded, nothing: of its pieces, and of what stands for no piece, [1, s, e]. mask: [1, s]. pieces: as people see them, with
    the places [pieces] of the network's pieces that each is made of.
    """

    embedded: Tensor
    nothing: Tensor
    mask: Tensor
    pieces: list[tuple[str, list[int]]]


class WordGradients:
    """Integrated gradients of a label's logit over the mean of the others'.

    Source: Sundararajan, Taly and Yan 2017, https://arxiv.org/abs/1703.01365. The way begins at a text of as many pieces that
    mean nothing: the mask of an encoder, else what fills texts up.
    """

    nouns = ("word", "words")
    reads = "text"
    most = 20

    def __init__(self, predictor: Predictor) -> None:
        """``predictor`` has ``network.embed`` and ``network.judge``, and ``reader`` (see its class)."""
        self._predictor: Any = predictor
        self.labels = list(predictor.info.labels)

    def places(self, row: pd.DataFrame) -> list[int]:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        return list(range(len(self._read(row).pieces)))

    def explain(self, row: pd.DataFrame, label: str | None = None) -> Explanation:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`."""
        label = label if label is not None else str(self._predictor.predict(row).values[0])
        read = self._read(row)
        value, base = (float(self._values(embedded, read.mask, label)[0]) for embedded in (read.embedded, read.nothing))
        found = self._integrated(read, label, STEPS)
        steps, rest = STEPS, value - base - float(found.sum())
        if abs(rest) > _WELL * abs(value - base):
            steps = _MORE_STEPS
            found = self._integrated(read, label, steps)
            rest = value - base - float(found.sum())
        parts = [Part(piece, "", float(found[places].sum()), None, place) for place, (piece, places) in enumerate(read.pieces)]
        missed = abs(rest) / abs(value - base) if value != base else 0.0
        how = (
            f"Integrated gradients over {steps} steps from a text of nothing: the sum misses {missed:.1%} of what was to be "
            "explained."
        )
        return Explanation("gradients", label, LOG_ODDS, value, base, ranked(parts), rest, how, f"{how} {SAYS}")

    def without(self, row: pd.DataFrame, label: str | None, deleted: Sequence[Sequence[int]]) -> np.ndarray:
        """See :class:`studio.evals.predictors.explanations.parts.Explainer`: what stands for nothing takes the words' places."""
        label = label if label is not None else str(self._predictor.predict(row).values[0])
        read = self._read(row)
        texts = []
        for places in deleted:
            embedded = read.embedded.clone()
            gone = [number for place in places for number in read.pieces[place][1]]
            embedded[:, gone] = read.nothing[:, gone]
            texts.append(embedded)
        return np.concatenate([self._values(text, read.mask, label) for text in texts])

    def _integrated(self, read: _Read, label: str, steps: int) -> np.ndarray:
        """Contribution of each piece of the network, [s]: mean gradient along the way times the way."""
        way = read.embedded - read.nothing
        total = torch.zeros_like(way)
        points = ((torch.arange(steps, device=way.device) + 0.5) / steps).split(10)
        # Recurrent layers of CUDA's own library have no gradient while nothing is trained.
        with torch.backends.cudnn.flags(enabled=False):
            for some in points:
                texts = (read.nothing + some[:, None, None] * way).detach().requires_grad_()
                score = _margin(self._predictor.network.judge(texts, read.mask.expand(len(some), -1)), self.labels.index(label))
                total += torch.autograd.grad(score.sum(), texts)[0].sum(dim=0, keepdim=True)
        found: np.ndarray = (way * total / steps).sum(dim=2)[0].double().cpu().numpy()
        return found

    def _values(self, embedded: Tensor, mask: Tensor, label: str) -> np.ndarray:
        """The explained value of embedded texts, float64 [b]."""
        with torch.inference_mode():
            logits = self._predictor.network.judge(embedded, mask.expand(len(embedded), -1))
        found: np.ndarray = _margin(logits.double(), self.labels.index(label)).cpu().numpy()
        return found

    def _read(self, row: pd.DataFrame) -> _Read:
        """The text of a row [1, 1]."""
        predictor, reader = self._predictor, self._predictor.reader
        [text] = predictor.texts(row)
        numbers, mask = predictor.tensors([text])
        empty, marks = _of_nothing(reader)
        # Marks of begin and end are no words and stay.
        frame = torch.tensor([[number in marks for number in numbers[0].tolist()]], device=numbers.device)
        with torch.no_grad():
            embedded, nothing = (
                predictor.network.embed(some) for some in (numbers, torch.where(frame, numbers, torch.full_like(numbers, empty)))
            )
        return _Read(embedded, nothing, mask, _whole_words(reader.pieces(text), frame[0].tolist()))


def _margin(logits: Tensor, place: int) -> Tensor:
    """A label's logit over the mean of the others', [b, k] -> [b]."""
    others = torch.cat([logits[:, :place], logits[:, place + 1 :]], dim=1)
    return logits[:, place] - others.mean(dim=1)


def _of_nothing(reader: Any) -> tuple[int, set[int]]:
    """The number of a piece that means nothing, and those of the marks that stand in every text."""
    tokenizer = getattr(reader, "tokenizer", None)
    if tokenizer is None:
        return int(reader.padding), set()
    mask = tokenizer.mask_token_id
    return int(reader.padding if mask is None else mask), set(reader.numbers([""])[0][0])


def _whole_words(pieces: Sequence[str], framed: Sequence[bool]) -> list[tuple[str, list[int]]]:
    """Words with the places of their pieces, which are put together where a tokenizer has cut them; marks are left out.

    Tokenizers write what goes on with a word as ``##ing``, or what begins one as ``▁be`` or ``Ġbe``.
    """
    begin = next((sign for sign in ("▁", "Ġ") if any(piece.startswith(sign) for piece in pieces)), None)
    found: list[tuple[str, list[int]]] = []
    for place, piece in enumerate(pieces[: len(framed)]):
        if framed[place]:
            continue
        goes_on = piece.startswith("##") or (begin is not None and not piece.startswith(begin))
        bare = piece.removeprefix("##") if begin is None else piece.removeprefix(begin)
        if goes_on and found:
            word, places = found[-1]
            found[-1] = (word + bare, [*places, place])
        else:
            found.append((bare or piece, [place]))
    return found
