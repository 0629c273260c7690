"""Models that cannot know anything, to hold explanations against: what looks the same for them says nothing of the data.

Source: Adebayo et al. 2018, https://arxiv.org/abs/1810.03292, sanity checks by shuffled labels and by random weights.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from studio.data.examples import Examples
from studio.models.predictors.base import Predictor
from studio.models.predictors.features import plain_features

_MOST_ROWS = 5000


def shuffled_twin(predictor: Predictor, training: Examples, *, seed: int) -> Predictor | None:
    """The same pipeline fitted on training rows whose targets were exchanged between rows.

    None where it cannot be fitted so: a network, or more than 5,000 rows.
    """
    pipeline = getattr(predictor, "pipeline", None)
    if pipeline is None or training.target is None or len(training) > _MOST_ROWS:
        return None
    from sklearn.base import clone

    exchanged = training.target[np.random.default_rng(seed).permutation(len(training))]
    twin: Any = copy.copy(predictor)
    twin.pipeline = clone(pipeline)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if predictor.info.extra.get("log_target"):
            exchanged = np.log(exchanged)
        twin.pipeline.fit(plain_features(training.features, predictor.info.columns), exchanged)
    found: Predictor = twin
    return found


def random_twin(predictor: Predictor, *, seed: int) -> Predictor | None:
    """The same network with random weights; None where it is none."""
    network = getattr(predictor, "network", None)
    if network is None:
        return None
    import torch

    twin: Any = copy.copy(predictor)
    twin.network = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in twin.network.modules():
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()
    found: Predictor = twin
    return found
