"""Label Studio's JSON, COCO's JSON and csv: what is written, what is read, and what cannot be used, told in a sentence."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from studio.core.workspace import Workspace
from studio.data.annotations.base import Annotation, Item, Suggestion, all_items
from studio.data.annotations.derive import read_annotations
from studio.data.annotations.matching import Names
from studio.data.annotations.reading import read_annotation_file
from studio.data.boxes import Box
from studio.data.chat.rows import read_split
from studio.data.images.rows import read_image_split
from tests.conftest import write_doors


@pytest.fixture
def doors(tmp_path: Path, studio: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.chdir(tmp_path)
    write_doors(tmp_path / "recipes")
    assert studio("data", "build", tmp_path / "recipes" / "doors.yaml").code == 0
    return Workspace.open()


@pytest.fixture
def pictures(image_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.chdir(tmp_path)
    return image_dataset


def labelled(task: dict[str, Any], who: Any, label: str, text: str | None = None, **more: Any) -> None:
    """What Label Studio adds to a task when somebody submits."""
    results: list[dict[str, Any]] = [{"from_name": "label", "to_name": "item", "type": "choices", "value": {"choices": [label]}}]
    if text is not None:
        results.append({"from_name": "text", "to_name": "item", "type": "textarea", "value": {"text": [text]}})
    said = {"completed_by": who, "result": results, "was_cancelled": False, "updated_at": "2026-02-01T10:00:00.000Z", **more}
    task["annotations"].append(said)


def test_conversations_go_to_label_studio_and_come_back_as_a_new_dataset(
    doors: Workspace, tmp_path: Path, studio: Callable[..., Any]
) -> None:
    assert "--labels" in studio("annotate", "export", "doors", "tasks.json").err
    assert studio("annotate", "export", "doors", "tasks.json", "--labels", "clear,vague").code == 0
    tasks = json.loads(Path("tasks.json").read_text())
    assert len(tasks) == 40 and tasks[0]["data"]["dialogue"][0]["author"] == "user"
    view = ElementTree.parse("tasks.xml").getroot()
    assert [choice.get("value") for choice in view.iter("Choice")] == ["clear", "vague"]
    controls = {part.get("name") for part in view if part.get("name")}
    assert controls == {"item", "label", "text"}
    for task in tasks[:3]:
        labelled(task, {"id": 1, "email": "anna@example.org"}, "clear")
        labelled(task, 2, "clear")
    labelled(tasks[3], {"first_name": "Ben", "last_name": "Ode"}, "vague", "A better answer.")
    labelled(tasks[4], 1, "clear", was_cancelled=True)
    tasks[5]["annotations"].append({"result": [{"from_name": "who", "type": "taxonomy", "value": {"taxonomy": [["a"]]}}]})
    tasks[6]["data"]["studio_id"] = "elsewhere/1"
    Path("done.json").write_text(json.dumps(tasks))
    done = studio("annotate", "import", "done.json", "--data", "doors")
    assert done.code == 0 and "doors-annotated" in done.out
    for reason in ("skipped by the annotator", "results of type taxonomy (control who)", "whose row the dataset does not have"):
        assert reason in done.err
    folder = doors.find_dataset("doors-annotated")
    assert {said.by for said in read_annotations(folder)} == {"anna@example.org", "user 2", "Ben Ode"}
    rows = {row.id: row for split in ("train", "validation", "test") for row in read_split(folder, split)}
    assert rows[tasks[3]["data"]["studio_id"]].messages[-1]["content"] == "A better answer."
    assert sum("annotation" in row.meta for row in rows.values()) == 4
    told = studio("annotate", "agreement", "doors-annotated", "--json")
    [alpha] = [one for one in json.loads(told.out)["coefficients"] if one["measure"] == "krippendorff"]
    assert alpha["value"] is None and alpha["same"] == 1


def test_suggestions_are_confirmed_or_changed_and_those_alone_are_left_out(
    doors: Workspace, tmp_path: Path, studio: Callable[..., Any]
) -> None:
    studio("annotate", "export", "doors", "tasks.json", "--labels", "clear,vague")
    tasks = json.loads(Path("tasks.json").read_text())
    for task in tasks[:3]:
        value = {"from_name": "label", "to_name": "item", "type": "choices", "value": {"choices": ["clear"]}}
        task["predictions"] = [{"model_version": "judge-1", "score": 0.75, "result": [value]}]
    labelled(tasks[0], 1, "clear")
    labelled(tasks[1], 1, "vague")
    Path("done.json").write_text(json.dumps(tasks))
    done = studio("annotate", "import", "done.json", "--data", "doors", "--json")
    assert json.loads(done.out)["left_out"] == {"only suggested, and confirmed by nobody": 1}
    said = {one.row: one for one in read_annotations(doors.find_dataset("doors-annotated"))}
    rows = [task["data"]["studio_id"] for task in tasks[:3]]
    assert [said[row].status for row in rows] == ["confirmed", "changed", "suggested"]
    assert said[rows[1]].suggestion == Suggestion("clear", "judge-1", 0.75)
    done = studio("annotate", "import", "done.json", "--data", "doors", "--suggestions", "--name", "all")
    assert done.code == 0
    kept = {one.id: one for split in ("train", "validation", "test") for one in read_split(doors.find_dataset("all"), split)}
    assert kept[rows[2]].meta["annotation_status"] == "suggested" and kept[rows[2]].meta["annotated_by"] == ["judge-1"]


def test_a_csv_is_filled_in_by_two_and_the_rows_they_disagree_on_are_listed(
    doors: Workspace, tmp_path: Path, studio: Callable[..., Any]
) -> None:
    assert studio("annotate", "export", "doors", "rows.csv", "--split", "train").code == 0
    assert studio("annotate", "export", "doors", "rows.csv").err.count("nothing is written over") == 1
    lines = list(csv.DictReader(io.StringIO(Path("rows.csv").read_text())))
    assert len(lines) == 30 and "user: " in lines[0]["conversation"]
    filled = []
    for number, line in enumerate(lines[:12]):
        for who in ("anna", "ben"):
            label = "vague" if number == 5 or (number, who) == (7, "ben") else "clear"
            filled.append({**line, "annotation": label, "annotator": who, "annotated_at": "2026-02-01"})
    with Path("done.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(filled)
    told = studio("annotate", "agreement", "doors", "done.csv")
    assert "Cohen's kappa" in told.out and "anna and ben" in told.out
    assert f"third opinion: 1 ({lines[7]['studio_id']})" in told.out
    done = studio("annotate", "import", "done.csv", "--data", "doors")
    assert lines[7]["studio_id"] in done.err and "11" in done.out
    assert studio("annotate", "agreement", "doors-annotated").out.splitlines()[-1] == told.out.splitlines()[-1]


def test_boxes_of_label_studio_are_pixels_in_the_rows_of_pictures(pictures: Path, studio: Callable[..., Any]) -> None:
    assert studio("annotate", "export", pictures, "tasks.json").code == 0
    tasks = json.loads(Path("tasks.json").read_text())
    head, data = tasks[0]["data"]["image"].split(",")
    assert head == "data:image/png;base64" and Image.open(io.BytesIO(base64.b64decode(data))).size == (32, 32)
    value = {"x": 25, "y": 50, "width": 50, "height": 25, "rotation": 0, "rectanglelabels": ["leaf"]}
    results = [
        {"from_name": "boxes", "to_name": "item", "type": "rectanglelabels", "value": value, "original_width": 32},
        {"from_name": "boxes", "to_name": "item", "type": "rectanglelabels", "value": {**value, "rotation": 30}},
        {"from_name": "boxes", "to_name": "item", "type": "rectanglelabels", "value": {**value, "x": 80}},
    ]
    tasks[0]["annotations"].append({"completed_by": 1, "result": results})
    Path("done.json").write_text(json.dumps(tasks))
    done = studio("annotate", "import", "done.json", "--data", pictures, "--name", "boxed")
    assert "rotated rectangles" in done.err and "outside their picture" in done.err
    folder = Workspace.open().find_dataset("boxed")
    row = next(row for row in read_image_split(folder, "train") if "boxes" in row.meta)
    assert row.id == tasks[0]["data"]["studio_id"]
    assert row.meta["boxes"] == [{"label": "leaf", "x": 8, "y": 16, "width": 16, "height": 8}]
    assert studio("annotate", "export", "boxed", "again.json", "--pictures-at", "/data/local-files/?d=").code == 0
    [again] = [task for task in json.loads(Path("again.json").read_text()) if task["data"]["studio_id"] == row.id]
    assert again["data"]["image"] == f"/data/local-files/?d={row.image}"
    assert again["annotations"][0]["result"][0]["value"]["x"] == 25 and again["annotations"][0]["studio_annotator"] == "user 1"


def test_boxes_of_coco_find_their_pictures_by_name_and_are_scaled(pictures: Path, studio: Callable[..., Any]) -> None:
    items = all_items(pictures)
    item = next(iter(items.values()))
    coco = {
        "images": [
            {"id": 7, "file_name": f"photos/{item.names[0].rpartition('/')[2]}", "width": 320, "height": 320},
            {"id": 8, "file_name": "nowhere.png", "width": 10, "height": 10},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 100, 200]},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [300, 300, 100, 100]},
            {"id": 3, "image_id": 8, "category_id": 3, "bbox": [1, 1, 2, 2]},
        ],
        "categories": [{"id": 3, "name": "fruit"}],
    }
    Path("coco.json").write_text(json.dumps(coco))
    found = read_annotation_file(Path("coco.json"), items, by="crew")
    assert found.annotations == [Annotation(item.id, "crew", boxes=(Box("fruit", 1, 2, 10, 20),))]
    assert dict(found.left_out) == {"boxes outside their picture": 1, "boxes on pictures that the dataset does not have": 1}
    coco["images"][0]["height"] = 640  # type: ignore[index]
    Path("cut.json").write_text(json.dumps(coco))
    assert read_annotation_file(Path("cut.json"), items).left_out["boxes on pictures that were cut or padded"] == 2
    assert studio("annotate", "import", "coco.json", "--data", pictures, "--by", "crew", "--name", "boxed").code == 0


def test_a_file_that_two_rows_could_be_stands_for_neither() -> None:
    items = {name: Item(name, "train", names=(name,)) for name in ("a/1.png", "b/1.png", "b/2.png")}
    names = Names(items)
    assert names.find("x/1.png") is None and names.find("http://host/9f8e7d6c-2.png?x=1") is items["b/2.png"]


@pytest.mark.parametrize(
    ("name", "text", "options", "said"),
    [
        ("min.json", '[{"id": 1, "text": "x", "label": "good"}]', [], "neither Label Studio's JSON"),
        ("broken.json", "[{", [], "no JSON that can be read"),
        ("rows.csv", "id,label\n1,good\n", [], "no column 'studio_id'"),
        ("rows.csv", "studio_id,label\ndoors/1,good\n", [], "none of the columns annotation"),
        ("rows.csv", "studio_id,annotation\ndoors/1,good\n", ["--label-from", "x"], "for Label Studio's JSON"),
        ("rows.csv", "studio_id,annotation,annotation_boxes\ndoors/1,good,oops\n", [], "is no list of boxes"),
        ("tasks.json", '[{"data": {"studio_id": "doors/1"}, "annotations": []}]', ["--label-from", "x"], "no control 'x'"),
        ("tasks.json", '[{"data": {}, "annotations": []}]', ["--by", "me"], "says itself who labelled"),
        ("missing.csv", None, [], "there is no file"),
        ("coco.json", '{"images": [{"id": 1}], "annotations": [], "categories": []}', [], "is not whole (KeyError('file_name'))"),
        ("other.json", '{"images": 1}', [], "nor COCO's"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence(
    doors: Workspace, studio: Callable[..., Any], name: str, text: str | None, options: list[str], said: str
) -> None:
    if text is not None:
        Path(name).write_text(text)
    done = studio("annotate", "import", name, "--data", "doors", *options)
    assert done.code == 2 and said in done.err and "Traceback" not in done.err
    assert [folder.parent.name for folder in doors.list_datasets()] == ["doors"]


def test_two_controls_that_give_a_label_are_not_guessed_between(doors: Workspace, studio: Callable[..., Any]) -> None:
    row = next(iter(all_items(doors.find_dataset("doors"))))
    results = [
        {"from_name": "topic", "type": "choices", "value": {"choices": ["doors"]}},
        {"from_name": "stars", "type": "rating", "value": {"rating": 4}},
    ]
    Path("tasks.json").write_text(
        json.dumps([{"data": {"studio_id": row}, "annotations": [{"completed_by": 1, "result": results}]}])
    )
    assert "stars, topic" in studio("annotate", "import", "tasks.json", "--data", "doors").err
    assert studio("annotate", "import", "tasks.json", "--data", "doors", "--label-from", "stars").code == 0
    [said] = read_annotations(doors.find_dataset("doors-annotated"))
    assert said.label == "4"
