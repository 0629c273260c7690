"""Models that cannot know anything, to hold explanations against: what looks the same for them says nothing of the data.

Source: Adebayo et al. 2018, https://arxiv.org/abs/1810.03292, sanity checks by shuffled labels and by random weights.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pandas as pd

from studio.data.examples import Examples
from studio.models.predictors.base import Predictor
from studio.models.predictors.features import plain_features

_MOST_ROWS = 5000
_MOST_TWINS = 5


def shuffled_twins(predictor: Predictor, training: Examples, *, seed: int) -> list[Predictor]:
    """The same pipeline fitted on training rows whose targets were exchanged between rows: several times where rows are few, for
    one draw finds something by chance.

    None at all where it cannot be fitted so: a network, or more than 5,000 rows.
    """
    if getattr(predictor, "pipeline", None) is None or training.target is None or len(training) > _MOST_ROWS:
        return []
    generator = np.random.default_rng(seed)
    count = min(_MOST_TWINS, _MOST_ROWS // len(training))
    plain = plain_features(training.features, predictor.info.columns)
    target = np.log(training.target) if predictor.info.extra.get("log_target") else training.target
    return [_twin(predictor, plain, target[generator.permutation(len(target))]) for _ in range(count)]


def _twin(predictor: Any, plain: pd.DataFrame, target: np.ndarray) -> Predictor:
    """The pipeline of a predictor fitted anew; where training was stopped by validation rows, for as many rounds."""
    from sklearn.base import clone

    twin = copy.copy(predictor)
    twin.pipeline = clone(predictor.pipeline)
    fitted = predictor.pipeline[-1]
    if "early_stopping" in fitted.get_params() and hasattr(fitted, "n_iter_"):
        twin.pipeline[-1].set_params(early_stopping=False, max_iter=max(1, int(fitted.n_iter_)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin.pipeline.fit(plain, target)
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
