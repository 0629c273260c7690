"""Figures of groups are those of scikit-learn, on all rows and on any draw of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score

from studio.evals.clusters.agreement import MutualInformation, Pairs, Resampled, rand_statistic
from studio.evals.clusters.metrics import METRICS, PlacedRows, statistics_of
from studio.evals.clusters.separation import CalinskiHarabasz, DaviesBouldin
from studio.evals.clusters.tightness import MeanSilhouette, silhouette_difference
from studio.evals.scoring import difference, score
from studio.models.clusters.criteria import silhouettes
from studio.models.clusters.fitting import find_groups
from studio.models.clusters.groups import NONE
from studio.schema.clusters import KMeans

IRIS = load_iris()
LABELS = find_groups(IRIS.data, KMeans(k=3), 3, seed=0).labels
EVERY = np.ones(150, dtype=bool)
ONCE = np.ones((1, 150))


def drawn(count: int = 5) -> np.ndarray:
    """How often each row is drawn in each resample."""
    return np.random.default_rng(0).multinomial(150, np.full(150, 1 / 150), size=count).astype(np.float64)


@pytest.mark.parametrize(
    ("statistic", "theirs"),
    [
        (CalinskiHarabasz(IRIS.data, LABELS), lambda rows, labels, _: calinski_harabasz_score(rows, labels)),
        (DaviesBouldin(IRIS.data, LABELS), lambda rows, labels, _: davies_bouldin_score(rows, labels)),
        (rand_statistic(LABELS, [IRIS.target], EVERY), lambda _, labels, truth: adjusted_rand_score(truth, labels)),
        (MutualInformation(LABELS, IRIS.target, EVERY), lambda _, labels, truth: adjusted_mutual_info_score(truth, labels)),
    ],
    ids=["calinski_harabasz", "davies_bouldin", "ari", "ami"],
)
def test_every_draw_gives_what_scikit_learn_says_of_the_drawn_rows(statistic, theirs) -> None:
    weights = np.concatenate([ONCE, drawn()])
    for value, counts in zip(statistic.at(weights), weights, strict=True):
        rows = np.repeat(np.arange(150), counts.astype(int))
        assert value == pytest.approx(theirs(IRIS.data[rows], LABELS[rows], IRIS.target[rows]), rel=1e-9)


def test_known_figures_of_iris() -> None:
    found = statistics_of(PlacedRows(IRIS.data, LABELS, [], IRIS.target.astype(str).astype(object)))
    values = {name: float(one.at(ONCE)[0]) for name, one in found.items() if not isinstance(one, str)}
    assert values["silhouette"] == pytest.approx(0.5528, abs=1e-4)
    assert values["ari"] == pytest.approx(0.7302, abs=1e-4)
    assert values["calinski_harabasz"] == pytest.approx(561.63, abs=0.01)
    assert values["davies_bouldin"] == pytest.approx(0.662, abs=1e-3)
    assert found["stability"] == "no groups were found"


def test_intervals_hold_the_value_and_narrow_with_more_rows() -> None:
    few = np.arange(0, 150, 3)
    widths = {}
    for rows in (few, np.arange(150)):
        found = statistics_of(PlacedRows(IRIS.data[rows], LABELS[rows], [], IRIS.target[rows].astype(str).astype(object)))
        for name in ("silhouette", "calinski_harabasz", "davies_bouldin", "ari", "ami"):
            one = score(METRICS[name], found[name], resamples=300, seed=0)
            assert one.low < one.value < one.high, name
            widths.setdefault(name, []).append((one.high - one.low) / abs(one.value))
    assert all(narrow < wide for wide, narrow in widths.values()), widths


def test_rows_in_no_group_are_left_out_of_widths_and_count_as_a_group_of_their_own_beside_labels() -> None:
    labels = LABELS.copy()
    labels[::10] = NONE
    inside = labels != NONE
    assert CalinskiHarabasz(IRIS.data, labels).at(ONCE)[0] == pytest.approx(
        calinski_harabasz_score(IRIS.data[inside], labels[inside])
    )
    assert np.isnan(silhouettes(IRIS.data, labels)[~inside]).all()
    found = statistics_of(PlacedRows(IRIS.data, labels, [], IRIS.target.astype(str).astype(object)))
    assert float(found["ari"].at(ONCE)[0]) == pytest.approx(adjusted_rand_score(IRIS.target, labels))
    assert score(METRICS["silhouette"], found["silhouette"], resamples=100, seed=0).coverage == pytest.approx(0.9)
    assert float(found["in_no_group"].at(ONCE)[0]) == pytest.approx(0.1)


def test_where_there_are_no_two_groups_the_reason_is_said() -> None:
    one = statistics_of(PlacedRows(IRIS.data, np.ones(150, dtype=np.int64), [np.ones(150, dtype=np.int64)], None))
    assert one["silhouette"] == one["davies_bouldin"] == "all of these rows lie in one group"
    none = statistics_of(PlacedRows(IRIS.data, np.zeros(150, dtype=np.int64), [], np.full(150, None, dtype=object)))
    assert none["silhouette"] == "none of these rows lies in a group" and none["ari"] == "none of these rows has a label"


def test_rows_without_a_label_are_not_compared() -> None:
    truth = IRIS.target.astype(str).astype(object)
    truth[:50] = None
    found = statistics_of(PlacedRows(IRIS.data, LABELS, [], truth))
    later = np.arange(50, 150)
    assert float(found["ari"].at(ONCE)[0]) == pytest.approx(adjusted_rand_score(IRIS.target[later], LABELS[later]))
    assert float(found["ami"].at(ONCE)[0]) == pytest.approx(adjusted_mutual_info_score(IRIS.target[later], LABELS[later]))


def test_stability_is_the_mean_over_refits_and_one_group_agrees_with_nothing() -> None:
    refits = [
        find_groups(IRIS.data[np.random.default_rng(seed).integers(0, 150, 150)], KMeans(k=3), 3, seed).groups for seed in (1, 2)
    ]
    anew = [groups.place(IRIS.data).groups for groups in refits]
    statistic = rand_statistic(LABELS, anew, EVERY)
    assert statistic.at(ONCE)[0] == pytest.approx(np.mean([adjusted_rand_score(LABELS, other) for other in anew]))
    one = rand_statistic(np.ones(150, dtype=int), [IRIS.target], EVERY)
    assert one.at(ONCE)[0] == 0.0
    assert MutualInformation(np.ones(150, dtype=int), IRIS.target, EVERY).at(ONCE)[0] == 0.0


def test_groupings_of_unlike_many_pairs_are_compared_by_drawing_rows() -> None:
    finer = find_groups(IRIS.data, KMeans(k=6), 6, seed=0).labels
    tuned, base = (rand_statistic(labels, [IRIS.target], EVERY) for labels in (LABELS, finer))
    found = difference(METRICS["ari"], Resampled(tuned), Resampled(base), resamples=300, seed=0)
    assert found.value == pytest.approx(adjusted_rand_score(IRIS.target, LABELS) - adjusted_rand_score(IRIS.target, finer))
    assert found.low < found.value < found.high and found.verdict == "better"


def test_pairs_count_every_row_once() -> None:
    pairs = Pairs.of(LABELS, IRIS.target)
    assert pairs.sums.sum() == 150 and (pairs.sums.sum(axis=1) == 1).all()
    assert pairs.first.shape[1] == pairs.second.shape[1] == 3


def test_silhouettes_of_digits() -> None:
    data = load_digits()
    labels = find_groups(data.data, KMeans(k=10), 10, seed=0).labels
    assert np.nanmean(silhouettes(data.data, labels)) == pytest.approx(0.182, abs=2e-3)


def test_a_silhouette_without_a_row_is_that_of_the_other_rows() -> None:
    from sklearn.metrics import silhouette_score

    rows, labels = IRIS.data[::5], LABELS[::5]
    found = MeanSilhouette(rows, labels)
    without = [silhouette_score(np.delete(rows, place, axis=0), np.delete(labels, place)) for place in range(len(rows))]
    assert found.without_each() == pytest.approx(np.array(without))
    assert found.at(np.ones((1, len(rows))))[0] == pytest.approx(silhouette_score(rows, labels))


def test_the_difference_of_silhouettes_knows_which_rows_are_the_same() -> None:
    finer = find_groups(IRIS.data, KMeans(k=6), 6, seed=0).labels
    tuned, base = MeanSilhouette(IRIS.data, LABELS), MeanSilhouette(IRIS.data, finer)
    found = silhouette_difference(METRICS["silhouette"], tuned, base)
    assert found.low < found.value < found.high and found.verdict == "better"
    same = silhouette_difference(METRICS["silhouette"], tuned, tuned)
    assert same.value == 0 and same.low == same.high == 0 and same.verdict == "no difference shown"


@pytest.mark.long
def test_intervals_hold_the_figure_of_all_rows_as_often_as_they_say() -> None:
    def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        drawn = np.random.default_rng(seed)
        truth = drawn.integers(0, 3, count)
        return drawn.normal(size=(count, 4)) + np.array([[0, 0, 0, 0], [2, 1, 0, 0], [0, 2, 2, 0]])[truth], truth

    groups = find_groups(draw(400, 0)[0], KMeans(), 3, 0).groups

    def figures(count: int, seed: int) -> dict[str, object]:
        rows, truth = draw(count, seed)
        return statistics_of(PlacedRows(rows, groups.place(rows).groups, [], truth.astype(str).astype(object)))

    everyone, names = figures(2000, 1), ("silhouette", "davies_bouldin", "ari", "ami")
    truth = {name: float(everyone[name].at(np.ones((1, 2000)))[0]) for name in names}
    held = dict.fromkeys(names, 0)
    for seed in range(100):
        found = figures(80, 10 + seed)
        for name in names:
            one = score(METRICS[name], found[name], resamples=100, seed=0)
            held[name] += one.low <= truth[name] <= one.high
    assert all(hits >= 87 for hits in held.values()), held
