"""Training networks that look at pictures: a small one from scratch, and those of timm, pretrained or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.models.predictors.base import PredictorInfo
from studio.models.predictors.picture_layers import build_picture_network
from studio.models.predictors.picture_network import PictureNetworkPredictor
from studio.schema.networks import Pictures, SmallCnn
from studio.train.predictors.job import Job
from studio.train.predictors.learning import seeded
from studio.train.predictors.objective import Stages
from studio.train.predictors.picture_training import train_on_pictures

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset

_HALF = [0.5, 0.5, 0.5]
"""Mean and spread of pixels for a network without any of its own."""


def fit_picture_network(job: Job, info: PredictorInfo) -> PictureNetworkPredictor | None:
    """Train a network on pictures; None when a signal stopped it after saving a checkpoint.

    Raises:
        UserError: there are no weights to start from, or they are those of another network.
        DataError: a picture cannot be opened.
    """
    settings = job.preset.estimator
    assert isinstance(settings, Pictures)
    if not isinstance(settings, SmallCnn):
        from studio.train.predictors.timm_networks import fit_timm_network

        return fit_timm_network(job, info)
    plain = {
        "type": settings.type,
        "labels": len(job.labels),
        "depth": settings.depth,
        "width": settings.width,
        "activation_name": settings.activation,
        "dropout": settings.dropout,
        "size": settings.size,
        "mean": _HALF,
        "std": _HALF,
    }
    with seeded(job.preset.seed):
        network = build_picture_network(plain)
    return train_on_pictures(job, info, network, plain, Stages())


def weights_record(preset: AnyPredictorPreset) -> dict[str, Any] | None:
    """The record of the weights that a network of timm starts from; see :func:`studio.train.predictors.checks.base_of`."""
    from studio.train.predictors.timm_networks import base_record

    return base_record(preset)
