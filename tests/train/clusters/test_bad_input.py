"""What people's rows and settings get wrong: each said in one sentence, or handled and told."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

from studio.core.errors import ConfigError, DataError, MissingExtraError, UserError
from studio.models.clusters.groups import NONE
from studio.train.clusters.rows import check_rows
from tests.train.clusters.made import QUICK, blobs, grouped, numbers, preset, values

FEW = ("estimator.k=3",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("estimator.kk=3", "unknown field 'kk'"),
        ("estimator.typ=kmeans", "Did you mean 'type'?"),
        ("estimator.type=kmean", "Did you mean 'kmeans'?"),
        ("distance=cosin", "Did you mean 'cosine'?"),
        ("estimator.k=1", "it is 1. Give auto, or a whole number from 2 on."),
        ("estimator.k=many", "it is 'many'. Give auto"),
        ("estimator.k_min=12", "k_min is 12 and k_max 10"),
        ("estimator.choose_by=bic", "the estimator gaussian alone"),
        ("reduce.type=tsne", "Allowed: auto, none, pca, svd, umap"),
        ("reduce.variance=0.9", "a setting of type pca"),
        ("reduce.dimensions=3", "needs a type"),
        ("choosing.shuffles=3", "greater than or equal to 19"),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_its_remedy(settings: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set|^settings") as said:
        preset("kmeans", settings)
    assert words in str(said.value), said.value


def test_fewer_rows_than_groups() -> None:
    with pytest.raises(DataError, match=r"k is 9, and made has 5 training rows\. Set k to 5"):
        check_rows(preset("kmeans", "estimator.k=9"), numbers(blobs(5)), "made")
    with pytest.raises(DataError, match=r"k_max is 10, and made has 8 training rows; .* --set estimator\.k_max=7"):
        check_rows(preset("kmeans"), numbers(blobs(8)), "made")
    with pytest.raises(DataError, match="groups need 3 at least"):
        check_rows(preset("hdbscan"), numbers(blobs(2)), "made")
    # Twenty rows, of which four differ.
    with pytest.raises(DataError, match=r"k_max is 10, and made has 4 different training rows"):
        grouped(numbers(np.repeat(blobs(4), 5, axis=0)), "kmeans")
    same = grouped(numbers(np.repeat(blobs(4), 5, axis=0)), "kmeans", "estimator.k=4").clusters
    assert same.info.sizes == [5, 5, 5, 5]


def test_all_rows_equal() -> None:
    for estimator in ("kmeans", "gaussian", "agglomerative", "hdbscan"):
        with pytest.raises(DataError, match="all 30 training rows of made are the same"):
            grouped(numbers(np.ones((30, 3))), estimator)


def test_a_constant_column_is_told_and_changes_nothing() -> None:
    rows = blobs(120)
    with_constant = np.column_stack([rows, np.full(len(rows), 7.0)])
    found = grouped(numbers(with_constant), "kmeans", *FEW)
    assert any("column 2: the same in every training row" in note for note in found.notes)
    plain = grouped(numbers(rows), "kmeans", *FEW)
    assert found.clusters.info.sizes == plain.clusters.info.sizes


def test_missing_values_are_filled_and_told_and_rows_are_not_grouped_by_them() -> None:
    matrix = blobs(240)
    gaps = matrix.copy()
    gaps[np.random.default_rng(1).choice(240, 30, replace=False), 0] = np.nan
    found = grouped(numbers(gaps), "kmeans", "estimator.k=4")
    assert any("column 0: missing in 30 of 240 training rows" in note for note in found.notes)
    assert found.clusters.info.dimensions == 2, "no column that says what is missing"
    whole = grouped(numbers(matrix), "kmeans", "estimator.k=4").clusters
    there = ~np.isnan(gaps[:, 0])
    now = found.clusters.place(numbers(gaps).features).groups[there]
    before = whole.place(numbers(matrix).features).groups[there]
    pairs = set(zip(now.tolist(), before.tolist(), strict=True))
    assert len(pairs) == 4, "the same groups but for the rows with gaps"


def test_ten_thousand_categories_are_one_that_tells_nothing_apart() -> None:
    count = 10_000
    drawn = np.random.default_rng(0)
    rows = values(
        customer=("category", [f"customer {place}" for place in range(count)]),
        spent=("number", np.concatenate([drawn.normal(0, 1, count // 2), drawn.normal(9, 1, count // 2)])),
    )
    found = grouped(rows, "kmeans", "estimator.k=2", "choosing.rows=200")
    assert any("customer: 10,000 of 10,000 categories" in note and "tells no groups apart" in note for note in found.notes)
    assert found.clusters.info.sizes == [5000, 5000]
    assert any("200 of 10,000 rows, drawn with the seed" in note for note in found.notes)


def test_many_frequent_categories_are_reduced_and_told() -> None:
    drawn = np.random.default_rng(0)
    rows = values(
        town=("category", [f"town {place}" for place in drawn.integers(0, 300, 3000)]), age=("number", drawn.normal(size=3000))
    )
    found = grouped(rows, "kmeans", "estimator.k=3", "choosing.rows=200", "preparation.rare=1")
    assert any("dimensions were reduced to 100 by truncated SVD" in note for note in found.notes)
    assert found.clusters.info.dimensions == 100 and 0 < found.clusters.info.explained < 1


def test_cosine_leaves_rows_without_a_direction_out() -> None:
    drawn = np.random.default_rng(0)
    matrix = np.concatenate([np.array([[9.0, 1.0]]), np.array([[1.0, 9.0]])]).repeat(40, axis=0) * drawn.uniform(1, 5, (80, 1))
    matrix = matrix + drawn.normal(0, 0.1, matrix.shape)
    matrix[:3] = 0
    found = grouped(numbers(matrix), "kmeans", "estimator.k=2", "distance=cosine", "preparation.scale=false")
    assert any("3 of 80 training rows are zero, have no direction" in note for note in found.notes)
    info = found.clusters.info
    assert info.sizes == [40, 37] and info.in_no_group == info.without_direction == 3
    placement = found.clusters.place(numbers(matrix).features)
    assert (placement.groups[:3] == NONE).all() and np.isnan(placement.distances[:3]).all()
    # Directions alone count: a row ten times as long lies where it lay.
    longer = found.clusters.place(numbers(matrix * 10).features)
    assert (longer.groups == placement.groups).all()
    with pytest.raises(DataError, match="no training row of made has a direction"):
        grouped(numbers(np.zeros((30, 2))), "kmeans", "distance=cosine", "preparation.scale=false")


def test_no_group_is_found_where_none_is_dense_enough() -> None:
    rows = numbers(np.random.default_rng(0).uniform(size=(200, 4)))
    found = grouped(rows, "hdbscan").clusters
    assert found.info.choice.k == 0 and found.info.in_no_group == 200 and not found.info.choice.structure.found
    assert found.info.choice.told == ["no structure found: no two groups were found"]
    assert (found.place(rows.features).groups == NONE).all()


def test_too_many_rows_for_all_pairs_are_refused_before_anything_is_computed() -> None:
    rows = numbers(np.zeros((30_000, 1)))
    with pytest.raises(UserError, match=r"3\.4 GiB for the 30,000 training rows of made; .* Take cluster/kmeans"):
        check_rows(preset("agglomerative"), rows, "made")


def test_words_that_no_two_rows_share_are_no_features() -> None:
    rows = values(text=("text", [f"word{place} other{place}" for place in range(40)]))
    with pytest.raises(DataError, match="preparation.texts.min_rows=1"):
        grouped(rows, "kmeans", "preparation.texts.characters=false")


def test_umap_says_what_to_install() -> None:
    from studio.core.extras import available

    if available("umap"):
        pytest.skip("umap-learn is installed here")
    with pytest.raises(MissingExtraError, match=r"pip install 'finetuning-studio\[umap\]'"):
        grouped(numbers(load_iris().data), "kmeans", "reduce.type=umap", *FEW)


def test_one_column_is_grouped_and_said_not_to_be_compared() -> None:
    drawn = np.random.default_rng(0)
    rows = numbers(np.concatenate([drawn.normal(0, 1, 60), drawn.normal(12, 1, 60)])[:, None])
    found = grouped(rows, "kmeans", "estimator.k_max=5", *QUICK).clusters.info
    assert found.choice.k == 2 and not found.choice.structure.compared
    assert any("single dimension" in sentence for sentence in found.choice.told)
