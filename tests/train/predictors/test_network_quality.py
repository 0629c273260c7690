"""What networks reach on real rows, beside the figures that scikit-learn's simple models reach on them."""

from __future__ import annotations

import numpy as np
import pytest

from studio.data.examples import Wanted, read_examples
from tests.conftest import call_studio
from tests.train.predictors.network_jobs import digits, trained


@pytest.mark.long
def test_a_small_network_reads_digits(tmp_path):
    # Logistic regression is right about 0.967 of them in ten folds, the best kernel machine about 0.9905.
    rows = digits(tmp_path / "digits", 1797)
    order = np.random.default_rng(0).permutation(1797)
    train, held, test = (rows.part(order[first:last]) for first, last in ((0, 1200), (1200, 1400), (1400, 1797)))
    settings = {"type": "small-cnn", "size": 8, "depth": 2, "width": 16, "flip": False, "epochs": 10, "learning_rate": 0.005}
    predictor = trained(tmp_path / "run", train, held, settings)
    assert np.mean(predictor.predict(test.features).values == test.target) > 0.96


@pytest.mark.long
@pytest.mark.starter
def test_a_network_that_has_seen_photographs_beats_pixels_on_drawings(tmp_path):
    # 378 drawings of nine kinds at 96 pixels: 0.791 in five folds, against 0.537 from pixels.
    assert call_studio("--workspace", tmp_path, "data", "build", "image/openmoji-kinds") == 0
    [folder] = (tmp_path / "datasets" / "openmoji-kinds").iterdir()
    train, held, test = (read_examples(folder, split, Wanted(None, "category")) for split in ("train", "validation", "test"))
    frozen = {"type": "mobilenet", "size": 96, "tune": "head", "flip": False, "shift": 0, "colour": 0}
    predictor = trained(tmp_path / "run", train, held, frozen | {"learning_rate": 0.003, "epochs": 60, "patience": 8})
    right = np.mean(predictor.predict(test.features).values == test.target)
    assert right > 0.7
    pixels = trained(tmp_path / "pixels", train, held, {"type": "logistic"})
    assert right > np.mean(pixels.predict(test.features).values == test.target) + 0.1
