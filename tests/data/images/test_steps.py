"""Each step for pictures: what it drops, what it changes, what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFilter

from studio.core.errors import ConfigError
from studio.data.chat.steps.base import Drop
from studio.data.images.decode import Place
from studio.data.images.look import Picture
from studio.data.images.similarity import NearImages
from studio.data.images.steps import IMAGE_STEPS
from studio.data.images.steps.geometry import bucket_shapes, nearest_shape
from tests.data.images.made_pictures import blurred, image_recipe, scene, seen


def said(caption: str, number: int = 0, label: str | None = None) -> Picture:
    return Picture(f"t/{number}", "t", Place("/nowhere.png"), caption, label)


def judge(step: str, pictures: list[Picture], **settings: Any) -> list[Picture | Drop]:
    return IMAGE_STEPS.get(step)(**settings).judge_all(pictures)


def caption(verdict: Picture | Drop) -> str:
    assert isinstance(verdict, Picture), verdict
    return verdict.caption


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("cafÃ© au lait", "café au lait"),
        (" a \n red\t ball ", "a red ball"),
        ("tom &amp; jerry", "tom & jerry"),
        ("cat, sofa, Cat,, window", "cat, sofa, window"),
        ("a plain caption, on paper", "a plain caption, on paper"),
        ("1,000 birds, 1,000 trees", "1,000 birds, 1,000 trees"),
    ],
)
def test_caption_repair(given: str, expected: str) -> None:
    picture = said(given)
    (verdict,) = judge("caption_repair", [picture])
    assert caption(verdict) == expected and (verdict is picture) == (given == expected)
    assert caption(judge("caption_repair", [said("A Cat, a Cat")], lowercase=True, repeated_tags=False)[0]) == "a cat, a cat"


def test_caption_empty() -> None:
    pictures = [said(" "), said("IMG", 1), said("a dog", 2), said("", 3, "dog")]
    first, second, third, fourth = judge("caption_empty", pictures, placeholders=["img"])
    assert isinstance(first, Drop) and first.reason == "no caption"
    assert isinstance(second, Drop) and (second.reason, second.value) == ("placeholder instead of a caption", "'IMG'")
    assert third is pictures[2] and isinstance(fourth, Drop)
    filled = judge("caption_empty", pictures, fill="a photo of a {label}", placeholders=["img"])
    assert caption(filled[3]) == "a photo of a dog" and isinstance(filled[0], Drop), "no label, nothing to fill in"
    assert caption(judge("caption_empty", pictures, fill="a photo")[0]) == "a photo"


def test_caption_length() -> None:
    long = "one two three, four five"
    (dropped,) = judge("caption_length", [said(long)], max=3)
    assert isinstance(dropped, Drop) and (dropped.reason, dropped.value, dropped.threshold) == (
        "caption too long",
        "5 words",
        "at most 3",
    )
    assert caption(judge("caption_length", [said(long)], max=3, action="cut")[0]) == "one two three"
    (short,) = judge("caption_length", [said("one")], min=2)
    assert isinstance(short, Drop) and short.reason == "caption too short"
    assert judge("caption_length", [said("")], min=0)[0].caption == ""  # type: ignore[union-attr]


def test_caption_duplicates_and_trigger_word() -> None:
    pictures = [
        said("Stock photo", 0),
        said("a cat", 1),
        said("stock  photo", 2),
        said("stock photo", 3),
        said("", 4),
        said("", 5),
    ]
    verdicts = judge("caption_duplicates", pictures, max=2)
    assert [isinstance(verdict, Drop) for verdict in verdicts] == [False, False, False, True, False, False]
    assert isinstance(verdicts[3], Drop) and verdicts[3].matched == "t/0"
    assert caption(judge("trigger_word", [said("a cat")], word="zkz")[0]) == "zkz, a cat"
    assert (
        caption(judge("trigger_word", [said("a cat")], word="in zkz style", position="end", separator=" ")[0])
        == "a cat in zkz style"
    )
    picture = said("a ZKZ cat")
    assert judge("trigger_word", [picture], word="zkz")[0] is picture
    assert caption(judge("trigger_word", [said("")], word="zkz")[0]) == "zkz"


def test_exact_duplicates_by_pixels_and_by_file(tmp_path: Path) -> None:
    (first,) = seen(tmp_path, {"a": scene(1)})
    scene(1).save(tmp_path / "b.png", compress_level=0)
    again = replace(seen(tmp_path / "other", {"b": scene(1)})[0], file_hash="other bytes")
    (other,) = seen(tmp_path, {"c": scene(2)})
    verdicts = judge("exact_duplicates", [first, again, other])
    assert isinstance(verdicts[1], Drop) and verdicts[1].matched == "a" and verdicts[0] is first and verdicts[2] is other
    assert judge("exact_duplicates", [first, again, other], of="file") == [first, again, other]


def test_near_duplicates_are_found_and_colours_tell_lookalikes_apart(tmp_path: Path) -> None:
    base = scene(5, (200, 150))
    heart = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(heart).ellipse((12, 12, 52, 52), fill="red", outline="black", width=3)
    blue = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(blue).ellipse((12, 12, 52, 52), fill="blue", outline="black", width=3)
    pictures = seen(
        tmp_path,
        {
            "base": base,
            "smaller": base.resize((90, 68), Image.Resampling.LANCZOS),
            "softer": base.filter(ImageFilter.GaussianBlur(0.7)),
            "other": scene(6, (200, 150)),
            "red": heart,
            "blue": blue,
        },
    )
    verdicts = judge("near_duplicates", pictures)
    assert [isinstance(verdict, Drop) for verdict in verdicts] == [False, True, True, False, False, False]
    assert all(verdict.matched == "base" for verdict in verdicts if isinstance(verdict, Drop))
    assert isinstance(verdicts[1], Drop) and "bits" in (verdicts[1].value or "") and "colour" in (verdicts[1].value or "")
    # Whatever the order, the one with most pixels stays.
    turned = judge("near_duplicates", [pictures[1], pictures[0]])
    assert isinstance(turned[0], Drop) and turned[1] is pictures[0]
    # By its shape alone the blue one is the red one.
    assert isinstance(judge("near_duplicates", pictures, difference=1.0)[5], Drop)


def test_a_film_is_not_folded_into_one_frame_and_the_cap_is_told() -> None:
    # Frame n differs from frame n + 1 by one bit: likeness must not be passed on.
    film = [replace(said("", number), phash=f"{(1 << number) - 1:016x}", colours="00" * 768) for number in range(16)]
    step = IMAGE_STEPS.get("near_duplicates")(distance=3)
    verdicts = step.judge_all(film)
    assert [index for index, verdict in enumerate(verdicts) if not isinstance(verdict, Drop)] == [0, 4, 8, 12]
    same = [replace(said("", number), phash="0" * 16, colours="00" * 768) for number in range(6)]
    capped = IMAGE_STEPS.get("near_duplicates")(max_cluster=3)
    assert [isinstance(verdict, Drop) for verdict in capped.judge_all(same)] == [False, True, True, False, False, False]
    assert "3 pictures resembling one" in capped.notes[0] and not step.notes


def test_blocks_find_the_pairs_that_a_plain_comparison_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    chance = random.Random(0)
    pictures = [
        replace(said("", number), phash=f"{chance.getrandbits(6):016x}", colours=f"{chance.randrange(4):02x}" * 768)
        for number in range(60)
    ]
    expected = [
        (index, other)
        for index in range(60)
        for other in range(index)
        if (int(pictures[index].phash, 16) ^ int(pictures[other].phash, 16)).bit_count() <= 1
        and abs(int(pictures[index].colours[:2], 16) - int(pictures[other].colours[:2], 16)) / 255 <= 0.005
    ]
    monkeypatch.setattr("studio.data.images.similarity._BLOCK", 7)
    found = [(index, other) for index, near in NearImages(pictures, 1, 0.005).earlier() for other, _, _ in near]
    assert found == expected and len(found) > 20


def test_quality(tmp_path: Path) -> None:
    pictures = seen(
        tmp_path,
        {
            "good": scene(8),
            "soft": blurred(8),
            "night": Image.new("RGB", (64, 64), (8, 8, 12)),
            "snow": Image.new("RGB", (64, 64), (254, 255, 254)),
        },
    )
    good, soft, night, snow = pictures
    assert judge("blur", [good])[0] is good
    (verdict,) = judge("blur", [soft])
    assert isinstance(verdict, Drop) and verdict.reason == "blurred" and verdict.threshold == "at least 0.29"
    reasons = [getattr(verdict, "reason", None) for verdict in judge("brightness", pictures)]
    assert reasons == [None, None, "too dark", "too light"]
    reasons = [getattr(verdict, "reason", None) for verdict in judge("low_information", pictures)]
    assert reasons[0] is None and reasons[2:] == ["low information", "low information"]
    assert judge("blur", [soft], min_score=0.0) == [soft]
    assert night.scores["dark"] < good.scores["dark"] and snow.scores["light"] < good.scores["light"]


def test_scores_are_those_of_cleanvision_itself(tmp_path: Path) -> None:
    from cleanvision import Imagelab

    pictures = seen(tmp_path, {"sharp": scene(1), "soft": blurred(2), "night": Image.new("RGB", (64, 64), (8, 8, 12))})
    lab = Imagelab(data_path=str(tmp_path))
    lab.find_issues({"blurry": {}, "dark": {}, "light": {}, "low_information": {}}, n_jobs=1, verbose=False)
    names = {"blur": "blurry", "dark": "dark", "light": "light", "information": "low_information"}
    for picture in pictures:
        row = lab.issues.loc[picture.place.path]
        for ours, theirs in names.items():
            assert picture.scores[ours] == pytest.approx(row[f"{theirs}_score"], abs=1e-6)


def sized(width: int, height: int, number: int = 0) -> Picture:
    return replace(said("", number), width=width, height=height)


def test_size_and_aspect() -> None:
    assert judge("size", [sized(64, 48)], min_side=48, max_side=64, min_pixels=64 * 48)[0] == sized(64, 48)
    for settings, reason in (
        ({"min_side": 49}, "too small"),
        ({"max_side": 63}, "too large"),
        ({"min_pixels": 3073}, "too small"),
    ):
        (verdict,) = judge("size", [sized(64, 48)], **settings)
        assert isinstance(verdict, Drop) and verdict.reason == reason and "64 x 48" in (verdict.value or "")
    wide, tall = judge("aspect", [sized(310, 100), sized(100, 300)], max_ratio=3)
    assert isinstance(wide, Drop) and "3.10 to 1" in (wide.value or "") and isinstance(tall, Picture)


def test_resize_keeps_the_shape_or_not() -> None:
    crop = IMAGE_STEPS.get("resize")(size=64)
    assert [verdict.target for verdict in crop.judge_all([sized(100, 50), sized(30, 30)])] == [(64, 64), (64, 64)]
    assert "1 picture with fewer pixels" in crop.notes[0]
    inside = judge("resize", [sized(100, 50), sized(30, 20)], size=64, fit="inside")
    assert [verdict.target for verdict in inside if isinstance(verdict, Picture)] == [(64, 32), (30, 20)]


def test_bucket_shapes_are_multiples_of_about_equal_area() -> None:
    shapes = bucket_shapes(512, 64, 2.0)
    assert (512, 512) in shapes and (384, 640) in shapes and (640, 384) in shapes
    assert all(width % 64 == height % 64 == 0 and width * height <= 512 * 512 for width, height in shapes)
    assert all(max(shape) / min(shape) <= 2 for shape in shapes)
    assert nearest_shape(sized(4000, 3000), shapes) == (576, 448)
    assert nearest_shape(sized(9000, 100), shapes) == max(shapes, key=lambda shape: shape[0] / shape[1])


def test_a_rare_bucket_is_merged_never_dropped() -> None:
    pictures = [sized(800, 800, number) for number in range(6)] + [sized(900, 600, 10 + number) for number in range(4)]
    pictures += [sized(600, 1000, 20)]
    step = IMAGE_STEPS.get("buckets")(size=512, min_rows=3)
    verdicts = step.judge_all(pictures)
    assert all(isinstance(verdict, Picture) for verdict in verdicts) and len(verdicts) == 11
    assert {verdict.bucket for verdict in verdicts} == {"512x512", "640x384"}
    assert verdicts[10].bucket == "512x512" and verdicts[10].target == (512, 512)
    assert step.notes == ("bucket 384x640 had 1 picture and was merged into its neighbours",)
    kept = IMAGE_STEPS.get("buckets")(size=512, min_rows=1)
    assert kept.judge_all(pictures)[10].bucket == "384x640" and kept.notes == ()
    all_rare = IMAGE_STEPS.get("buckets")(size=512, min_rows=50)
    assert {verdict.bucket for verdict in all_rare.judge_all(pictures)} == {"512x512"}
    small = IMAGE_STEPS.get("buckets")(size=512)
    assert "enlarged" in [small.judge_all([sized(100, 100)]), small.notes][1][0]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"step": "resize", "size": 64}, {"step": "buckets"}], "two steps set the size of the pictures"),
        ([{"step": "buckets", "size": 500}], "500 is no multiple of 64"),
        ([{"step": "size"}], "it limits nothing"),
        ([{"step": "size", "min_side": 9, "max_side": 8}], "min_side 9 is above max_side 8"),
        ([{"step": "blur", "min_score": 3}], "less than or equal to 1"),
        ([{"step": "blurr"}], "Did you mean 'blur'"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(steps: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        image_recipe("x", steps)
    with pytest.raises(ConfigError, match="is no colour"):
        image_recipe("x", decoding={"background": "whit"})
    with pytest.raises(ConfigError, match="it alters nothing"):
        image_recipe("x", train_steps=[{"step": "augment"}])
