"""A new Dataset out of annotations: what changes, what is written down, and that the old one stays as it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from studio.core.errors import DataError, UserError
from studio.core.workspace import Workspace, read_dataset
from studio.data.annotations.base import Annotation, Suggestion, all_items
from studio.data.annotations.derive import Origin, annotate_dataset, read_annotations
from studio.data.boxes import Box
from studio.data.chat.rows import read_split
from studio.data.images.rows import open_image, read_image_split
from tests.conftest import call_studio, write_doors
from tests.data.tables.made_tables import build, credit

FILE = Origin("labels.json", "ab" * 32)


@pytest.fixture
def doors(tmp_path: Path, workspace: Workspace) -> Path:
    write_doors(tmp_path / "recipes")
    assert call_studio("data", "build", tmp_path / "recipes" / "doors.yaml", "--workspace", workspace.root) == 0
    return workspace.find_dataset("doors")


def bytes_of(folder: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.rglob("*")) if file.is_file()}


def record_of(folder: Path) -> Any:
    return json.loads((folder / "dataset.json").read_text())


def test_a_new_dataset_says_from_which_it_came_who_labelled_and_when(doors: Path, workspace: Workspace) -> None:
    before, ids = bytes_of(doors), list(all_items(doors))
    said = [
        Annotation(
            ids[0], "anna", "clear", at="2026-01-01T10:00:00Z", status="confirmed", suggestion=Suggestion("clear", "m", 0.9)
        ),
        Annotation(ids[0], "ben", "clear", at="2026-01-03T10:00:00Z"),
        Annotation(ids[1], "anna", None, "At least ninety centimetres."),
        Annotation(ids[2], "anna", "clear"),
        Annotation(ids[2], "ben", "vague"),
        Annotation(ids[3], "model", "vague", status="suggested"),
    ]
    outcome, merged = annotate_dataset(workspace, doors, said, FILE)
    assert bytes_of(doors) == before and outcome.folder.parent.name == "doors-annotated"
    [history] = record_of(outcome.folder)["annotations"]
    assert history["from"] == {"name": "doors", "fingerprint": doors.name}
    assert history["by"] == {"anna": 2, "ben": 1} and history["sha256"] == FILE.sha256
    assert (history["first"], history["last"]) == ("2026-01-03T10:00:00Z", "2026-01-03T10:00:00Z")
    assert history["disagreed"] == [ids[2]] == merged.disagreed
    assert history["left_out"] == {"only suggested, and confirmed by nobody": 1} and history["changed"] == 2
    rows = {row.id: row for row in read_split(outcome.folder, "train")}
    assert rows[ids[0]].meta["annotation"] == "clear" and rows[ids[0]].meta["annotated_by"] == ["anna", "ben"]
    assert rows[ids[0]].meta["annotation_status"] == "confirmed"
    assert rows[ids[1]].messages[-1]["content"] == "At least ninety centimetres."
    old = {row.id: row for row in read_split(doors, "train")}
    assert rows[ids[1]].meta["answer_before"] == old[ids[1]].messages[-1]["content"]
    assert rows[ids[2]] == old[ids[2]] and rows[ids[3]] == old[ids[3]]
    assert read_annotations(outcome.folder) == said
    assert "annotations" in [step.name for step in read_dataset(outcome.folder).steps]


def test_the_same_is_found_again_and_a_second_round_adds_to_the_history(doors: Path, workspace: Workspace) -> None:
    row = next(iter(all_items(doors)))
    first, _ = annotate_dataset(workspace, doors, [Annotation(row, "anna", "clear")], FILE)
    again, _ = annotate_dataset(workspace, doors, [Annotation(row, "anna", "clear")], FILE)
    assert again.cached and again.folder == first.folder
    second, _ = annotate_dataset(workspace, first.folder, [Annotation(row, "ben", "vague")], FILE)
    assert second.folder.parent == first.folder.parent and second.folder != first.folder
    history = record_of(second.folder)["annotations"]
    assert [one["from"]["fingerprint"] for one in history] == [doors.name, first.folder.name]
    assert [said.by for said in read_annotations(second.folder)] == ["anna", "ben"]
    assert call_studio("data", "show", second.folder) == 0


def test_nothing_usable_is_told_with_the_reasons(doors: Path, workspace: Workspace) -> None:
    row = next(iter(all_items(doors)))
    said = [Annotation(row, "anna", "clear"), Annotation(row, "ben", "vague")]
    with pytest.raises(UserError, match=r"no row of doors changes by labels\.json: .*1 annotators are level"):
        annotate_dataset(workspace, doors, said, FILE)


def test_labels_of_a_table_become_its_target(tmp_path: Path) -> None:
    credit(120).to_csv(tmp_path / "rows.csv", index=False)
    workspace = Workspace(tmp_path / "ws")
    folder = build(tmp_path / "rows.csv", workspace, target="repaid").folder
    items = all_items(folder)
    row, item = next((row, item) for row, item in items.items() if item.split == "train")
    label = "no" if item.label == "yes" else "yes"
    outcome, _ = annotate_dataset(workspace, folder, [Annotation(row, "anna", label, at="2026-01-01")], FILE)
    frame = pd.read_parquet(outcome.folder / "train.parquet").set_index("studio_id")
    assert frame.loc[row, "repaid"] == label and frame.loc[row, "annotation_before"] == item.label
    assert frame.loc[row, "annotated_by"] == "anna" and frame["annotated_by"].notna().sum() == 1
    columns = {column["name"]: column for column in record_of(outcome.folder)["columns"]}
    assert not columns["annotated_by"]["feature"] and not columns["annotation_before"]["feature"]
    shares, old = record_of(outcome.folder)["label_shares"]["train"], record_of(folder)["label_shares"]["train"]
    assert shares[label] == old[label] + 1
    assert all_items(outcome.folder)[row].fields == item.fields
    again, _ = annotate_dataset(workspace, outcome.folder, [Annotation(row, "ben", item.label)], FILE)
    frame = pd.read_parquet(again.folder / "train.parquet").set_index("studio_id")
    assert frame.loc[row, "annotation_before"] == label and frame.loc[row, "annotated_by"] == "ben"


def test_a_label_that_is_no_number_is_refused_where_numbers_are_predicted(tmp_path: Path) -> None:
    credit(60).to_csv(tmp_path / "rows.csv", index=False)
    workspace = Workspace(tmp_path / "ws")
    folder = build(tmp_path / "rows.csv", workspace, target="income").folder
    row = next(iter(all_items(folder)))
    with pytest.raises(DataError, match="'plenty' is no number, and the target 'income' holds numbers"):
        annotate_dataset(workspace, folder, [Annotation(row, "anna", "plenty")], FILE)
    outcome, _ = annotate_dataset(workspace, folder, [Annotation(row, "anna", "12.5")], FILE)
    assert all_items(outcome.folder)[row].label == "12.5"
    assert not [file for file in outcome.folder.parent.iterdir() if file.name.startswith(".")]


def test_captions_labels_and_boxes_of_pictures_change_and_the_pictures_do_not(image_dataset: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    items = all_items(image_dataset)
    row, item = next(iter(items.items()))
    box = Box("leaf", 1, 2, 10.5, 20)
    said = [Annotation(row, "anna", "plant", "a green leaf", (box,))]
    outcome, _ = annotate_dataset(workspace, image_dataset, said, FILE, name="mended")
    rows = {one.id: one for one in read_image_split(outcome.folder, item.split)}
    new = rows[row]
    assert (new.caption, new.label, new.meta["boxes"][0]["label"]) == ("a green leaf", "plant", "leaf")
    assert (new.meta["caption_before"], new.meta["label_before"]) == (item.text, item.label)
    assert all_items(outcome.folder)[row].boxes == (box,)
    old = {one.id: one for one in read_image_split(image_dataset, item.split)}
    assert open_image(outcome.folder, new).tobytes() == open_image(image_dataset, old[row]).tobytes()
    assert {one.id: one for one in rows.values() if one.id != row} == {one.id: one for one in old.values() if one.id != row}
