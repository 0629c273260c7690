"""Explanations of pictures: the warm part is the one that tells the label, for networks and for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studio.data.examples import Examples
from studio.evals.predictors.explanations import explain_row, explainer_for
from studio.evals.predictors.explanations.heat import PARTS, CoveredParts, GradCam
from studio.models.predictors.base import Predictor
from tests.train.predictors.made import fitted, preset
from tests.train.predictors.network_jobs import one_column, trained


def spotted(folder: Path, count: int) -> tuple[Examples, list[int]]:
    """Grey noise with a red or a blue spot in one of four corners; the spot's colour is the label. Also the corner of each."""
    generator = np.random.default_rng(0)
    paths, labels, corners = [], [], []
    for place in range(count):
        pixels = generator.integers(90, 150, (32, 32, 3)).astype(np.uint8)
        label, corner = ("red", "blue")[place % 2], int(generator.integers(4))
        down, right = divmod(corner, 2)
        colour = (230, 20, 20) if label == "red" else (20, 20, 230)
        pixels[2 + 16 * down : 12 + 16 * down, 2 + 16 * right : 12 + 16 * right] = colour
        path = folder / f"{place}.png"
        Image.fromarray(pixels).save(path)
        paths.append(str(path))
        labels.append(label)
        corners.append(corner)
    return one_column("picture", paths, labels), corners


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Examples, list[int]]:
    return spotted(tmp_path_factory.mktemp("pictures"), 120)


@pytest.fixture(scope="module")
def network(pictures: Any, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    settings = {
        "type": "small-cnn", "size": 32, "depth": 2, "width": 8, "epochs": 6, "patience": None, "shift": 0.0, "colour": 0.0,
        "learning_rate": 0.01,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studio.train.predictors.learning.plot_network_loss", lambda *_: None)
        return trained(tmp_path_factory.mktemp("cnn"), pictures[0].part(range(90)), None, settings)


def in_corner(contributions: np.ndarray, corner: int) -> bool:
    """True where the largest contribution lies in a quarter of the picture."""
    down, right = divmod(int(contributions.argmax()), PARTS)
    return (down >= PARTS // 2, right >= PARTS // 2) == tuple(bool(side) for side in divmod(corner, 2))


def by_place(found: Any) -> np.ndarray:
    return np.array([part.contribution for part in sorted(found.parts, key=lambda item: item.place)])


def test_grad_cam_is_warm_where_the_spot_is(pictures: Any, network: Predictor) -> None:
    rows, corners = pictures
    explainer = explainer_for(network, rows.features)
    assert isinstance(explainer, GradCam)
    hits = 0
    for place in range(90, 110):
        found = explainer.explain(rows.features.iloc[[place]])
        assert found.heat.shape == (8, 8) and found.heat.min() >= 0 and found.heat.max() <= 1
        assert found.picture.startswith("data:image/png;base64,") and len(found.parts) == PARTS * PARTS
        hits += in_corner(by_place(found), corners[place])
    assert hits >= 15
    checked = explain_row(network, rows.features.iloc[[95]], rows.features)
    assert checked.faithful.startswith("Check: without the 13 parts of the picture") and "not what it sees there" in checked.says


def test_grad_cam_is_the_formula_of_the_paper(pictures: Any, network: Any) -> None:
    import torch

    rows, _ = pictures
    row = rows.features.iloc[[100]]
    found = explainer_for(network, rows.features).explain(row, "red")
    maps = network.network.maps(network.pixels([row["picture"].iloc[0]])).detach().requires_grad_()
    logit = network.network.head(network.network.pooled(maps))[0, network.info.labels.index("red")]
    [gradient] = torch.autograd.grad(logit, maps)
    expected = torch.relu((gradient.mean(dim=(2, 3))[:, :, None, None] * maps).sum(dim=1))[0].detach().numpy()
    assert found.heat == pytest.approx(expected / max(expected.max(), 1e-12), abs=1e-6)


def test_covered_parts_tell_the_spot_of_any_model(pictures: Any) -> None:
    rows, corners = pictures
    predictor, _ = fitted(rows.part(range(90)), preset("logistic"))
    explainer = explainer_for(predictor, rows.features)
    assert isinstance(explainer, CoveredParts)
    hits = sum(in_corner(by_place(explainer.explain(rows.features.iloc[[place]])), corners[place]) for place in range(90, 100))
    assert hits >= 8
    [whole] = explainer.without(rows.features.iloc[[95]], "red", [[]])
    assert whole == pytest.approx(float(explainer.values(rows.features.iloc[[95]], "red")[0]))
    assert explainer.explain(rows.features.iloc[[95]]).kind == "occlusion"
