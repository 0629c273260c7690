"""The statistics of made pictures: known values, and resamples that equal computing the score on the rows drawn."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from studio.core.errors import UserError
from studio.evals.images.coverage import LabelCoverage, relative_spread
from studio.evals.images.frechet import FrechetDistance, frechet_distance, moments
from studio.evals.images.inception_score import InceptionScore, inception_score
from studio.evals.images.kernel_distance import KernelDistance, kernel_distance
from studio.evals.images.memorisation import memorisation
from studio.evals.images.neighbours import nearest, neighbourhood_radii
from studio.evals.images.precision_recall import Recall, precise

GENERATOR = np.random.default_rng(5)
WEIGHTS = np.array([[2, 0, 1, 1, 0, 3, 1, 0, 1, 1, 2, 0], [1] * 12, [0, 4, 0, 0, 4, 0, 0, 2, 2, 0, 0, 0]], dtype=np.float64)


def drawn(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The rows of one resample, each as often as it was drawn."""
    return np.repeat(values, weights.astype(int), axis=0)


def test_sure_and_even_predictions_score_the_number_of_classes_and_constant_ones_1() -> None:
    sure = np.tile(np.eye(4) * 50, (10, 1))
    assert inception_score(sure, splits=1)[0] == pytest.approx(4)
    assert inception_score(np.zeros((40, 4)), splits=10) == (pytest.approx(1), pytest.approx(0))
    # All pictures of one class: sure, and not varied at all.
    assert inception_score(np.tile([50.0, 0, 0, 0], (40, 1)), splits=10)[0] == pytest.approx(1)


def test_the_score_of_a_resample_is_that_of_the_rows_drawn() -> None:
    logits = GENERATOR.normal(0, 3, (12, 5))
    statistic = InceptionScore(logits, splits=2)
    for row in WEIGHTS:
        parts = [drawn(logits[rows], row[rows]) for rows in statistic.splits]
        expected = np.mean([inception_score(part, splits=1)[0] for part in parts])
        assert statistic.at(row[None])[0] == pytest.approx(expected)


def test_fewer_pictures_than_splits_is_an_error() -> None:
    with pytest.raises(UserError, match="needs at least 10 pictures, 9 were made"):
        inception_score(np.zeros((9, 3)))


def test_the_frechet_distance_of_shifted_and_scaled_clouds() -> None:
    values = GENERATOR.normal(0, 1, (4000, 6))
    moved = moments(values + 2)
    assert frechet_distance(moments(values), moved) == pytest.approx(6 * 4, rel=1e-6)
    # Doubling every axis: tr(S + 4S - 2 * 2S) = tr(S).
    assert frechet_distance(moments(2 * values), moments(values)) == pytest.approx(np.trace(np.cov(values.T)), abs=0.02)
    assert frechet_distance(moments(values), moments(values)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("width", [4, 30], ids=["by features", "by pictures"])
def test_the_frechet_distance_of_a_resample_is_that_of_the_rows_drawn(width: int) -> None:
    features = GENERATOR.normal(0.3, 1.5, (12, width))
    reference = moments(GENERATOR.normal(0, 1, (50, width)))
    statistic = FrechetDistance(features, reference)
    expected = [frechet_distance(moments(drawn(features, row)), reference) for row in WEIGHTS]
    # The root of a rounded zero is 1e-8; there are up to 30 of them.
    np.testing.assert_allclose(statistic.at(WEIGHTS), expected, rtol=1e-6, atol=1e-6)


def test_the_kernel_distance_of_a_resample_is_the_unbiased_estimate_from_the_rows_drawn() -> None:
    features, reference = GENERATOR.normal(0.5, 1, (12, 3)), GENERATOR.normal(0, 1, (40, 3))
    statistic = KernelDistance(features, reference, value=7.0)
    assert statistic.at(np.ones((1, 12)))[0] == pytest.approx(7.0)

    def estimate(rows: np.ndarray) -> float:
        within = (rows @ rows.T / 3 + 1) ** 3
        across = (rows @ reference.T / 3 + 1) ** 3
        return (within.sum() - np.trace(within)) / (len(rows) * (len(rows) - 1)) - 2 * across.mean()

    plain = estimate(features)
    for row, found in zip(WEIGHTS, statistic.at(WEIGHTS), strict=True):
        assert found - 7.0 == pytest.approx(estimate(drawn(features, row)) - plain)


def test_a_kid_subset_larger_than_a_side_is_an_error() -> None:
    with pytest.raises(UserError, match=r"subsets of 1000 pictures cannot be drawn from 999 made.*at most 400 "):
        kernel_distance(np.zeros((999, 2)), np.zeros((400, 2)))
    first, second = GENERATOR.normal(size=(2, 400, 8))
    alike, apart = (kernel_distance(first, other, subsets=20, subset_size=200)[0] for other in (second, second + 1))
    assert abs(alike) < 0.1 and apart > 2


def test_precision_falls_outside_the_reference_and_recall_where_nothing_is_made() -> None:
    reference = np.concatenate([GENERATOR.normal(0, 1, (40, 2)), GENERATOR.normal(20, 1, (40, 2))])
    half = GENERATOR.normal(0, 0.5, (30, 2))
    away = GENERATOR.normal(-50, 1, (30, 2))
    assert precise(half, reference).mean() > 0.9 and precise(away, reference).mean() == 0
    recall = Recall(half, reference)
    whole = recall.at(np.ones((1, 30)))[0]
    assert 0 < whole <= 0.5
    few = recall.at(np.eye(30)[:1] * 30)[0]
    assert few < whole, "one picture drawn thirty times reaches less than thirty pictures"
    with pytest.raises(UserError, match="more than 3 reference pictures, 3 were given"):
        precise(half, reference[:3])


def test_neighbours_in_chunks_are_those_of_the_whole_matrix() -> None:
    rows, others = GENERATOR.normal(size=(700, 5)), GENERATOR.normal(size=(90, 5))
    whole = np.linalg.norm(rows[:, None] - others[None], axis=2)
    distances, places = nearest(rows, others)
    assert (places == whole.argmin(axis=1)).all()
    np.testing.assert_allclose(distances, whole.min(axis=1), atol=1e-12)
    assert nearest(others[:1] + 1e3, others + 1e3)[0][0] == 0.0, "an equal row is at exactly 0, far from the origin too"
    own = np.sort(np.linalg.norm(rows[:, None] - rows[None], axis=2), axis=1)[:, 3]
    np.testing.assert_allclose(neighbourhood_radii(rows, 3), own, atol=1e-7)


def test_ten_thousand_pictures_never_make_a_square_matrix() -> None:
    rows = GENERATOR.normal(size=(10_000, 16)).astype(np.float32)
    tracemalloc.start()
    nearest(rows, rows[::-1])
    assert neighbourhood_radii(rows[:3000], 3).shape == (3000,)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6, f"{peak / 1e6:.0f} MB; a square matrix would take 800 MB"


def test_copies_are_found_and_fresh_pictures_are_not() -> None:
    training = GENERATOR.normal(size=(300, 10))
    held_out = GENERATOR.normal(size=(200, 10))
    fresh = memorisation(GENERATOR.normal(size=(400, 10)), training, held_out)
    assert fresh.copied.mean() == pytest.approx(0.05, abs=0.05)
    assert fresh.nearness.mean() == pytest.approx(0.5, abs=0.06)
    copies = memorisation(training[[7, 7, 123]], training, held_out)
    assert copies.copied.all() and (copies.distances == 0).all() and copies.places.tolist() == [7, 7, 123]
    assert (copies.nearness == 1).all()
    blurred = memorisation(training[:50] + GENERATOR.normal(0, 0.05, (50, 10)), training, held_out)
    assert blurred.copied.all()
    # A held-out split that repeats training pictures does not hide copies.
    assert memorisation(training[:3], training, training[:9]).copied.all()


def test_coverage_counts_labels_that_are_made_and_spread_sees_collapse() -> None:
    coverage = LabelCoverage(np.array([0, 0, 2, 5]), np.array([0, 1, 2, 3]))
    assert coverage.at(np.array([[1.0, 1, 1, 1], [2, 2, 0, 0]])).tolist() == [0.5, 0.25]
    reference = GENERATOR.normal(size=(400, 6))
    assert relative_spread(GENERATOR.normal(size=(100, 6)), reference).mean() == pytest.approx(1, abs=0.1)
    assert relative_spread(np.tile(reference[:1], (50, 1)), reference).mean() == pytest.approx(0, abs=1e-6)


def test_resamples_are_computed_once_for_score_and_difference() -> None:
    from studio.evals.images.measure import Remembered

    class Counting(InceptionScore):
        calls = 0

        def at(self, weights: np.ndarray) -> np.ndarray:
            Counting.calls += 1
            return super().at(weights)

    statistic = Remembered(Counting(GENERATOR.normal(size=(12, 3)), splits=2))
    first, second = statistic.at(WEIGHTS), statistic.at(WEIGHTS.copy())
    assert Counting.calls == 1 and (first == second).all()
    assert (statistic.at(WEIGHTS[::-1]) == first[::-1]).all() and Counting.calls == 2
