"""The cache of latents and text: the same numbers as without it, and no way to be fed the wrong ones."""

from __future__ import annotations

import hashlib
import random
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image

from benchmarks.image_shapes import write_base
from studio.core.errors import StudioError
from studio.data.images.rows import ImageRow
from studio.models.images.families.base import open_family
from studio.train.images import latents
from studio.train.images.latents import CachedPictures, FeatureCache
from studio.train.images.pictures import LivePictures

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("cache-base") / "sdxl", "sdxl")


def add_row(folder, number, colour, caption, size=(16, 16)):
    picture = Image.new("RGB", size, colour)
    picture.putpixel((number % 16, 3), (255, 255, 255))  # not the same when mirrored
    path = folder / "images" / f"{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return ImageRow(str(number), f"images/{number}.png", caption, None, None, *size, None, sha256)


@pytest.fixture
def rows(tmp_path):
    colours = ["red", "green", "blue", "yellow", "black"]
    return [add_row(tmp_path / "data", number, colour, f"a {colour} door") for number, colour in enumerate(colours)]


def cached(base, folder, rows, cache, **options):
    family = open_family("sdxl", base, **CPU)
    pictures = CachedPictures(LivePictures(family, folder, rows, resolution=16, **options), FeatureCache(cache))
    return pictures, pictures.fill(quiet=True)


def test_cached_is_what_uncached_sees(base, tmp_path, rows):
    family = open_family("sdxl", base, **CPU)
    live = LivePictures(family, tmp_path / "data", rows, resolution=16, flip=True)
    pictures, report = cached(base, tmp_path / "data", rows, tmp_path / "cache", flip=True)
    assert report.made == 2 * len(rows) + len(rows) + 1  # both ways round, every caption, the empty one
    window = [3, 0, 4, 1]
    for seed in range(4):
        draws = [torch.Generator().manual_seed(seed) for _ in range(2)]
        expected, found = live.moments(window, draws[0]), pictures.moments(window, draws[1])
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert draws[0].get_state().equal(draws[1].get_state())
    dropped = [False, True, False, True]
    expected, found = live.text(window, dropped), pictures.text(window, dropped)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)
    assert pictures.sizes(window) == live.sizes(window)


def test_a_second_run_makes_nothing_and_loads_no_encoder(base, tmp_path, rows):
    cached(base, tmp_path / "data", rows, tmp_path / "cache")
    pictures, report = cached(base, tmp_path / "data", rows, tmp_path / "cache")
    assert report.made == 0 and report.found == 2 * len(rows) + 1
    pictures.moments([0, 1], None)
    pictures.text([0, 1], [False, False])
    assert not pictures.family._parts.keys() & {"vae", "text_encoder", "text_encoder_2"}


def test_an_edited_caption_or_picture_never_meets_an_old_entry(base, tmp_path, rows):
    first, _ = cached(base, tmp_path / "data", rows, tmp_path / "cache")
    before, before_text = first.moments([2], None), first.text([2], [False])["embeds"]

    edited = [*rows[:2], replace(rows[2], caption="a blue window"), *rows[3:]]
    second, report = cached(base, tmp_path / "data", edited, tmp_path / "cache")
    assert report.made == 1
    assert torch.equal(second.moments([2], None), before)
    assert not torch.equal(second.text([2], [False])["embeds"], before_text)

    # A Dataset that was built again from an edited picture: same id, same path, other bytes.
    edited[2] = replace(add_row(tmp_path / "data", 2, "orange", "x"), caption="a blue door")
    third, report = cached(base, tmp_path / "data", edited, tmp_path / "cache")
    assert report.made == 1
    assert not torch.allclose(third.moments([2], None), before)
    assert torch.equal(third.text([2], [False])["embeds"], before_text)

    # A picture that was changed behind the Dataset's back is refused, although its old latents are there.
    Image.new("RGB", (16, 16), "pink").save(tmp_path / "data" / edited[0].image)
    with pytest.raises(StudioError, match="was changed since the dataset was built"):
        cached(base, tmp_path / "data", edited, tmp_path / "cache")


def test_order_never_pairs_a_picture_with_anothers_caption(base, tmp_path, rows):
    first, _ = cached(base, tmp_path / "data", rows, tmp_path / "cache")
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    assert order != sorted(order)
    shuffled, report = cached(base, tmp_path / "data", [rows[row] for row in order], tmp_path / "cache")
    assert report.made == 0
    for place, row in enumerate(order):
        assert torch.equal(shuffled.moments([place], None), first.moments([row], None))
        assert torch.equal(shuffled.text([place], [False])["pooled"], first.text([row], [False])["pooled"])


def test_other_encoders_and_settings_have_other_entries(base, tmp_path, rows):
    _, report = cached(base, tmp_path / "data", rows, tmp_path / "cache")
    everything = report.made
    import json

    # Other VAE settings.
    other = shutil.copytree(base, tmp_path / "other")
    config = json.loads((other / "vae" / "config.json").read_text())
    (other / "vae" / "config.json").write_text(json.dumps(config | {"norm_num_groups": 2}))
    _, report = cached(other, tmp_path / "data", rows, tmp_path / "cache")
    assert report.made == len(rows)
    # Another text encoder.
    weights = write_base(tmp_path / "seed", "sdxl", seed=1) / "text_encoder" / "model.safetensors"
    shutil.copy(weights, other / "text_encoder" / "model.safetensors")
    _, report = cached(other, tmp_path / "data", rows, tmp_path / "cache")
    assert report.made == len(rows) + 1
    # Another number type.
    family = open_family("sdxl", base, device=torch.device("cpu"), dtype=torch.bfloat16)
    live = LivePictures(family, tmp_path / "data", rows, resolution=16)
    assert CachedPictures(live, FeatureCache(tmp_path / "cache")).fill(quiet=True).made == everything
    # Another resolution.
    live = LivePictures(open_family("sdxl", base, **CPU), tmp_path / "data", rows, resolution=32)
    assert CachedPictures(live, FeatureCache(tmp_path / "cache")).fill(quiet=True).made == len(rows)


def test_damaged_and_misplaced_entries_count_as_missing(base, tmp_path, rows):
    pictures, _ = cached(base, tmp_path / "data", rows, tmp_path / "cache")
    expected = pictures.moments([0], None)
    key, other = pictures._picture_keys[0][0], pictures._picture_keys[1][0]
    file = pictures.cache._file(key)
    whole = file.read_bytes()
    for damage in (whole[:-10], whole[:-4] + b"\xff\xff\xff\x7f", pictures.cache._file(other).read_bytes(), b""):
        file.write_bytes(damage)
        assert FeatureCache(tmp_path / "cache").get(key) is None
        again, report = cached(base, tmp_path / "data", rows, tmp_path / "cache")
        assert report.made == 1
        torch.testing.assert_close(again.moments([0], None), expected)


def test_a_full_disk_is_one_sentence(base, rows, tmp_path, small_disk):
    with pytest.raises(StudioError, match="the disk is full"):
        for number in range(100):
            FeatureCache(small_disk / "cache").put(f"{number:064d}", {"x": torch.zeros(1000)})


def test_the_oldest_entries_go_first(tmp_path):
    cache = FeatureCache(tmp_path)
    import os

    for number in range(5):
        key = f"{number}" * 64
        size = cache.put(key, {"x": torch.zeros(100)})
        os.utime(cache._file(key), (number, number))
    cache.touch("0" * 64)
    assert cache.trim(keep=2 * size) == 3
    assert sorted(file.stem[0] for file in tmp_path.glob("??/*.safetensors")) == ["0", "4"]


def test_pictures_that_move_or_need_no_encoder_are_not_cached(tmp_path, rows, base):
    with pytest.raises(ValueError, match="moved at random"):
        cached(base, tmp_path / "data", rows, tmp_path / "cache", shift=2)
    assert latents.KEEP_BYTES > latents._IN_MEMORY
