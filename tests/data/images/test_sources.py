"""Where pictures and captions come from."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pandas
import pytest

from studio.core.errors import DataError, StudioError, UserError
from studio.core.workspace import Workspace
from studio.data.images.emoji_names import make_table, name_of, subgroup_of, without_skin_tone
from studio.data.images.rows import ImageRow, read_image_split, read_removed_images
from tests.data.images.made_pictures import build, image_recipe, scene

SMALL = {"validation": 1, "test": 1}


def rows_of(folder: Path) -> dict[str, ImageRow]:
    """All rows of a Dataset by id without the source's name."""
    splits = [path.stem for path in folder.glob("*.parquet") if path.stem != "removed"]
    return {row.id.partition("/")[2]: row for split in splits for row in read_image_split(folder, split)}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Pictures in two folders, without a word."""
    for number in range(6):
        folder = tmp_path / "shelf" / ("red_things" if number % 2 else "blue_things")
        folder.mkdir(parents=True, exist_ok=True)
        scene(number).save(folder / f"big_box-{number}.png")
    return tmp_path / "shelf"


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata_of_an_image_folder(shelf: Path, workspace: Workspace, kind: str) -> None:
    rows = [
        {
            "file_name": f"blue_things/big_box-{number}.png",
            "text": f"box «{number}»",
            "label": "box",
            "artist": "me",
            "year": 1900,
        }
        for number in (0, 2, 4)
    ]
    rows += [{"file_name": "red_things/gone.png", "text": "nobody", "label": "box", "artist": "me", "year": 1900}]
    rows += [{"file_name": "../outside.png", "text": "a thief", "label": "box", "artist": "me", "year": 1900}]
    scene(100).save(shelf.parent / "outside.png")
    path = shelf / f"metadata.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pandas.DataFrame(rows).to_parquet(path)
    nested = shelf / "red_things" / "metadata.jsonl"
    nested.write_text(json.dumps({"file_name": "big_box-1.png", "caption": "nested"}) + "\n")
    (shelf / "red_things" / "big_box-3.txt").write_text("\ufeffa side-car\n", encoding="utf-8")
    outcome = build(image_recipe(shelf, split=SMALL, source={"group": None}), workspace)
    found = rows_of(outcome.folder)
    assert {key: row.caption.strip() for key, row in found.items()} == {
        "blue_things/big_box-0": "box «0»",
        "blue_things/big_box-2": "box «2»",
        "blue_things/big_box-4": "box «4»",
        "red_things/big_box-1": "nested",
        "red_things/big_box-3": "a side-car",
        "red_things/big_box-5": "",
    }
    box = found["blue_things/big_box-2"]
    assert box.label == "box" and box.meta["artist"] == "me" and str(box.meta["year"]) == "1900"
    gone = read_removed_images(outcome.folder)
    assert [(row.file, row.reason, row.caption) for row in gone] == [
        ("red_things/gone.png", "announced, but not there", "nobody"),
        ("../outside.png", "announced, but not there", "a thief"),
    ]
    assert "metadata." in (gone[0].value or "")


@pytest.mark.parametrize(
    ("captions", "expected"),
    [("file_name", "big box 3"), ("folder", "red things"), ("none", ""), ("sidecar", "beside"), ("metadata", "")],
)
def test_other_places_of_captions(shelf: Path, workspace: Workspace, captions: str, expected: str) -> None:
    (shelf / "red_things" / "big_box-3.txt").write_text("beside")
    source = {"captions": captions, "label": "folder", "group": "folder"}
    recipe = image_recipe(shelf, split={"validation": 0, "test": 0}, source=source)
    found = rows_of(build(recipe, workspace).folder)
    row = found["red_things/big_box-3"]
    assert (row.caption, row.label, row.group) == (expected, "red_things", "red_things")


def test_what_belongs_to_a_corpus_is_chosen(shelf: Path, workspace: Workspace) -> None:
    source = {"captions": "file_name", "label": "folder"}
    only = build(image_recipe(shelf, split={"validation": 0, "test": 1}, source={**source, "labels": ["blue*"]}), workspace)
    assert only.record.rows_read == 3 and only.record.rows_removed == 0
    named = {**source, "only": ["Big box 3", "big box 5"]}
    assert build(image_recipe(shelf, split={"validation": 0, "test": 1}, source=named), workspace).record.rows_read == 2
    rest = {**source, "exclude": ["blue*", "*-1.png"]}
    assert set(rows_of(build(image_recipe(shelf, split={"validation": 0, "test": 1}, source=rest), workspace).folder)) == {
        "red_things/big_box-3",
        "red_things/big_box-5",
    }
    assert build(image_recipe(shelf, split=SMALL, source={"limit": 4}), workspace).record.rows_read == 4
    with pytest.raises(DataError, match="holds no pictures with labels green"):
        build(image_recipe(shelf, source={**source, "labels": ["green"]}), workspace)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metadata.jsonl", '{"file_name": "a.png"}\n{"file_name": \n', "metadata.jsonl: line 2 is not JSON"),
        ("metadata.jsonl", '["a.png"]\n', "line 1 is no JSON object"),
        ("metadata.csv", "name,text\na.png,hello\n", "line 2 has no 'file_name'"),
        ("metadata.parquet", "no parquet", "is not a readable parquet file"),
    ],
)
def test_damaged_metadata_is_one_sentence(shelf: Path, workspace: Workspace, name: str, text: str, words: str) -> None:
    (shelf / name).write_text(text)
    with pytest.raises(DataError, match=words):
        build(image_recipe(shelf), workspace)


def test_mistakes_about_the_place(shelf: Path, tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        build(image_recipe(tmp_path / "nowhere"), workspace)
    with pytest.raises(DataError, match="is a file; a source of pictures is a folder"):
        build(image_recipe(shelf / "red_things" / "big_box-1.png"), workspace)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").write_text("hello")
    with pytest.raises(DataError, match=r"holds no pictures \(but 1 .md\)"):
        build(image_recipe(tmp_path / "texts"), workspace)
    (shelf / "metadata.jsonl").write_text('{"file_name": "red_things/big_box-1.png", "words": "x"}\n')
    with pytest.raises(DataError, match="there is no column 'word' for 'caption'. Did you mean 'words'"):
        build(image_recipe(shelf, source={"caption": "word"}), workspace)


def hub_copy(folder: Path, rows: list[dict[str, object]]) -> Path:
    """A local copy of a Hub repository with one parquet file."""
    import datasets

    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["circle", "square"]),
            "artist": datasets.Value("string"),
        }
    )
    (folder / "data").mkdir(parents=True)
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return folder


def png(number: int) -> bytes:
    stream = io.BytesIO()
    scene(number).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("streaming", [False, True])
def test_hub_dataset(tmp_path: Path, workspace: Workspace, streaming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows: list[dict[str, object]] = [
        {"picture": {"bytes": png(number), "path": f"{number}.png"}, "text": f"no. {number}", "label": number % 2, "artist": "a"}
        for number in range(6)
    ]
    secret = tmp_path / "secret.png"
    scene(77).save(secret)
    rows += [{"picture": {"bytes": b"cut", "path": "x.png"}, "text": "damaged", "label": 0, "artist": "a"}]
    copy = hub_copy(tmp_path / "repository", rows)
    source = {"type": "hub", "id": str(copy), "revision": "main", "streaming": streaming, "licence": "MIT", "group": "artist"}
    value: dict[str, object] = {"kind": "image", "sources": [source], "split": {"validation": 0, "test": 0}}
    from studio.schema.image_recipe import ImageRecipe
    from studio.schema.loading import validate

    outcome = build(validate(value, ImageRecipe), workspace)
    found = rows_of(outcome.folder)
    assert {key: (row.caption, row.label, row.group) for key, row in found.items()} == {
        str(number + 1): (f"no. {number}", ("circle", "square")[number % 2], "a") for number in range(6)
    }
    assert [(row.id, row.reason) for row in read_removed_images(outcome.folder)] == [("repository/7", "not a picture")]
    assert outcome.record.sources[0].licence == "MIT" and outcome.record.sources[0].kind == "hub"
    # What was kept of the Hub may be pruned; it is read again.
    shutil.rmtree(workspace.datasets / ".originals")
    shutil.rmtree(workspace.datasets / ".pictures")
    value["steps"] = [{"step": "resize", "size": 16}]
    again = build(validate(value, ImageRecipe), workspace)
    assert again.reused == 0 and again.record.splits == outcome.record.splits
    source["image"] = "pictur"
    with pytest.raises(UserError, match="has no column 'pictur'. Did you mean 'picture'"):
        build(validate(value, ImageRecipe), workspace)


def test_a_hub_row_cannot_name_a_file_of_this_machine(tmp_path: Path) -> None:
    from studio.data.hub import HubTable
    from studio.data.images.sources import _bytes_of

    secret = tmp_path / "secret.png"
    scene(77).save(secret)
    (tmp_path / "copy").mkdir()
    table = HubTable(str(tmp_path / "copy"), "main")
    assert _bytes_of({"bytes": None, "path": str(secret)}, table) is None
    assert _bytes_of({"bytes": None, "path": str(tmp_path / "copy" / ".." / "secret.png")}, table) is None
    scene(78).save(tmp_path / "copy" / "mine.png")
    assert (
        _bytes_of({"bytes": None, "path": str(tmp_path / "copy" / "mine.png")}, table)
        == (tmp_path / "copy/mine.png").read_bytes()
    )


def test_no_network_is_one_sentence(workspace: Workspace) -> None:
    from studio.schema.image_recipe import ImageRecipe
    from studio.schema.loading import validate

    source = {"type": "hub", "id": "nobody/nothing", "revision": "main", "licence": "?"}
    with pytest.raises(StudioError, match="'nobody/nothing' is not in the cache and the network is off"):
        build(validate({"kind": "image", "sources": [source]}, ImageRecipe), workspace)


def test_unicode_names() -> None:
    assert (name_of("1F34E"), subgroup_of("1F34E")) == ("red apple", "food-fruit")
    assert (name_of("1F44B-1F3FD"), without_skin_tone("1F44B-1F3FD")) == ("waving hand medium skin tone", "1F44B")
    assert (name_of("2764-FE0F"), name_of("2764"), subgroup_of("2764-FE0F")) == ("red heart", "red heart", "heart")
    assert (name_of("E000"), name_of("cat"), subgroup_of("cat"), without_skin_tone("cat")) == (None, None, None, "cat")
    text = (
        "# Version: 99\n# subgroup: pets\n1F408 ; fully-qualified # x\n1F44B 1F3FB ; fully-qualified # y\n1F5E8 ; unqualified\n"
    )
    assert make_table(text).splitlines()[2:] == ["pets\t1F408 1F44B"] and "99" in make_table(text)
