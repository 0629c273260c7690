"""What a network is trained on: rows as tensors, the loss, and which parts of the network train when.

Legend: n rows of a split, b rows of a batch, k labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from studio.data.examples import Examples
from studio.schema.predictors import ClassifierPreset
from studio.train.predictors.job import Job
from studio.train.predictors.resampling import Rows, balanced, counts_sentence, counts_told, weights_like

UNSEEN = -100
"""Number of a label that no training row has; the loss leaves such rows out."""


@dataclass(frozen=True)
class Readable:
    """Rows of a split as a network takes them.

    inputs: ``inputs(places, draws)`` gives the network's arguments for some rows, on the CPU; what is random in them
    (augmentation) comes from ``draws``, which is None where nothing may be altered. targets: numbers of labels int64 [n], or
    float32 [n].
    """

    inputs: Callable[[Sequence[int], torch.Generator | None], tuple[Tensor, ...]]
    targets: Tensor


@dataclass(frozen=True)
class Objective:
    """The loss: cross-entropy of labels, in nats, or the mean squared error of (scaled) numbers.

    weights: of the labels while training, float32 [k], None where all count the same; measured: the same of the validation rows,
    which are never taken more or less often. smoothing: share of the truth that is spread over all labels while training
    (https://arxiv.org/abs/1512.00567).
    """

    labels: bool
    weights: Tensor | None = None
    measured: Tensor | None = None
    smoothing: float = 0.0

    def loss(self, outputs: Tensor, targets: Tensor, *, training: bool) -> Tensor:
        """Mean over rows of what the network gave [b, k] or [b, 1]; without smoothing where it is only measured."""
        if not self.labels:
            return functional.mse_loss(outputs[:, 0], targets)
        chosen, smoothing = (self.weights, self.smoothing) if training else (self.measured, 0.0)
        weights = None if chosen is None else chosen.to(outputs)
        return functional.cross_entropy(outputs, targets, weight=weights, label_smoothing=smoothing, ignore_index=UNSEEN)


@dataclass(frozen=True)
class Stages:
    """Which parts of a network train when, and how fast.

    frozen: modules that do not train in an epoch (counted from 1); a later epoch never freezes more. rate: what the learning rate
    of a parameter is multiplied with, by its name. settled: the epoch from which on all trains that ever does; early stopping
    counts from there, for a part that begins to train makes it worse at first.
    """

    frozen: Callable[[int], Sequence[nn.Module]] = lambda _epoch: ()
    rate: Callable[[str], float] = lambda _name: 1.0
    settled: int = 1


def label_targets(examples: Examples, labels: Sequence[str]) -> Tensor:
    """Numbers of the rows' labels int64 [n]; :data:`UNSEEN` for one that is not in the list."""
    assert examples.target is not None
    return numbered(examples.target, labels)


def numbered(target: np.ndarray, labels: Sequence[str]) -> Tensor:
    """The same of the labels alone."""
    numbers = {label: number for number, label in enumerate(labels)}
    return torch.tensor([numbers.get(label, UNSEEN) for label in target], dtype=torch.int64)


def balance(job: Job) -> Rows:
    """Places of the training rows that each epoch takes, some perhaps more than once, as ``matrix`` of the rows."""
    assert isinstance(job.preset, ClassifierPreset) and job.train.target is not None
    places = np.arange(len(job.train))
    return balanced(job.preset, job.train.columns, pd.DataFrame(index=places), places, job.train.target, None)


def label_objective(job: Job, rows: Rows, smoothing: float) -> tuple[Objective, dict[str, Any]]:
    """The loss of a classifier, and what the record says of how labels were balanced.

    Args:
        rows: the training rows as ``imbalance`` wants them.
    """
    assert isinstance(job.preset, ClassifierPreset) and job.train.target is not None
    how, labels = job.preset.imbalance, np.array(job.labels, dtype=object)
    factors = weights_like(labels, job.train.target, rows)  # [k], None where labels are as frequent as they were
    measured = None if factors is None else torch.tensor(factors, dtype=torch.float32)
    objective = Objective(labels=True, weights=None if rows.weights is None else measured, measured=measured, smoothing=smoothing)
    if how == "none":
        return objective, {}
    counts = counts_told(job.train.target, rows)
    job.say(counts_sentence(how, counts))
    return objective, {"imbalance": {"method": how, **counts}}
