"""What a frozen network makes of rows that are never altered: computed once, so that only the head is left to train.

Legend: n rows, d features of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from studio.core.progress import Progress
from studio.models.device import pick_device
from studio.models.predictors.networks import slices
from studio.schema.networks import Learning
from studio.train.predictors.job import Job
from studio.train.predictors.objective import Readable

_AT_ONCE = 32


class _Reads(Protocol):
    def read(self, *inputs: Tensor) -> Tensor:
        """Features [b, d]."""


Held = TypeVar("Held", Readable, None)


def features_once(job: Job, network: nn.Module, train: Readable, held: Readable | None) -> tuple[Readable, Readable | None]:
    """The rows as the features [n, d] that ``network.read`` gives, nothing dropped; in batches that do not depend on the epoch.

    Raises:
        KeyboardInterrupt: a signal came; nothing is lost but the minutes.
    """
    assert isinstance(job.preset.estimator, Learning)
    total = len(train.targets) + (len(held.targets) if held is not None else 0)
    with Progress("read", total, "rows") as progress:
        found = _computed(job, network, train, progress)
        return found, None if held is None else _computed(job, network, held, progress)


def _computed(job: Job, network: nn.Module, rows: Readable, progress: Progress) -> Readable:
    device = pick_device()
    network = network.to(device).eval()
    reads: _Reads = network  # type: ignore[assignment]
    parts = []
    with torch.inference_mode():
        for places in slices(len(rows.targets), _AT_ONCE):
            parts.append(reads.read(*(value.to(device) for value in rows.inputs(places, None))).cpu())
            progress.advance(len(places))
            if job.stop.received is not None:
                raise KeyboardInterrupt
    features = torch.cat(parts).clone()

    def inputs(places: Sequence[int], _draws: torch.Generator | None) -> tuple[Tensor, ...]:
        return (features[list(places)],)

    return Readable(inputs, rows.targets)
