"""What is done on training rows where labels are unequally frequent: weights in the loss, or rows taken more or less often."""

from __future__ import annotations

import numpy as np


def class_weights(labels: np.ndarray, count: int) -> np.ndarray:
    """Weights float32 [count] that make every label count the same: n / (k n_label), as scikit-learn's ``balanced``.

    Args:
        labels: numbers of the labels int64 [n], each of 0 … count-1 at least once.
    """
    from sklearn.utils.class_weight import compute_class_weight

    found: np.ndarray = compute_class_weight("balanced", classes=np.arange(count), y=labels).astype(np.float32)
    return found


def drawn_rows(labels: np.ndarray, how: str, seed: int) -> np.ndarray:
    """Places int64 of the rows that are trained on in each epoch.

    Args:
        labels: numbers of the labels int64 [n]. how: ``oversample`` repeats rows of rare labels until all are as frequent as the
            commonest, ``undersample`` takes as many of each as the rarest has; anything else takes every row once.
    """
    everything = np.arange(len(labels))
    if how not in {"oversample", "undersample"}:
        return everything
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    sampler = (RandomOverSampler if how == "oversample" else RandomUnderSampler)(random_state=seed)
    sampler.fit_resample(everything[:, None], labels)
    chosen: np.ndarray = np.asarray(sampler.sample_indices_, dtype=np.int64)
    return chosen
