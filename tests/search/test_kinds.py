"""Searches and comparisons of every kind of Run, through the table of kinds alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from studio.search import record
from studio.search.journal import Journal
from tests.conftest import Project, Result
from tests.kinds.line import LineKind, LinePreset

Studio = Callable[..., Result]


@pytest.mark.long
def test_numbers_are_searched_and_compared_by_their_errors(studio: Studio, flowers: Workspace) -> None:
    assert studio("data", "build", "table/diabetes").code == 0
    done = studio("search", "regress/ridge", "--data", "diabetes", "--by", "random", "--trials", 4, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["metric"] == "mae" and list(found["space"]) == ["estimator.alpha"]
    assert found["result"]["confirmation"].get("report") or found["best"] == 0
    for trial in found["trials"]:
        assert 35 < trial["measures"]["mae"] < 75
    both = studio("compare", "regress/ridge", "regress/forest", "--data", "diabetes", "--folds", 3, "--set", "seed=1", "--json")
    assert both.code == 0, both.err
    scores = [item["scores"]["mse"]["value"] ** 0.5 for item in both.json["result"]["candidates"]]
    assert all(50 < rmse < 65 for rmse in scores)  # ridge has 54.5 by ten folds of all rows


def test_forecasts_are_searched_by_their_rehearsal_and_compared_on_its_windows(studio: Studio, flowers: Workspace) -> None:
    assert studio("data", "build", "series/airline").code == 0
    choices = "estimator.transform=[none, log]"
    done = studio("search", "forecast/theta", "--data", "airline", "--set", choices, "--by", "grid", "--suite", "none", "--json")
    assert done.code == 0, done.err
    assert done.json["metric"] == "mase" and done.json["result"]["luck"] is None  # one series says nothing of chance
    both = studio("compare", "forecast/seasonal-naive", "forecast/theta", "--data", "airline", "--json")
    assert both.code == 0, both.err
    naive, theta = (item["scores"]["mase"]["value"] for item in both.json["result"]["candidates"])
    assert theta < naive and both.json["result"]["ranks"] is None and both.json["split"] == "validation"
    folds = studio("compare", "forecast/seasonal-naive", "forecast/theta", "--data", "airline", "--folds", 3)
    assert folds.code == 2 and "--folds 3: runs of kind forecast are compared on what each forecasts" in folds.err


def test_groups_are_searched_by_how_well_they_hold_on_other_rows(studio: Studio, flowers: Workspace) -> None:
    done = studio(
        "search", "cluster/kmeans", "--data", "iris", "--set", "estimator.k=[2, 6]", "--by", "grid", "--suite", "none", "--json"
    )
    assert done.code == 0, done.err
    two, six = (trial["measures"]["silhouette"] for trial in done.json["trials"][1:])
    assert done.json["metric"] == "silhouette" and two > 0.6 > six


@pytest.mark.long
def test_conversations_are_searched_by_their_loss_and_confirmed_by_the_suite(
    studio: Studio, project: Project, tiny_base: Path
) -> None:
    suite = project.folder / "doors-suite.yaml"
    suite.write_text("name: doors-suite\nmetrics: [perplexity]\n")
    done = studio(
        "search", project.preset, "--data", "doors", "--model", tiny_base, "--set", "learning_rate=[0.0001, 0.02]",
        "--by", "grid", "--suite", suite, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = done.json
    assert found["metric"] == "validation_loss" and found["result"]["confirmation"]["reason"].startswith("runs of kind chat say")
    [difference] = found["result"]["confirmation"]["differences"]
    assert difference["metric"] == "perplexity" and difference["verdict"] in {"better", "worse", "no difference shown"}
    assert Path(found["result"]["confirmation"]["report"]).is_dir()
    page = (Path(found["folder"]) / "report.html").read_text()
    assert "perplexity" in page.split("<h2>")[0]


@pytest.mark.long
def test_pictures_are_searched_by_their_held_out_loss(
    studio: Studio, image_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path / "workspace"))
    settings = [part for line in ("resolution=16", "steps=6", "batch_size=4", "eval_every=3") for part in ("--set", line)]
    done = studio(
        "search", "image/vae", "--data", image_dataset, *settings, "--set", "learning_rate=[0.0001, 0.01]", "--by", "grid",
        "--suite", "none", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["metric"] == "validation_loss" and done.json["result"]["counts"]["finished"] == 2


def test_a_kind_from_outside_is_searched_where_it_tells_its_loss(tmp_path: Path) -> None:
    # Runs that tell nothing of validation rows are refused in one sentence; see tests/kinds/line.py for the kind.
    from studio.core.errors import UserError
    from studio.core.records import RunRecord

    told = RunRecord(
        kind="line", name="a", id="b", status="finished", created="", method="", base={}, dataset={}, seed=0,
        result={"validation_loss": 0.5},
    )  # fmt: skip
    measured = LineKind().measure(tmp_path, told, "validation")
    assert [(item.name, item.value, item.values) for item in measured.measures] == [("validation_loss", 0.5, None)]
    silent = told.model_copy(update={"result": {}})
    with pytest.raises(UserError, match="runs of kind line say nothing of how good they are on validation rows"):
        LineKind().measure(tmp_path, silent, "validation")
    with pytest.raises(UserError, match="runs of kind line cannot be compared on folds"):
        LineKind().examples(LinePreset(kind="line"), tmp_path, "train")


def test_the_table_of_searches_is_that_of_the_workspace(flowers: Workspace) -> None:
    assert record.searches(flowers) == [] and not list(flowers.root.glob("searches"))
    assert Journal(flowers.root).trials == []
