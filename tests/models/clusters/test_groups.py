"""Groups are found as the libraries find them, placed as said, saved without code, and the same for a seed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from studio.core.errors import StudioError
from studio.models.clusters.criteria import uniform_like
from studio.models.clusters.fitting import find_groups, numbered
from studio.models.clusters.groups import FORMS, NONE, Dense
from studio.models.clusters.opening import GROUPS, open_clusters, save_clusters
from studio.models.clusters.space import unit
from studio.models.clusters.unfolding import Unfolded
from studio.schema.clusters import Agglomerative, Gaussian, Hdbscan, KMeans
from tests.train.clusters.made import grouped, numbers, values

IRIS = load_iris().data


def test_groups_are_numbered_by_size_then_by_their_first_row() -> None:
    labels, order = numbered(np.array([7, 7, 2, 2, 2, -1, 4, 4]))
    assert labels.tolist() == [2, 2, 1, 1, 1, NONE, 3, 3] and order.tolist() == [2, 7, 4]
    assert numbered(np.array([-1, -1]))[0].tolist() == [NONE, NONE]


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_posteriors_of_a_mixture_are_those_of_scikit_learn(covariance: str) -> None:
    found = find_groups(IRIS, Gaussian(covariance=covariance), 3, seed=0)
    theirs = GaussianMixture(3, covariance_type=covariance, n_init=3, max_iter=200, random_state=0).fit(IRIS)
    placement = found.groups.place(IRIS)
    assert adjusted_rand_score(placement.groups, theirs.predict(IRIS)) == 1.0
    order = [int(theirs.predict(IRIS)[placement.groups == group][0]) for group in (1, 2, 3)]
    assert placement.probabilities == pytest.approx(theirs.predict_proba(IRIS)[:, order], abs=1e-9)
    assert found.bic == pytest.approx(theirs.bic(IRIS))
    centre = found.groups.place(found.groups.centres())
    assert centre.distances == pytest.approx(np.zeros(3), abs=1e-9), "a middle is no standard deviation from itself"


def test_moons_are_told_apart_by_density_and_not_by_centres() -> None:
    rows, truth = make_moons(300, noise=0.06, random_state=0)
    dense = find_groups(rows, Hdbscan(min_cluster_size=10), None, seed=0)
    assert adjusted_rand_score(truth, dense.labels) > 0.95
    assert adjusted_rand_score(truth, find_groups(rows, KMeans(), 2, seed=0).labels) < 0.6
    further, told = make_moons(200, noise=0.06, random_state=1)
    placed = dense.groups.place(further).groups
    inside = placed != NONE
    assert inside.mean() > 0.85 and adjusted_rand_score(told[inside], placed[inside]) > 0.95
    far = dense.groups.place(np.array([[10.0, 10.0]]))
    assert far.groups[0] == NONE and far.distances[0] > 5


@pytest.mark.parametrize("seed", range(3))
def test_training_rows_are_placed_where_density_put_them(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    rows = np.concatenate([drawn.normal(0, 1, (80, 3)), drawn.normal(6, 0.7, (60, 3)), drawn.uniform(-4, 10, (60, 3))])
    found = find_groups(rows, Hdbscan(), None, seed=0)
    assert (found.labels == NONE).any() and found.groups.k >= 2
    assert (found.groups.place(rows).groups == found.labels).mean() > 0.98


def test_no_dense_groups_place_no_row() -> None:
    none = Dense(IRIS, np.zeros(150, dtype=np.int64), np.ones(150), np.array([]), np.array([5]))
    assert none.k == 0 and (none.place(IRIS).groups == NONE).all()


@pytest.mark.parametrize("estimator", ["kmeans", "gaussian", "agglomerative", "hdbscan"])
def test_what_is_saved_places_rows_to_the_bit(estimator: str, tmp_path: Path) -> None:
    rows = numbers(IRIS)
    settings = () if estimator == "hdbscan" else ("estimator.k=3",)
    found = grouped(rows, estimator, *settings).clusters
    save_clusters(found, tmp_path)
    opened = open_clusters(tmp_path)
    assert opened.info == found.info and FORMS[opened.info.form] is type(opened.groups)
    before, after = found.place(rows.features), opened.place(rows.features)
    assert (before.groups == after.groups).all()
    assert np.array_equal(before.distances, after.distances, equal_nan=True)
    assert not [file for file in tmp_path.iterdir() if file.suffix not in {".json", ".safetensors", ".skops"}]


def test_a_damaged_or_foreign_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match=r"is not whole: it has no clusters\.json\. Make the artefact again"):
        open_clusters(tmp_path)
    save_clusters(grouped(numbers(IRIS), "kmeans", "estimator.k=3").clusters, tmp_path)
    whole = (tmp_path / GROUPS).read_bytes()
    (tmp_path / GROUPS).write_bytes(whole[:-8])
    with pytest.raises(StudioError, match="groups.safetensors cannot be opened"):
        open_clusters(tmp_path)
    (tmp_path / GROUPS).write_bytes(whole)
    described = json.loads((tmp_path / "clusters.json").read_text(encoding="utf-8"))
    (tmp_path / "clusters.json").write_text(json.dumps({**described, "form": "spectral"}), encoding="utf-8")
    with pytest.raises(StudioError, match="form 'spectral', and this studio knows centres, mixture, dense"):
        open_clusters(tmp_path)
    (tmp_path / "clusters.json").write_text(json.dumps({**described, "form": "mixture"}), encoding="utf-8")
    with pytest.raises(StudioError, match="lacks the array 'weights'"):
        open_clusters(tmp_path)


def test_the_same_seed_gives_the_same_bits_whatever_the_threads(tmp_path: Path) -> None:
    program = (
        "import sys, hashlib; from pathlib import Path; import numpy as np\n"
        "from studio.models.clusters.fitting import find_groups; from studio.schema.clusters import *\n"
        "rows = np.random.default_rng(0).normal(size=(3000, 8))\n"
        "for estimator in (KMeans(), Gaussian(), Agglomerative()):\n"
        "    arrays = find_groups(rows, estimator, 5, seed=3).groups.arrays()\n"
        "    held = b''.join(np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays))\n"
        "    print(hashlib.sha256(held).hexdigest())\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PATH": ""},
            cwd=Path(__file__).resolve().parents[3],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "4")
    ]
    assert said[0] == said[1] and len(said[0].split()) == 3


def test_shuffled_rows_keep_their_columns_and_lose_how_they_go_together() -> None:
    rows = values(
        size=("number", IRIS[:, 2]),
        width=("number", IRIS[:, 3]),
        kind=("category", np.repeat(["a", "b", "c"], 50).tolist()),
    )
    space = grouped(rows, "kmeans", "estimator.k=3").clusters.space
    plain, mixed = space.matrix(rows.features), space.shuffled(rows.features, 1)
    assert space.after(mixed) is mixed and space.anew(mixed) is space
    assert np.sort(plain, axis=0) == pytest.approx(np.sort(mixed, axis=0))
    assert mixed[:, :3].sum(axis=1) == pytest.approx(np.ones(150)), "each row keeps one category"
    assert abs(np.corrcoef(mixed[:, 3], mixed[:, 4])[0, 1]) < 0.3 < np.corrcoef(plain[:, 3], plain[:, 4])[0, 1]
    assert np.array_equal(space.shuffled(rows.features, 1), mixed)


def test_rows_without_structure_fill_the_box_along_the_principal_axes() -> None:
    drawn = np.random.default_rng(0)
    line = np.stack([np.arange(200.0), np.arange(200.0) + drawn.normal(size=200)], axis=1)
    rows = uniform_like(line, "euclidean", 0)
    assert np.corrcoef(rows.T)[0, 1] > 0.99, "the box lies along the line, not around it"
    assert np.linalg.norm(uniform_like(unit(IRIS), "cosine", 0), axis=1) == pytest.approx(np.ones(150))


def test_rows_lie_where_umap_put_them_and_others_between_their_neighbours() -> None:
    drawn = np.random.default_rng(0)
    before, after = drawn.normal(size=(50, 4)), drawn.normal(size=(50, 2))
    unfolded = Unfolded(before, after, 15, 0)
    assert unfolded.place(before) == pytest.approx(after)
    between = unfolded.place(before[:1] + 1e-6)
    assert between[0] == pytest.approx(after[0], abs=1e-3)
    assert unfolded.place(np.zeros((0, 4))).shape == (0, 2)


def test_agglomerative_rows_are_placed_by_the_nearest_mean_and_the_agreement_is_known() -> None:
    found = grouped(numbers(IRIS), "agglomerative", "estimator.k=3").clusters
    labels = find_groups(found.space.matrix(numbers(IRIS).features), Agglomerative(), 3, seed=0).labels
    placed = found.place(numbers(IRIS).features).groups
    assert found.info.placed_again == pytest.approx((labels == placed).mean()) and 0.8 < found.info.placed_again < 1
