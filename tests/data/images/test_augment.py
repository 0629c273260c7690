"""Altered copies: seeded, off where the caption would become a lie; pictures fitted without being squeezed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from studio.data.images import making
from studio.data.images.augment import Alteration, Augmenting, alter
from studio.data.images.decode import DecodeOptions, Place
from studio.data.images.making import Made, Order, fit_to, make_pictures, stored_name
from tests.data.images.made_pictures import scene

ALL = Augmenting(copies=3, flip=True, crop=0.2, rotate=10, colour=0.2, noise=0.05)


@pytest.mark.parametrize(
    ("caption", "flip", "turn", "colour"),
    [
        ("a dog on a sofa", True, True, True),
        ("an arrow to the left", False, False, True),
        ("person facing right", False, False, True),
        ("a stop sign", False, True, True),
        ("clock at three", False, True, True),
        ("bus no. 12", False, True, True),
        ("a red apple", True, True, False),
        ("upside down face", True, False, True),
        ("copyright notice, brightly lit", True, True, True),
        ("", True, True, True),
    ],
)
def test_what_would_be_a_lie_is_left_out(caption: str, flip: bool, turn: bool, colour: bool) -> None:
    plans = ALL.plan("row", caption)
    assert len(plans) == 3
    assert [plan.flip for plan in plans] == [flip, False, flip]
    assert all(bool(plan.rotate) == turn and (plan.colour is not None) == colour and plan.crop for plan in plans)


def test_protected_words_and_nothing_left_to_do() -> None:
    plan = Augmenting(flip=True, rotate=5, colour=0.1, protect=["Logo-Cat", "sofa"])
    assert plan.plan("row", "a dog on a sofa") == [] and len(plan.plan("row", "a dog")) == 1
    assert Augmenting(flip=True).plan("row", "the left shoe") == []
    assert Augmenting(copies=4, flip=True).plan("row", "a dog") == [Alteration(flip=True)], "the same copy is not made twice"


def test_copies_depend_on_the_row_and_the_seed_only() -> None:
    assert ALL.plan("a", "dog") == ALL.plan("a", "dog") != ALL.plan("b", "dog")
    assert ALL.plan("a", "dog") != Augmenting(copies=3, flip=True, crop=0.2, rotate=10, colour=0.2, noise=0.05, seed=1).plan(
        "a", "dog"
    )
    picture = scene(1)
    for plan in ALL.plan("a", "dog"):
        first, second = alter(picture, plan, "white"), alter(picture, plan, "white")
        assert first.size == picture.size and first.tobytes() == second.tobytes() != picture.tobytes()


def test_each_alteration_does_what_it_says() -> None:
    picture = scene(2, (64, 64))
    assert alter(picture, Alteration(flip=True), "white").tobytes() == ImageOps.mirror(picture).tobytes()
    turned = alter(Image.new("RGB", (64, 64), "black"), Alteration(rotate=30), "red")
    assert turned.getpixel((0, 0)) == (255, 0, 0) and turned.getpixel((32, 32)) == (0, 0, 0)
    cut = alter(picture, Alteration(crop=(0.25, 0.25, 0.75, 0.75)), "white")
    assert (
        np.abs(
            np.asarray(cut, float) - np.asarray(picture.crop((16, 16, 48, 48)).resize((64, 64), Image.Resampling.LANCZOS))
        ).mean()
        < 3
    )
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    noisy = np.asarray(alter(grey, Alteration(noise=0.1, seed=3), "white"), dtype=float)
    assert noisy.std() == pytest.approx(25.5, rel=0.1) and noisy.mean() == pytest.approx(128, abs=1)
    darker = alter(picture, Alteration(colour=(0.5, 1, 1)), "white")
    assert np.asarray(darker).mean() == pytest.approx(np.asarray(picture).mean() / 2, abs=1)


def test_fitting() -> None:
    flag = Image.new("RGB", (90, 30), "red")
    flag.paste((0, 0, 255), (30, 0, 60, 30))
    assert fit_to(flag, (30, 30), "crop", "white").getcolors() == [(900, (0, 0, 255))], "the middle stays"
    padded = fit_to(flag, (30, 30), "pad", "#00ff00")
    assert padded.getpixel((0, 0)) == (0, 255, 0) and padded.getpixel((15, 15)) == (0, 0, 255)
    assert fit_to(flag, (45, 15), "inside", "white").size == (45, 15)
    assert fit_to(flag, None, "crop", "white") is flag
    circle = scene(1, (1999, 997))
    for target in ((512, 384), (333, 777)):
        assert fit_to(circle, target, "crop", "white").size == target


def test_pictures_are_kept_by_content_and_made_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene(1).save(tmp_path / "a.png")
    place, store = Place(str(tmp_path / "a.png")), tmp_path / "store"
    orders = [Order(place, "a", (32, 32), "crop"), Order(Place(str(tmp_path / "gone.png")), "b", None, "crop")]
    first, lost = make_pictures(orders, DecodeOptions(), store, "1")
    assert isinstance(first, Made) and (first.width, first.height) == (32, 32)
    assert isinstance(lost, str) and "cannot be read" in lost
    drawn: list[Order] = []
    make = making._make
    monkeypatch.setattr(making, "_make", lambda order, *rest: drawn.append(order) or make(order, *rest))
    assert make_pictures(orders[:1], DecodeOptions(), store, "1") == [first] and drawn == []
    path = store / stored_name(first.sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert make_pictures(orders[:1], DecodeOptions(), store, "1") == [first] and len(drawn) == 1
    assert Image.open(path).size == (32, 32), "a damaged one is made again"
    others = [
        (orders[0], DecodeOptions(background="red"), "1"),
        (orders[0], DecodeOptions(), "2"),
        (Order(place, "a", (16, 16), "crop"), DecodeOptions(), "1"),
        (Order(place, "changed", (32, 32), "crop"), DecodeOptions(), "1"),
        (Order(place, "a", (32, 32), "crop", Alteration(flip=True)), DecodeOptions(), "1"),
    ]
    for order, options, version in others:
        drawn.clear()
        make_pictures([order], options, store, version)
        assert len(drawn) == 1
