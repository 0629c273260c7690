"""Training a network on pictures, whichever it is: opened, altered while training, looked at once where nothing changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from studio.data.examples import Examples
from studio.models.predictors.base import PredictorInfo
from studio.models.predictors.picture_layers import PictureNetwork
from studio.models.predictors.picture_network import PictureNetworkPredictor, normalised, read_pixels
from studio.schema.networks import Pictures, Pretrained
from studio.train.capacity import memory_of
from studio.train.predictors.augmentation import augment
from studio.train.predictors.frozen import features_once
from studio.train.predictors.job import Job
from studio.train.predictors.learning import known_rows, learn
from studio.train.predictors.objective import Readable, Stages, balance, label_objective, label_targets

_KEPT_SHARE = 0.25
"""Share of the free memory that opened pictures may fill; beyond it they are opened again in each epoch."""


def train_on_pictures(
    job: Job, info: PredictorInfo, network: PictureNetwork, plain: dict[str, Any], stages: Stages
) -> PictureNetworkPredictor | None:
    """Open the pictures, train, and make a predictor of it.

    Args:
        plain: what :class:`PictureNetworkPredictor` keeps of the network.
    """
    settings = job.preset.estimator
    assert isinstance(settings, Pictures)
    train, held = readable_pictures(job, plain)
    rows = balance(job)
    objective, told_balance = label_objective(job, rows, settings.label_smoothing)
    trains: nn.Module = network
    if not altered(settings) and head_alone(settings):
        train, held = features_once(job, network, train, held)
        trains, stages = network.head, Stages()
    figures = learn(job, trains, train, held, objective, rows.matrix, stages)
    if figures is None:
        return None
    result = {**figures, **told_balance, "parameters": sum(value.numel() for value in network.parameters())}
    result = {**figures, **told_balance, "parameters": sum(value.numel() for value in network.parameters())}
    told = info.model_copy(update={"form": PictureNetworkPredictor.form, "extra": {**info.extra, "result": result}})
    return PictureNetworkPredictor(told, network, plain)


def altered(settings: Pictures) -> bool:
    """True when training pictures are other ones in each epoch."""
    return settings.flip or settings.shift > 0 or settings.colour > 0


def head_alone(settings: Pictures) -> bool:
    """True when no more than the head ever trains."""
    return isinstance(settings, Pretrained) and settings.tune == "head" and not settings.unfreeze


def readable_pictures(job: Job, plain: dict[str, Any]) -> tuple[Readable, Readable | None]:
    """Training and validation rows as pixels, altered while training."""
    settings = job.preset.estimator
    assert isinstance(settings, Pictures)
    found: list[Readable | None] = []
    for rows in (job.train, job.validation):
        if rows is None or not len(rows):
            found.append(None)
            continue
        opened = OpenedPictures(rows, settings.size)

        def inputs(places: Sequence[int], draws: torch.Generator | None, opened: OpenedPictures = opened) -> tuple[Tensor, ...]:
            pixels = opened.pixels(places).float()
            altered = pixels if draws is None else augment(pixels, settings, draws)
            return (normalised(altered, plain["mean"], plain["std"]),)

        found.append(Readable(inputs, label_targets(rows, job.labels)))
    train, held = found
    assert train is not None
    return train, held if known_rows(held) else None


class OpenedPictures:
    """Pictures of a split at the size of the network: opened once where they fit into memory, else in each epoch.

    Shapes: n pictures, s side in pixels.
    """

    def __init__(self, rows: Examples, size: int) -> None:
        """Open them all, at least once, so that a damaged one is told before the training.

        Raises:
            DataError: one cannot be opened.
        """
        self.paths, self.size = rows.features[rows.columns[0].name].tolist(), size
        room = (memory_of("cpu") or 0) * _KEPT_SHARE
        self._kept: Tensor | None = None
        if len(self.paths) * 3 * size * size <= room:
            self._kept = torch.stack([read_pixels(path, size) for path in self.paths])  # uint8 [n, 3, s, s]
        else:
            for path in self.paths:
                read_pixels(path, size)

    def pixels(self, places: Sequence[int]) -> Tensor:
        """Some of them, uint8 [b, 3, s, s]."""
        if self._kept is not None:
            return self._kept[list(places)]
        return torch.stack([read_pixels(self.paths[place], self.size) for place in places])
