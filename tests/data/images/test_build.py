"""A build from end to end: counts that add up, nothing dropped silently, caches that hit, changes that re-run what they must."""

from __future__ import annotations

import importlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from PIL import Image

from studio.core.errors import DataError, StudioError, UserError
from studio.core.workspace import Workspace, read_dataset
from studio.data.images import build as build_module
from studio.data.images import crew as crew_module
from studio.data.images.crew import crew_of
from studio.data.images.decode import DecodeOptions, Place
from studio.data.images.look import Unusable
from studio.data.images.rows import open_image, read_image_split, read_removed_images
from tests.data.images.made_pictures import build, image_recipe, scene
from tests.data.images.test_decode import huge_png, saved

CLEAN = [
    {"step": "caption_repair"},
    {"step": "caption_empty"},
    {"step": "size", "min_side": 16},
    {"step": "exact_duplicates"},
    {"step": "near_duplicates"},
]


@pytest.fixture
def nasty_folder(own_pictures: Path) -> Path:
    """A folder as strangers' folders are."""
    (own_pictures / "empty.png").touch()
    (own_pictures / "text.png").write_text("I am a text.")
    (own_pictures / "bomb.png").write_bytes(huge_png(60_000, 60_000))
    (own_pictures / "cut.jpg").write_bytes(saved(scene(50), "JPEG")[:1500])
    (own_pictures / "dot.png").write_bytes(saved(Image.new("RGB", (1, 1))))
    (own_pictures / "thief.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/hostname" width="9" height="9"/></svg>'
    )
    (own_pictures / "film.mp4").write_bytes(b"no picture")
    (own_pictures / ".hidden.png").write_bytes(saved(scene(60)))
    shutil.copyfile(own_pictures / "scene-03.png", own_pictures / "zcopy.png")
    (own_pictures / "zsmall.jpg").write_bytes(saved(scene(4), "JPEG", quality=70))
    for name in ("empty", "text", "bomb", "cut", "dot", "thief", "zcopy", "zsmall"):
        (own_pictures / f"{name}.txt").write_text(f"caption of {name}")
    (own_pictures / "silent.png").write_bytes(saved(scene(70)))
    (own_pictures / "dangling.png").symlink_to(own_pictures / "nowhere.png")
    return own_pictures


def test_each_bad_file_is_one_line_and_the_rest_goes_on(nasty_folder: Path, workspace: Workspace) -> None:
    outcome = build(image_recipe(nasty_folder, CLEAN), workspace)
    record = outcome.record
    gone = {row.id.partition("/")[2]: (row.step, row.reason) for row in read_removed_images(outcome.folder)}
    assert gone == {
        "empty": ("read", "file is empty"),
        "text": ("read", "not a picture"),
        "bomb": ("read", "decompression bomb"),
        "cut": ("read", "damaged or cut off"),
        "thief": ("read", "SVG refers to something outside itself"),
        "dot": ("size", "too small"),
        "silent": ("caption_empty", "no caption"),
        "zcopy": ("exact_duplicates", "same pixels"),
        "zsmall": ("near_duplicates", "near duplicate"),
    }
    assert record.rows_read == 29 == sum(record.splits.values()) + record.rows_removed
    assert outcome.notes == ["read: files of own that are no pictures were left out: 1 .mp4"]
    removed = {row.id.partition("/")[2]: row for row in read_removed_images(outcome.folder)}
    assert removed["zcopy"].matched == "own/scene-03" and removed["zsmall"].matched == "own/scene-04"
    assert (removed["dot"].value, removed["dot"].threshold) == ("1 x 1 pixels", "shorter side at least 16")
    assert (removed["bomb"].caption, removed["bomb"].thumbnail) == ("caption of bomb", None)
    thumbnail = removed["zsmall"].thumbnail
    assert thumbnail is not None and max(Image.open(io.BytesIO(thumbnail)).size) == 96
    table = pandas.read_parquet(outcome.folder / "removed.parquet")
    assert set(table["step"]) == {"read", "size", "caption_empty", "exact_duplicates", "near_duplicates"}
    page = (outcome.folder / "report.html").read_text()
    for words in ("decompression bomb", "caption of zsmall", "data:image/jpeg;base64", "cannot be", "near duplicate"):
        assert words in page
    assert {row.caption for row in read_image_split(outcome.folder, "train")} <= {f"shapes number {n}" for n in range(20)}


def test_pictures_lie_as_plain_files_at_the_size_that_was_asked(own_pictures: Path, workspace: Workspace) -> None:
    outcome = build(image_recipe(own_pictures, [{"step": "resize", "size": 24}]), workspace)
    rows = [row for split in outcome.record.splits for row in read_image_split(outcome.folder, split)]
    files = sorted(path.relative_to(outcome.folder).as_posix() for path in (outcome.folder / "images").rglob("*.png"))
    assert files == sorted(row.image for row in rows) and len(files) == 20
    assert all(open_image(outcome.folder, row).size == (24, 24) == (row.width, row.height) for row in rows)
    extra = outcome.record.model_extra or {}
    assert extra["pictures"]["files"] == 20 and extra["rows_added"] == 0
    splits = {f"{split}.parquet" for split in outcome.record.splits}
    assert set(outcome.record.files) == {*splits, "removed.parquet", "report.html", "README.md"} and len(splits) == 3


def test_second_build_is_a_hit_and_a_change_reruns_from_there(
    own_pictures: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    make, look = build_module.make_image_step, build_module._look
    monkeypatch.setattr(build_module, "make_image_step", lambda settings: ran.append(settings.step) or make(settings))
    monkeypatch.setattr(build_module, "_look", lambda *rest: ran.append("look") or look(*rest))
    first = build(image_recipe(own_pictures, CLEAN), workspace)
    assert ran == ["look", *(step["step"] for step in CLEAN)] and not first.cached
    ran.clear()
    again = build(image_recipe(own_pictures, CLEAN), workspace)
    assert again.cached and again.folder == first.folder and ran == []
    changed = [*CLEAN[:3], {"step": "exact_duplicates", "of": "file"}, CLEAN[4]]
    other = build(image_recipe(own_pictures, changed), workspace)
    assert not other.cached and ran == ["exact_duplicates", "near_duplicates"] and other.reused == 4
    ran.clear()
    assert build(image_recipe(own_pictures, CLEAN, split={"validation": 3, "test": 2}), workspace).reused == 6 and ran == []
    (own_pictures / "scene-05.txt").write_text("a new caption")
    told = build(image_recipe(own_pictures, CLEAN), workspace)
    assert not told.cached and ran[0] == "look"
    assert "a new caption" in {row.caption for split in told.record.splits for row in read_image_split(told.folder, split)}
    ran.clear()
    scene(99).save(own_pictures / "scene-06.png")
    assert not build(image_recipe(own_pictures, CLEAN), workspace).cached and ran[0] == "look"


def test_where_a_folder_lies_does_not_matter_and_the_build_is_the_same_twice(own_pictures: Path, tmp_path: Path) -> None:
    steps = [*CLEAN, {"step": "resize", "size": 24}]
    train = [
        {"step": "augment", "copies": 2, "flip": True, "crop": 0.1, "noise": 0.02},
        {"step": "caption_dropout", "share": 0.5},
    ]
    moved = tmp_path / "elsewhere" / "own"
    shutil.copytree(own_pictures, moved)
    first = build(image_recipe(own_pictures, steps, train_steps=train), Workspace.open(tmp_path / "one"))
    second = build(image_recipe(moved, steps, train_steps=train), Workspace.open(tmp_path / "two"))
    assert first.record.fingerprint == second.record.fingerprint
    for split in first.record.splits:
        rows, others = read_image_split(first.folder, split), read_image_split(second.folder, split)
        assert rows == others


def test_training_rows_get_copies_and_lose_captions_others_do_not(own_pictures: Path, workspace: Workspace) -> None:
    train = [{"step": "augment", "copies": 2, "flip": True, "crop": 0.2}, {"step": "caption_dropout", "share": 0.4}]
    outcome = build(image_recipe(own_pictures, [{"step": "resize", "size": 24}], train_steps=train), workspace)
    rows = read_image_split(outcome.folder, "train")
    copies = [row for row in rows if "copy_of" in row.meta]
    record = outcome.record
    assert len(rows) == 48 and len(copies) == 32 and (record.model_extra or {})["rows_added"] == 32
    assert record.rows_read + 32 == sum(record.splits.values()) + record.rows_removed
    assert [(step.name, step.rows_in, step.rows_out) for step in record.steps[-2:]] == [
        ("augment", 16, 48),
        ("caption_dropout", 48, 48),
    ]
    assert len({row.id for row in rows}) == 48 and len({row.sha256 for row in rows}) == 48, "every copy differs"
    # The captions hold a number, so mirroring could lie; cropping is all that is done.
    assert all(set(row.meta["altered"]) == {"crop"} for row in copies)
    silent = [row for row in rows if not row.caption]
    assert 8 <= len(silent) <= 32 and all(row.meta["caption_before"].startswith("shapes number") for row in silent)
    assert "copies added" in (outcome.folder / "report.html").read_text()
    for split in ("validation", "test"):
        assert all(row.caption and not row.meta.get("copy_of") for row in read_image_split(outcome.folder, split))


def test_look_alikes_and_groups_never_straddle(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    lines = []
    for number in range(12):
        base = scene(number)
        base.save(folder / f"{number}-a.png")
        base.resize((120, 90)).save(folder / f"{number}-b.jpg", quality=80)  # the same picture again
        scene(1000 + number).save(folder / f"{number}-c.png")  # another one of the same group
        lines += [
            {"file_name": f"{number}-{part}", "text": f"{number} {part}", "film": number} for part in ("a.png", "b.jpg", "c.png")
        ]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with_groups = image_recipe(folder, source={"group": "film"}, split={"validation": 6, "test": 6, "seed": 3})
    for recipe, size in ((with_groups, 3), (image_recipe(folder, split={"validation": 6, "test": 6, "seed": 3}), 2)):
        outcome = build(recipe, workspace)
        assert (outcome.record.model_extra or {})["clusters"]["largest"] == size
        place = {row.id: split for split in outcome.record.splits for row in read_image_split(outcome.folder, split)}
        assert len(place) == 36
        for number in range(12):
            assert place[f"films/{number}-a"] == place[f"films/{number}-b"]
            if size == 3:
                assert place[f"films/{number}-a"] == place[f"films/{number}-c"]


def test_nothing_left_says_which_step_took_it(own_pictures: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="no row is left: the step 'size' removed 20 of 20"):
        build(image_recipe(own_pictures, [{"step": "size", "min_side": 500}]), workspace)
    with pytest.raises(DataError, match="leaves none for training"):
        build(image_recipe(own_pictures, split={"validation": 10, "test": 10}), workspace)
    with pytest.raises(UserError, match="cannot be the name of a dataset"):
        build(image_recipe(own_pictures), workspace, name="../out")
    assert workspace.list_datasets() == []


def test_a_lost_source_file_and_a_lost_cache_are_noticed(own_pictures: Path, workspace: Workspace) -> None:
    recipe = image_recipe(own_pictures, CLEAN)
    first = build(recipe, workspace)
    shutil.rmtree(workspace.datasets / ".pictures")
    shutil.rmtree(first.folder)
    again = build(recipe, workspace)
    assert again.reused == 6 and read_dataset(again.folder).splits == first.record.splits
    for row in read_image_split(again.folder, "train"):
        open_image(again.folder, row)


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_made(own_pictures: Path, small_disk: Path) -> None:
    workspace = Workspace.open(small_disk / "workspace")
    with pytest.raises(StudioError, match="the disk is full"):
        build(image_recipe(own_pictures, [{"step": "resize", "size": 64}]), workspace)
    assert workspace.list_datasets() == []
    assert not list(workspace.root.rglob(".*.png.*")), "no partial picture"


KILLER = """
import multiprocessing, os
from studio.data.images.look import look_at

def look(places, options):
    if multiprocessing.parent_process() is not None and any(place.path.endswith(("scene-13.png", WORST)) for place in places):
        os._exit(9)
    return look_at(places, options)
"""


@pytest.mark.parametrize(("worst", "reported"), [("scene-13.png", True), (".png", False)])
def test_a_picture_that_kills_its_process_costs_only_itself(
    worst: str, reported: bool, own_pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"killer_{reported}"
    (tmp_path / f"{module}.py").write_text(KILLER.replace("WORST", repr(worst)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(crew_module, "_WORTH_PICTURES", 1)
    monkeypatch.setattr(crew_module, "_CHUNK", 8)
    monkeypatch.setattr(crew_module, "look_at", importlib.import_module(module).look)
    places = [Place(str(path)) for path in sorted(own_pictures.glob("*.png"))]
    with crew_of(DecodeOptions(), 2) as crew:
        if not reported:
            with pytest.raises(StudioError, match="processes that open pictures keep ending"):
                crew.look(places)
            return
        looks = crew.look(places)
    bad = [place.path for place, look in zip(places, looks, strict=True) if isinstance(look, Unusable)]
    assert [Path(path).name for path in bad] == ["scene-13.png"]


def test_several_processes_see_what_one_sees(own_pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Place(str(path)) for path in sorted(own_pictures.glob("*.png"))]
    with crew_of(DecodeOptions(), 1) as crew:
        alone = crew.look(places)
    monkeypatch.setattr(crew_module, "_WORTH_PICTURES", 1)
    monkeypatch.setattr(crew_module, "_CHUNK", 7)
    with crew_of(DecodeOptions(), 2) as crew:
        assert crew.look(places) == alone


def test_command_line(nasty_folder: Path, workspace: Workspace, tmp_path: Path, studio: Callable[..., object]) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"kind: image\nsources:\n  - {{type: local, path: {nasty_folder}, licence: own data}}\n"
        "steps:\n  - step: caption_empty\nsplit: {validation: 2, test: 2}\n"
    )
    space = ("--workspace", workspace.root)
    done = studio("data", "build", recipe, *space)
    assert done.code == 0 and "report.html" in done.out and "29 read, 6 removed" in done.out, done.err  # type: ignore[attr-defined]
    shown = studio("data", "show", "mine", *space)
    assert shown.code == 0 and "shapes number" in shown.out and "contact sheet" in shown.out  # type: ignore[attr-defined]
    removed = studio("data", "show", "mine", "--removed", "--json", *space)
    assert {row["reason"] for row in removed.json} >= {"decompression bomb", "no caption"}  # type: ignore[attr-defined]
    one = studio("data", "show", "mine", "--row", 1, "--json", *space).json[0]  # type: ignore[attr-defined]
    assert Path(one["path"]).is_file() and one["row"] == 1
    for arguments, words in (
        (["--tokens"], "holds pictures; --tokens is for conversations"),
        (["--split", "tset"], "Did you mean 'test'?"),
        (["--page", "9"], "there is no page 9: the last one is 1"),
        (["--id", "nasty"], "there is no row 'nasty' here"),
    ):
        wrong = studio("data", "show", "mine", *arguments, *space)
        assert wrong.code == 2 and words in wrong.err and "Traceback" not in wrong.err  # type: ignore[attr-defined]
    listed = studio("data", "list", *space)
    assert "image" in listed.out and "mine" in listed.out  # type: ignore[attr-defined]
    wrong = studio("data", "build", recipe, "--set", "steps.0.step=caption_empy", *space)
    assert wrong.code == 2 and "Did you mean 'caption_empty'?" in wrong.err  # type: ignore[attr-defined]
