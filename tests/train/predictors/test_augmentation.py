"""Altered pictures keep what they show: mirrored, moved by whole pixels, coloured within bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from studio.schema.networks import SmallCnn
from studio.train.predictors.augmentation import augment, coloured, moved


@pytest.fixture(scope="module")
def flower():
    """Sixteen copies of a photograph, 40 pixels wide."""
    picture = torch.from_numpy(np.ascontiguousarray(load_sample_image("flower.jpg")[::10, ::16])).permute(2, 0, 1).float()
    return picture[None, :, :40, :40].repeat(16, 1, 1, 1)


def draws():
    return torch.Generator().manual_seed(0)


def test_half_of_the_pictures_are_mirrored(flower):
    found = augment(flower, SmallCnn(flip=True, shift=0, colour=0), draws())
    mirrored = [torch.equal(one, flower[0].flip(2)) for one in found]
    assert 3 < sum(mirrored) < 13
    assert all(mirror or torch.equal(one, flower[0]) for one, mirror in zip(found, mirrored, strict=True))


def test_moved_pictures_are_the_same_inside_and_differ_among_each_other(flower):
    found = moved(flower, 0.1, draws())
    places = set()
    for one in found:
        [place] = [
            (down, right)
            for down in range(-4, 5)
            for right in range(-4, 5)
            if torch.equal(one[:, 4:-4, 4:-4], flower[0][:, 4 + down : 36 + down, 4 + right : 36 + right])
        ]
        places.add(place)
    assert len(places) > 8 and torch.equal(moved(flower, 0.01, draws()), flower)


def test_colours_change_within_bounds(flower):
    found = coloured(flower, 0.2, draws())
    assert found.min() >= 0 and found.max() <= 255
    ratio = found.mean(dim=(1, 2, 3)) / flower.mean(dim=(1, 2, 3))
    assert 0.78 < ratio.min() < 0.95 and 1.05 < ratio.max() < 1.22
    grey = flower.mean(dim=1, keepdim=True).repeat(1, 3, 1, 1)
    assert torch.allclose(coloured(grey, 0.2, draws()).std(dim=1), torch.zeros(16, 40, 40), atol=1e-3)


def test_the_same_draws_give_the_same_pictures(flower):
    settings = SmallCnn()
    assert torch.equal(augment(flower, settings, draws()), augment(flower, settings, draws()))
    assert not torch.equal(augment(flower, settings, draws()), augment(flower, settings, torch.Generator().manual_seed(1)))
