"""Rows on a shelf are the same rows, in memory or not; what is built from them is the same Dataset."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from studio.core.workspace import Workspace
from studio.data import shelf
from studio.data.chat.build import build_chat_dataset
from studio.data.shelf import Form, Joined, Picked, Shelf, Shelves
from studio.schema.loading import load_yaml
from studio.schema.recipe import ChatRecipe

NUMBERS: Form[int] = Form(lambda rows: pa.table({"n": list(rows)}), lambda table: table.column("n").to_pylist(), lambda _: 100)


@pytest.mark.parametrize("whole", [10**9, 5000, 0])
def test_a_shelf_is_the_list_that_was_put_on_it(tmp_path: Path, whole: int) -> None:
    with Shelves(tmp_path, whole_bytes=whole, part_bytes=700) as shelves:
        found: Shelf[int] = shelves.new(NUMBERS, range(103))
        assert list(found) == list(range(103)) and len(found) == 103
        assert [found[place] for place in (0, 102, 50, 3, -1, 77)] == [0, 102, 50, 3, 102, 77]
        assert found[5:80:7] == list(range(5, 80, 7))
        assert [row for part in found.parts() for row in part] == list(range(103))
        with pytest.raises(IndexError):
            found[103]
        assert (found.held() is found) == (whole < 10**9) == bool(found.files)
        picked = Picked(found, [2, 30, 31, 102])
        assert list(Joined([picked, [], [7]])) == [2, 30, 31, 102, 7] and picked[1:] == [30, 31, 102]
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_parts_go_with_the_shelf_and_those_of_killed_builds_with_the_next(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".shelf-999999999-a", tmp_path / f".shelf-{os.getpid()}-b"
    for folder in (dead, alive):
        folder.mkdir()
    with Shelves(tmp_path, whole_bytes=0, part_bytes=500) as shelves:
        assert not dead.exists() and alive.exists()
        found = shelves.new(NUMBERS, range(50))
        kept = shelves.opened(NUMBERS, found.files)
        places = list(found.files)
        del found
        gc.collect()
        assert not any(place.exists() for place in places) and list(kept) == list(range(50))


CORPUS = """kind: chat
name: talks
sources: [{type: local, path: rows.jsonl, licence: own data}]
steps:
  - {step: unicode}
  - {step: whitespace}
  - {step: missing}
  - {step: roles}
  - {step: length, unit: words, max: 40}
  - {step: outliers}
  - {step: exact_duplicates}
  - {step: near_duplicates}
  - {step: scrub}
split: {validation: 0.1, test: 0.1, seed: 1}
"""


def write_rows(path: Path) -> None:
    """A few hundred talks: repeated, nearly repeated, in wrong order, too long, with a preamble, with addresses."""
    rows: list[dict[str, Any]] = []
    for number in range(400):
        asked = (
            f"What does rule {number} of part {number % 17} say about the {('door', 'roof', 'wall')[number % 3]} number {number}?"
        )
        said = f"Rule {number} wants {number * 7} bolts and {number % 13} hinges; ask rule{number}@example.com."
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        if number % 40 == 0:
            turns = [{"role": "assistant", "content": "Welcome."}, *turns]
        rows.append({"messages": turns, "number": number})
        if number % 25 == 0:
            rows.append({"messages": turns, "number": -number})
        if number % 30 == 0:
            near = [turns[0], {"role": "assistant", "content": f"{said} Thanks."}]
            rows.append({"messages": near})
        if number % 50 == 0:
            rows.append({"messages": [turns[0], {"role": "assistant", "content": "long " * 60}]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


CLEANED = """
kind: chat
sources:
  - {type: local, path: rows.jsonl, licence: own data, weight: 1.5, columns: {id: number}}
  - {type: local, path: rows.jsonl, licence: own data, name: other, cap: 60}
steps:
  - {step: stitch, separator: "-"}
  - {step: turns}
  - {step: boilerplate}
  - {step: refusals, action: drop_turn}
  - {step: scrub, numbered: true}
  - {step: repetition}
  - {step: score}
  - {step: filter, by: answer_words, outliers: 3}
mix: {temperature: 2, repeat: true}
split: {validation: 10, test: 20, threshold: 1.0, same_question: false}
"""


def built(place: Path, corpus: str = CORPUS) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record, and every table as plain values."""
    import pyarrow.parquet as pq

    place.mkdir()
    write_rows(place / "rows.jsonl")
    (place / "recipe.yaml").write_text(corpus, encoding="utf-8")
    recipe = load_yaml(place / "recipe.yaml", ChatRecipe)
    outcome = build_chat_dataset(recipe, Workspace.open(place / "ws"), name="talks", beside=place)
    record = json.loads((outcome.folder / "dataset.json").read_text(encoding="utf-8"))
    return record, {file.name: pq.read_table(file).to_pylist() for file in sorted(outcome.folder.glob("*.parquet"))}


@pytest.mark.parametrize("corpus", [CORPUS, CLEANED], ids=["duplicates", "cleaned and mixed"])
def test_a_corpus_that_does_not_fit_becomes_the_same_dataset(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, tables = built(tmp_path / "whole", corpus)
    monkeypatch.setattr(shelf, "WHOLE_BYTES", 60_000)
    monkeypatch.setattr(shelf, "PART_BYTES", 20_000)
    parts, on_disk = built(tmp_path / "parts", corpus)
    assert on_disk == tables and len(tables["removed.parquet"]) > 40
    for record in (whole, parts):
        for step in record["steps"]:
            step.pop("seconds")
    for key in ("fingerprint", "steps", "splits", "notes", "clusters", "rows_read", "rows_removed", "shapes"):
        assert parts[key] == whole[key], key
    left = sorted(file.name for file in (tmp_path / "parts" / "ws" / "datasets" / ".steps").glob("*/rows/*"))
    assert left, "the last step's rows lie in parts"
    assert len({file.parent for file in (tmp_path / "parts" / "ws" / "datasets" / ".steps").glob("*/rows/*")}) == 1
