"""Suggestions, guidelines, boxes and edits in the browser, each ending in a new Dataset while the old one stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from studio.apps import annotate, data
from studio.apps.boxes import draw_boxes
from studio.apps.catalogue import page_builder
from studio.apps.suggesting import least_certain_first, suggestions
from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.data.annotations.base import Annotation, Suggestion, all_items
from studio.data.annotations.derive import Origin, annotate_dataset, read_annotations
from studio.data.boxes import Box
from studio.data.chat.rows import read_split
from studio.data.images.entries import image_entries
from studio.data.images.rows import read_image_split
from tests.conftest import call_studio

GUIDELINES = "## What is polite\n\nThanks count. <script>alert(1)</script> ![x](http://127.0.0.1:9/x.png)\n"


@pytest.fixture
def guessed(house: Workspace, tmp_path: Path) -> Workspace:
    """Conversations with a column of guesses."""
    rows = [
        {"question": f"Is line {n} polite, {word}?", "answer": f"{word} said.", "guess": guess}
        for n, (word, guess) in enumerate([("thanks", "polite"), ("hey", "rude"), ("please", "polite"), ("no", "rude")] * 3)
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = "kind: chat\nsources: [{type: local, path: lines.jsonl, licence: own}]\nsplit: {validation: 0, test: 0}\n"
    (tmp_path / "lines.yaml").write_text(recipe)
    assert call_studio("data", "build", tmp_path / "lines.yaml") == 0
    return house


@pytest.fixture
def table(house: Workspace, tmp_path: Path) -> Workspace:
    """A table with a target of labels."""
    frame = pd.DataFrame({"width": range(60), "colour": ["red", "blue", "red"] * 20, "kind": ["door", "wall"] * 30})
    frame.to_csv(tmp_path / "parts.csv", index=False)
    recipe = "kind: table\ntarget: kind\nsources: [{type: local, path: parts.csv, licence: own}]\n"
    (tmp_path / "parts.yaml").write_text(recipe)
    assert call_studio("data", "build", tmp_path / "parts.yaml") == 0
    return house


def named(page: Any, name: str) -> None:
    page.locator("#name textarea, #name input").first.fill(name)
    page.locator("#name textarea, #name input").first.press("Enter")


def test_suggestions_are_confirmed_or_changed_beside_the_guidelines(
    guessed: Workspace, tmp_path: Path, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    (tmp_path / "guide.md").write_text(GUIDELINES)
    page = visit(serve(annotate.build(guessed, "lines", guidelines=str(tmp_path / "guide.md"), suggest="guess")))
    page.locator("#guidelines").get_by_text("What is polite").wait_for()
    shown = page.locator("#guidelines").inner_html()
    assert "<script" not in shown and "<img" not in shown
    named(page, "anna")
    page.get_by_text("0 of 12 rows labelled by you").wait_for()
    folder = guessed.find_dataset("lines")
    items = {item.turns[0]["content"]: item for item in all_items(folder).values()}
    seen = []
    for number in range(2):
        page.locator("#suggested").get_by_text("Suggested by guess").wait_for()
        item = items[page.locator("#row .studio-user div").inner_text()]
        seen.append((item.id, item.fields["guess"]))
        assert page.locator("#label input:checked").get_attribute("value") == item.fields["guess"]
        if number == 1:
            other = "rude" if item.fields["guess"] == "polite" else "polite"
            page.locator("#label").get_by_text(other, exact=True).click()
        page.locator("#save").click()
        page.get_by_text(f"{number + 1} of 12 rows labelled by you").wait_for()
    page.locator("#keep").click()
    page.locator("#exported").get_by_text("2 rows in the new Dataset lines-annotated/").wait_for()
    made = guessed.find_dataset("lines-annotated")
    said = {one.row: one for one in read_annotations(made)}
    assert [said[row].status for row, _ in seen] == ["confirmed", "changed"]
    assert said[seen[0][0]].suggestion == Suggestion(seen[0][1], "guess") and said[seen[0][0]].by == "anna"
    marks = {row.id: row.meta for row in read_split(made, "train")}
    assert marks[seen[1][0]]["annotation_status"] == "changed" and marks[seen[1][0]]["annotated_by"] == ["anna"]


def test_rows_of_a_table_are_labelled_and_become_a_new_dataset(
    table: Workspace, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(annotate.build(table, "parts")))
    named(page, "anna")
    page.locator("#row").get_by_text("colour").wait_for()
    assert page.locator("#correction").is_visible() is False and page.locator("#export").is_visible() is False
    page.locator("#label").get_by_text("wall", exact=True).click()
    page.locator("#save").click()
    page.get_by_text("1 of ").wait_for()
    page.locator("#keep").click()
    page.locator("#exported").get_by_text("1 rows in the new Dataset parts-annotated/").wait_for()
    [said] = read_annotations(table.find_dataset("parts-annotated"))
    assert (said.by, said.label) == ("anna", "wall")


def test_captions_and_labels_are_edited_in_the_data_app_and_saved_as_a_new_dataset(
    image_dataset: Path, tmp_path: Path, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    workspace = Workspace(tmp_path / "ws")
    page = visit(serve(data.build(workspace, str(image_dataset))))
    page.locator("#detail article").wait_for()
    page.locator("#edit").get_by_text("Edit this row").click()
    row = page.locator("#detail dd").first.inner_text()
    item = all_items(image_dataset)[row]
    caption = page.locator("#edit-text textarea")
    assert caption.input_value() == item.text
    caption.fill("a thing of green leaves")
    page.locator("#edit-label textarea, #edit-label input").first.fill("plants")
    page.locator("#edit-keep").click()
    page.locator("#edit-note").get_by_text("1 edits are not saved yet").wait_for()
    page.locator("#edit-save").click()
    page.locator("#edit-note").get_by_text("Write your name first").wait_for()
    assert workspace.list_datasets() == []
    page.locator("#edit-name textarea, #edit-name input").first.fill("anna")
    page.locator("#edit-save").click()
    page.locator("#edit-note").get_by_text("1 rows edited in the new Dataset openmoji-tiny-annotated/").wait_for()
    [made] = workspace.list_datasets()
    new = {one.id: one for one in read_image_split(made, item.split)}[row]
    assert (new.caption, new.label, new.meta["annotated_by"]) == ("a thing of green leaves", "plants", ["anna"])
    record = json.loads((made / "dataset.json").read_text())
    assert record["annotations"][0]["from"]["fingerprint"] == image_dataset.name and record["annotations"][0]["first"]


def test_an_answer_is_edited_and_an_empty_one_refused(
    stocked: Workspace, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(data.build(stocked, "doors")))
    page.locator("#detail article").wait_for()
    page.locator("#edit").get_by_text("Edit this row").click()
    page.locator("#edit-text textarea").fill(" ")
    page.locator("#edit-keep").click()
    page.locator("#edit-note").get_by_text("An answer cannot be empty").wait_for()
    page.locator("#edit-text textarea").fill("Ninety.")
    page.locator("#edit-keep").click()
    page.locator("#edit-note").get_by_text("1 edits are not saved yet").wait_for()
    page.locator("#next").click()
    page.get_by_text("16 to 30 of 30 rows").wait_for()
    page.locator("#previous").click()
    page.get_by_text("1 to 15 of 30 rows").wait_for()
    page.wait_for_function("document.querySelector('#edit-text textarea').value === 'Ninety.'")
    page.locator("#part").get_by_text("removed").click()
    page.get_by_text("1 to 2 of 2 rows").wait_for()
    page.locator("#edit").wait_for(state="hidden")


def test_boxes_are_drawn_where_they_lie(
    image_dataset: Path, tmp_path: Path, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    row = next(item.id for item in all_items(image_dataset).values() if item.split == "train")
    said = [Annotation(row, "anna", boxes=(Box("leaf", 8, 16, 16, 8),))]
    workspace = Workspace(tmp_path / "ws")
    outcome, _ = annotate_dataset(workspace, image_dataset, said, Origin("boxes.json"))
    [entry] = [entry for entry in image_entries(outcome.folder, "train") if entry.boxes]
    assert entry.facts["boxes"] == "leaf" and entry.picture is not None
    plain = entry.picture()
    drawn = draw_boxes(plain, entry.boxes)
    assert drawn.size == (320, 320) and plain.size == (32, 32)
    assert drawn.getpixel((239, 160)) == (0xE6, 0x9F, 0x00) == drawn.getpixel((150, 240))
    assert drawn.getpixel((300, 300)) == plain.getpixel((30, 30))
    page = visit(serve(data.build(workspace)))
    page.locator("#pictures img").first.wait_for()
    assert page.evaluate("() => [...document.images].filter(image => image.naturalWidth === 320).length") >= 1


def test_the_least_certain_rows_come_first_and_an_unknown_source_is_named(guessed: Workspace) -> None:
    suggested = {"a": Suggestion("x", "m", 0.9), "b": Suggestion("x", "m", 0.4), "d": Suggestion("x", "m")}
    assert least_certain_first(["a", "b", "c", "d"], suggested) == ["b", "a", "c", "d"]
    folder = guessed.find_dataset("lines")
    with pytest.raises(UserError, match=r"--suggest guest: no column is called so \(.*guess.*\).* Did you mean 'guess'"):
        suggestions(guessed, folder, all_items(folder), "guest")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("data", {"guidelines": "x"}, "--guidelines is for studio app annotate, and data does not know it"),
        ("monitor", {"suggest": "x"}, "--suggest is for studio app annotate"),
    ],
)
def test_options_of_the_annotate_app_are_refused_elsewhere(name: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        page_builder(name, None, options)


def test_guidelines_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert annotate.read_guidelines("Thanks count.") == "Thanks count."
    with pytest.raises(UserError, match="missing.md: the file cannot be read"):
        annotate.read_guidelines(str(tmp_path / "missing.md"))
    with pytest.raises(UserError, match="--guidelines is empty"):
        annotate.read_guidelines("  ")
