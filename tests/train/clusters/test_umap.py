"""Reduction by UMAP, where the extra is installed: the same places for a seed, honest about what it makes of nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from studio.evals.clusters.models import told_without_structure
from studio.evals.clusters.picture import flatten, told_picture
from studio.models.clusters.opening import open_clusters, save_clusters
from tests.train.clusters.made import grouped, numbers

pytest.importorskip("umap")
pytestmark = pytest.mark.soak
DIGITS = load_digits()
TRAIN, TEST = numbers(DIGITS.data[:400]), numbers(DIGITS.data[400:800])
SETTINGS = ("preparation.scale=false", "reduce.type=umap", "estimator.k=10")


@pytest.mark.soak
def test_digits_are_grouped_better_and_the_same_for_a_seed(tmp_path: Path) -> None:
    first, second = (grouped(TRAIN, "kmeans", *SETTINGS).clusters for _ in range(2))
    assert np.array_equal(first.groups.centres(), second.groups.centres())
    assert adjusted_rand_score(DIGITS.target[:400], first.place(TRAIN.features).groups) > 0.75
    assert adjusted_rand_score(DIGITS.target[400:800], first.place(TEST.features).groups) > 0.55
    save_clusters(first, tmp_path)
    assert (open_clusters(tmp_path).place(TEST.features).groups == first.place(TEST.features).groups).all()
    assert first.info.choice.structure.found
    base = told_without_structure(first, TRAIN.features, TEST.features, 2, 0)
    assert len(set(base.labels.tolist())) > 1


def test_rows_without_structure_are_not_taken_for_groups() -> None:
    rows = numbers(np.random.default_rng(0).uniform(size=(300, 5)))
    found = grouped(rows, "kmeans", "reduce.type=umap", "estimator.k=6").clusters.info.choice
    assert not found.structure.found, "UMAP makes clumps of anything, of shuffled rows too"


def test_the_picture_says_what_its_distances_mean() -> None:
    flat = flatten(DIGITS.data[:300], "umap", 0)
    assert flat.trustworthiness > 0.95 and "distances between groups and their sizes mean little" in told_picture(flat)
