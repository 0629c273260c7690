"""The way of pictures into the loop: order, shapes, augmentation; and words on their way into the network."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from studio.core.errors import UserError
from studio.models.images.words import Words, split_words
from studio.train.images.loop import draw_noise, step_draws
from studio.train.images.pictures import augment, image_windows

SQUARE, WIDE = (32, 32), (32, 64)


def test_every_picture_comes_equally_often_and_a_rare_shape_is_kept():
    shapes = [SQUARE] * 9 + [WIDE]
    windows = image_windows(shapes, batch_size=4, steps=60, seed=0)
    assert all(len({shapes[row] for row in window}) == 1 and len(window) == 4 for window in windows)
    seen = Counter(row for window in windows for row in window)
    assert len(seen) == 10
    assert max(seen.values()) - min(seen.values()) <= 4  # what still waits in a queue
    assert windows == image_windows(shapes, batch_size=4, steps=60, seed=0)
    assert windows != image_windows(shapes, batch_size=4, steps=60, seed=1)


def test_more_pictures_a_step_than_there_are():
    assert sorted(image_windows([SQUARE] * 2, batch_size=4, steps=1, seed=0)[0]) == [0, 0, 1, 1]


def test_no_pictures_are_refused():
    with pytest.raises(UserError, match="no training pictures"):
        image_windows([], batch_size=4, steps=1, seed=0)


def test_augmentation_mirrors_and_moves():
    pixels = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    assert torch.equal(augment(pixels, step_draws(0, 0), flip=False, shift=0), pixels)
    mirrored = [augment(pixels, step_draws(0, step), flip=True, shift=0) for step in range(8)]
    kinds = {tuple(torch.equal(row, was) for row, was in zip(step, pixels, strict=True)) for step in mirrored}
    assert len(kinds) > 1, "some are mirrored and some are not"
    assert all(
        torch.equal(row, was) or torch.equal(row, was.flip(-1))
        for step in mirrored
        for row, was in zip(step, pixels, strict=True)
    )
    moved = augment(torch.full((2, 3, 4, 4), 7, dtype=torch.uint8), step_draws(0, 1), flip=False, shift=2)
    assert (moved == 7).all(), "the border fills in"


def test_noise_offset_adds_one_number_to_each_channel():
    clean = torch.zeros(2, 3, 8, 8)
    plain, offset = (draw_noise(clean, step_draws(0, 0), offset=amount) for amount in (0.0, 0.5))
    added = offset - plain
    assert torch.allclose(added, added[:, :, :1, :1].expand_as(added), atol=1e-6)
    assert added.abs().min() > 0


def test_words_know_what_they_have_seen():
    words = Words(max_words=3)
    assert words.learn(["A red apple!", "green apple"]) == ["a", "red", "apple", "green"]
    assert words.unknown(["Green PEAR, red pear"]) == ["pear"]
    rows, mask = words.encode(["red apple", "", "a b c d"])
    assert mask.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert torch.equal(rows[0, 1], words.encode(["apple"])[0][0, 0]), "a word is the same wherever it stands"
    assert not torch.equal(rows[0, 0], rows[0, 1])
    assert split_words("Häuser_und 8-ball") == ["häuser", "und", "8", "ball"]
