"""The form of a predictor: fields from its columns, an answer that is the predictor's own, why, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.apps.catalogue import page_builder
from studio.apps.predicting import Asker
from studio.apps.suggesting import least_certain_first, suggestions
from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.data.annotations.base import all_items
from studio.models.predictors.opening import open_predictor
from tests.conftest import call_studio

ROWS = 240


def write_flats(path: Path) -> None:
    """Flats: whether they let quickly depends on rent and district; two words are shown as what they are, not as tags."""
    generator = np.random.default_rng(0)
    rent = generator.normal(1000, 200, ROWS).round()
    district = generator.choice(["north", "south", "<b>west</b>"], ROWS)
    quick = np.where(rent + 200 * (district == "south") + generator.normal(0, 60, ROWS) < 1000, "yes", "no")
    pd.DataFrame({"rent": rent, "district": district, "quick": quick}).to_csv(path, index=False)


@pytest.fixture(scope="module")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a classifier of flats."""
    folder = tmp_path_factory.mktemp("flats")
    write_flats(folder / "flats.csv")
    recipe = folder / "flats.yaml"
    recipe.write_text(
        "kind: table\ntarget: quick\nsources: [{type: local, path: flats.csv, licence: own data}]\n"
        "columns: [{name: rent, type: number, unit: EUR, about: cold}]\n",
        encoding="utf-8",
    )
    root = folder / "workspace"
    assert call_studio("data", "build", recipe, "--workspace", root) == 0
    assert call_studio("train", "classify/logistic", "--data", "flats", "--name", "flats", "--workspace", root) == 0
    return root


@pytest.fixture(scope="module")
def asker(flats: Path) -> Asker:
    """The form's side without a page."""
    return Asker(Workspace.open(flats), "flats")


def test_the_answer_is_the_predictors_own(asker: Asker, flats: Path) -> None:
    answer, frame = asker.answer([900, "south"])
    [run] = list((flats / "runs" / "flats").iterdir())
    found = open_predictor(run / "model").predict(frame)
    assert answer.value == found.values[0] and answer.notes == ()
    assert list(answer.shares.values()) == sorted(found.probabilities[0], reverse=True)
    assert frame.dtypes["rent"] == np.float64


def test_the_columns_add_up_to_the_answer(asker: Asker) -> None:
    answer, frame = asker.answer([600, "north"])
    found = asker.why(frame)
    assert found is not None and answer.value == "yes"
    assert found.parts[0].feature == "rent" and found.parts[0].contribution > 0
    assert found.base + sum(part.contribution for part in found.parts) + found.rest == pytest.approx(found.value)


def test_a_run_suggests_labels_for_its_rows_with_how_sure_it_is(flats: Path) -> None:
    workspace = Workspace.open(flats)
    folder = workspace.find_dataset("flats")
    items = all_items(folder)
    found = suggestions(workspace, folder, items, "flats")
    assert found.keys() == items.keys() and {one.label for one in found.values()} == {"yes", "no"}
    assert all(one.score is not None and 0.5 <= one.score <= 1 and one.by.startswith("flats/") for one in found.values())
    right = sum(found[row].label == item.label for row, item in items.items())
    assert right > 0.8 * len(items)
    order = least_certain_first(list(items), found)
    assert [found[row].score for row in order] == sorted(one.score for one in found.values() if one.score is not None)


def test_what_was_never_met_is_said(asker: Asker) -> None:
    answer, _ = asker.answer([5000, "moon"])
    assert any("district = moon never occurred" in note for note in answer.notes)
    assert any("rent = 5000 lies outside" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["a lot", "north"], "rent is 'a lot' and no number"),
        ([None, " "], "Nothing is filled in"),
        ([1, "x" * 30_000], "30000 characters"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(asker: Asker, values: list[Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        asker.answer(values)


def test_a_held_out_row_comes_with_its_truth(asker: Asker) -> None:
    values, truth = asker.held_out_row(3) or ([], "")
    assert len(values) == 2 and isinstance(values[0], float) and truth in {"yes", "no"}


def test_a_run_that_does_not_predict_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="there is no run that predicts"):
        page_builder("predict", None)(workspace)


def test_asked_in_a_browser(flats: Path, visit: Callable[..., Any], serve: Callable[..., str]) -> None:
    page = visit(serve(page_builder("predict", "flats")(Workspace.open(flats))))
    page.fill("#field-rent input", "650")
    page.fill("#field-district input", "<b>west</b>")
    page.keyboard.press("Tab")
    page.click("#ask")
    page.wait_for_selector("#why .studio-why")
    said = page.inner_text("#answer")
    assert "yes" in said and "Without looking at the row" in said
    assert "<b>west</b>" in page.inner_text("#why") and page.query_selector("#why b") is None
    page.fill("#field-rent input", "")
    page.click("#example")
    page.wait_for_function("document.querySelector('#truth').innerText.includes('The truth of this row')")
    page.wait_for_selector("#why .studio-why")
