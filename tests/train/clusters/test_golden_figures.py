"""Figures that others know: k-means on iris, wine, penguins and digits, and what the criteria say of their number."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.metrics import adjusted_rand_score

from studio.models.clusters.criteria import dispersion, silhouette
from studio.models.clusters.fitting import find_groups
from studio.schema.clusters import Agglomerative, Gaussian, KMeans
from studio.train.clusters.choosing import best_of
from tests.train.clusters.made import Grouped, grouped, numbers, preset

RAW = "preparation.scale=false"


@pytest.fixture(scope="module")
def iris() -> Grouped:
    """k-means on iris as it is, k chosen."""
    return grouped(numbers(load_iris().data), "kmeans", RAW)


def test_iris_in_three_groups() -> None:
    data = load_iris()
    rows = numbers(data.data)
    found = grouped(rows, "kmeans", RAW, "estimator.k=3").clusters
    matrix = found.space.matrix(rows.features)
    labels = found.place(rows.features).groups
    assert dispersion(matrix, labels) == pytest.approx(78.8514, abs=1e-4)
    assert silhouette(matrix, labels) == pytest.approx(0.5528, abs=1e-4)
    assert adjusted_rand_score(data.target, labels) == pytest.approx(0.7302, abs=1e-4)
    assert found.info.sizes == sorted(found.info.sizes, reverse=True) and sum(found.info.sizes) == 150


@pytest.mark.parametrize(("settings", "index"), [((), 0.898), ((RAW,), 0.371)])
def test_wine_needs_its_columns_scaled(settings: tuple[str, ...], index: float) -> None:
    data = load_wine()
    rows = numbers(data.data)
    found = grouped(rows, "kmeans", "estimator.k=3", *settings).clusters
    assert adjusted_rand_score(data.target, found.place(rows.features).groups) == pytest.approx(index, abs=1.5e-3)


def test_digits_in_ten_groups() -> None:
    data = load_digits()
    found = find_groups(data.data, KMeans(k=10), 10, seed=0)
    assert adjusted_rand_score(data.target, found.labels) == pytest.approx(0.666, abs=5e-3)


def test_no_criterion_is_right_on_all_and_where_they_disagree_it_is_said(iris: Grouped) -> None:
    info = iris.clusters.info
    says = {curve.criterion: curve.best for curve in info.choice.curves}
    assert (says["silhouette"], says["davies_bouldin"], says["calinski_harabasz"]) == (2, 2, 3)
    assert info.choice.k == 2 and info.choice.by == "auto: silhouette"
    told = " ".join(info.choice.told)
    assert "2 groups, as the silhouette says" in told and "Calinski-Harabasz says 3" in told and "the criteria disagree" in told
    curve = next(curve for curve in info.choice.curves if curve.criterion == "silhouette")
    assert curve.counts == list(range(2, 11)) and curve.values[0] == pytest.approx(0.681, abs=1e-3)


def test_the_gap_statistic_begins_with_one_group_and_has_its_standard_error(iris: Grouped) -> None:
    gap = next(curve for curve in iris.clusters.info.choice.curves if curve.criterion == "gap")
    assert gap.counts == list(range(1, 11)) and gap.errors is not None and all(error > 0 for error in gap.errors)
    first = next(
        k
        for k, value, following, error in zip(gap.counts, gap.values, gap.values[1:], gap.errors[1:], strict=False)
        if value >= following - error
    )
    assert gap.best == first, "the smallest k whose gap the next does not beat by its standard error"


def test_scaled_iris_has_three_groups_by_the_gap_and_wine_three_by_most() -> None:
    found = grouped(numbers(load_iris().data), "kmeans", "choosing.refits=2").clusters.info.choice
    assert next(curve.best for curve in found.curves if curve.criterion == "gap") == 3
    wine = grouped(numbers(load_wine().data), "kmeans", "choosing.refits=4").clusters.info.choice
    says = {curve.criterion: curve.best for curve in wine.curves}
    assert says["silhouette"] == says["davies_bouldin"] == wine.k == 3


def test_bic_says_two_of_iris_and_of_scaled_wine() -> None:
    for data in (load_iris().data, (load_wine().data - load_wine().data.mean(0)) / load_wine().data.std(0)):
        values = [find_groups(data, Gaussian(), k, seed=0).bic for k in range(1, 6)]
        assert int(np.argmin(np.array(values, dtype=float))) + 1 == 2


def test_agglomerative_groups_are_those_of_scikit_learn() -> None:
    from sklearn.cluster import AgglomerativeClustering

    data = load_wine().data
    for linkage in ("ward", "average", "complete", "single"):
        mine = find_groups(data, Agglomerative(linkage=linkage), 4, seed=0).labels
        theirs = AgglomerativeClustering(4, linkage=linkage).fit(data).labels_
        assert adjusted_rand_score(mine, theirs) == 1.0, linkage


def test_iris_pca_keeps_what_is_known() -> None:
    found = grouped(numbers(load_iris().data), "kmeans", RAW, "reduce.type=pca", "reduce.dimensions=2", "estimator.k=3").clusters
    shares = found.space.reduction.explained_variance_ratio_
    assert shares == pytest.approx([0.9246, 0.0531], abs=1e-4) and found.info.explained == pytest.approx(0.9777, abs=1e-4)
    most = grouped(numbers(load_digits().data), "kmeans", RAW, "reduce.type=pca", "reduce.variance=0.9", "estimator.k=3").clusters
    assert most.info.dimensions == 21
    assert preset("kmeans").reduce.type == "auto"


def test_best_of_the_numbers_that_may_be_taken() -> None:
    from studio.models.clusters.base import Curve

    curve = Curve(criterion="gap", title="Gap", better="higher", counts=[1, 2, 3], values=[3.0, 1.0, 2.0], best=1)
    assert best_of(curve, [2, 3]) == 3 and best_of(curve, [1, 2]) == 1
