"""Searches on real Runs: what is tried, resumed, refused, confirmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from studio.core.workspace import Workspace, read_run
from studio.search import record
from studio.search.ending import best_of
from studio.search.journal import Journal, Trial
from tests.conftest import Result

Studio = Callable[..., Result]
C = ["--set", "estimator.C=0.01..100:log"]


def search(studio: Studio, *more: object, preset: str = "classify/logistic") -> Result:
    return studio("search", preset, "--data", "iris", "--suite", "none", *more)


def the_search(workspace: Workspace, name: str = "iris-logistic") -> Path:
    [place] = [folder for folder in record.searches(workspace) if folder.parent.name == name]
    return place


def plain(trials: list[Trial]) -> list[tuple[Any, ...]]:
    """What has to be the same in two searches: everything but clocks and names of folders."""
    return [(t.number, t.state, t.settings, t.measures, t.errors, t.curve, t.reason) for t in trials]


def test_a_search_is_tried_chosen_confirmed_and_told(studio: Studio, flowers: Workspace) -> None:
    done = search(studio, *C, "--by", "random", "--trials", 5, "--json")
    assert done.code == 0, done.err
    found = done.json
    place = Path(found["folder"])
    assert place == the_search(flowers)
    assert found["status"] == "finished" and found["result"]["counts"] == {"finished": 5, "pruned": 0, "failed": 0, "unfit": 0}
    assert found["metric"] == "log_loss" and found["better"] == "lower"
    trials = Journal(place).trials
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4, 5] and trials[0].settings == {"estimator.C": 1.0}
    best = best_of(trials, "log_loss", "lower")
    assert best is not None and best.number == found["best"]
    assert best.measures["log_loss"] == min(trial.measures["log_loss"] for trial in trials)
    for trial in trials:
        run = place / str(trial.run)
        assert read_run(run).status == "finished" and trial.bytes and trial.training_seconds is not None
        rows = pd.read_parquet(place / "rows" / f"{trial.number:04d}.parquet")
        assert len(rows) == 15 and rows["log_loss"].mean() == pytest.approx(trial.measures["log_loss"])
        assert rows["log_loss"].sem() == pytest.approx(trial.errors["log_loss"])
    # The best one is a Run like any other; the rest does not fill the list of runs.
    [run] = flowers.list_runs()
    assert str(run) == found["result"]["run"] and run.name == Path(str(best.run)).name
    assert f"C: {best.settings['estimator.C']}" in (run / "config.yaml").read_text()
    confirmation = found["result"]["confirmation"]
    assert confirmation["rows"] == 30 and confirmation["difference"]["verdict"] in {"better", "worse", "no difference shown"}
    luck = found["result"]["luck"]
    assert luck["count"] == 5 and luck["rows"] == 15 and luck["formula"] == pytest.approx(luck["noise"] * 1.163, rel=1e-3)


@pytest.mark.long
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(
    studio: Studio, flowers: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.search.suggest.FIRST_DRAWN", 3)
    assert search(studio, *C, "--trials", 7, "--name", "whole").code == 0
    from studio.train.predictors.kind import ClassifierKind

    train, calls = ClassifierKind.train, []

    def stopped(self: ClassifierKind, folder: Path, **more: Any) -> Any:
        calls.append(folder)
        if len(calls) in {1, 5}:  # the preset's own settings, and a trial
            raise KeyboardInterrupt
        return train(self, folder, **more)

    monkeypatch.setattr(ClassifierKind, "train", stopped)
    cut = search(studio, *C, "--trials", 7, "--name", "cut")
    assert cut.code == 130 and "stopped; what was tried is kept. Go on with: studio search --resume cut/" in cut.err
    place = the_search(flowers, "cut")
    assert record.read(place).status == "interrupted" and [trial.state for trial in Journal(place).trials] == ["running"]
    assert studio("search", "--resume", "cut").code == 130
    # A kill may cut off the line that is being written.
    with (place / "trials.jsonl").open("a") as journal:
        journal.write('{"number": 4, "state": "fin')
    assert studio("search", "--resume", "cut").code == 0
    assert plain(Journal(place).trials) == plain(Journal(the_search(flowers, "whole")).trials)
    assert len(Journal(place).trials) == 8
    # What was begun and could not be gone on with left no Run behind.
    assert len(list((place / "runs" / "cut").iterdir())) == 8
    again = studio("search", "--resume", "cut")
    assert again.code == 2 and f"the search cut/{place.name} is finished" in again.err


def test_a_preset_says_what_is_worth_trying(studio: Studio, flowers: Workspace, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("kind: classifier\nestimator: {type: logistic}\nsearch:\n  estimator.C: [0.1, 10]\n", encoding="utf-8")
    assert search(studio, "--by", "grid", preset=str(own)).code == 0
    assert [trial.settings["estimator.C"] for trial in Journal(the_search(flowers, "iris-own")).trials] == [1.0, 0.1, 10]
    # A range of the command line wins, what is fixed there is not tried, and a slip is named with its place.
    assert search(studio, "--set", "estimator.C=[2, 3]", "--by", "grid", "--name", "said", preset=str(own)).code == 0
    assert [trial.settings["estimator.C"] for trial in Journal(the_search(flowers, "said")).trials] == [1.0, 2, 3]
    assert "is fixed with --set" in search(studio, "--set", "estimator.C=3", preset=str(own)).err
    own.write_text("kind: classifier\nestimator: {type: logistic}\nsearch:\n  estimator.c: [0.1, 10]\n", encoding="utf-8")
    assert "search: space.estimator.c" in (refused := search(studio, preset=str(own))).err and refused.code == 2, refused.err


def test_a_grid_tries_every_combination_once(studio: Studio, flowers: Workspace) -> None:
    settings = ["--set", "estimator.C=[0.1, 1.0]", "--set", "estimator.penalty=[l2, none]", "--by", "grid"]
    short = search(studio, *settings, "--trials", 3)
    assert short.code == 2 and "the grid has 4 combinations and --trials is 3" in short.err
    assert search(studio, *settings).code == 0
    tried = [trial.settings for trial in Journal(the_search(flowers)).trials]
    assert len(tried) == 4 and tried[0] == {"estimator.C": 1.0, "estimator.penalty": "l2"}
    assert len({json.dumps(values) for values in tried}) == 4


def test_bad_trials_are_recorded_and_the_others_go_on(studio: Studio, flowers: Workspace) -> None:
    # Only the second kind has trees: with the first these settings cannot be.
    done = search(
        studio, "--set", "estimator.type=[logistic, forest]", "--set", "estimator.trees=[10, 20]", "--by", "grid", "--json",
        preset="classify/forest",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["result"]["counts"] == {"finished": 2, "pruned": 0, "failed": 2, "unfit": 0}
    page = (the_search(flowers, "iris-forest") / "report.html").read_text()
    assert page.count("failed: --set estimator.trees=") == 2
    failed = [trial for trial in Journal(the_search(flowers, "iris-forest")).trials if trial.state == "failed"]
    assert all("unknown field 'trees' in 'estimator'" in str(trial.reason) for trial in failed)


def test_what_cannot_fit_is_not_started(studio: Studio, flowers: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.core.errors import GateNotMetError
    from studio.core.telling import Told
    from studio.train.kinds import Planned, PlanWish
    from studio.train.predictors.kind import ClassifierKind

    wishes: list[PlanWish] = []

    def plan(self: ClassifierKind, asked: Any, wish: PlanWish, workspace: Workspace, say: Any) -> Planned:
        wishes.append(wish)

        def check() -> None:
            if "estimator.C=10.0" in asked.settings:
                raise GateNotMetError("it needs 9 GB and 8 GB are free.")

        return Planned(Told((), {}), check)

    monkeypatch.setattr(ClassifierKind, "plan", plan)
    done = search(studio, "--set", "estimator.C=[1.0, 10.0, 0.1]", "--by", "grid", "--memory", "8GB", "--json")
    assert done.code == 0 and done.json["result"]["counts"] == {"finished": 1, "pruned": 0, "failed": 0, "unfit": 1}
    [unfit] = [trial for trial in Journal(the_search(flowers)).trials if trial.state == "unfit"]
    assert unfit.reason == "it needs 9 GB and 8 GB are free." and unfit.run is None
    assert {wish.memory for wish in wishes} == {8_000_000_000}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--trials", 0], "--trials 0: a search needs at least one trial beside the preset's own settings."),
        (["--minutes", 0], "--minutes 0: a search needs some time. Give a number above 0."),
        (["--by", "tbe"], "--by 'tbe' is no way of searching. Did you mean 'tpe'? Allowed: tpe, random, grid."),
        (["--set", "estimator.CC=1..2"], "--set estimator.CC=1..2: unknown field 'CC' in 'estimator'. Did you mean 'C'?"),
        (["--set", "target=kinds"], "the preset's own settings cannot be trained, so there is nothing to search from: "),
        (["--metric", "acuracy"], "have no such figure on validation rows. Did you mean 'accuracy'? Allowed: log_loss, accuracy"),
        pytest.param(
            ["--engine", "ray"],
            "--engine ray needs the package 'ray'",
            marks=pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed"),
        ),
        (["--set", "estimator.C=2"], "every setting that is worth trying of classify/logistic is fixed with --set"),
        (["--resume", "last"], "--resume goes on with a search exactly as it was asked for"),
        (["--name", "../x"], "--name '../x' cannot name a folder."),
    ],
)
def test_a_slip_ends_in_one_sentence(studio: Studio, flowers: Workspace, options: list[Any], sentence: str) -> None:
    done = search(studio, *options)
    assert done.code == 2 and done.err.count("error:") == 1 and sentence in done.err
    assert not flowers.list_runs()


def test_without_validation_rows_there_is_nothing_to_judge_by(studio: Studio, flowers: Workspace, tmp_path: Path) -> None:
    built = studio("data", "build", "table/iris", "--set", "split.validation=0", "--name", "bare")
    assert built.code == 0, built.err
    done = studio("search", "classify/logistic", "--data", "bare")
    assert done.code == 2 and "a search judges its trials on validation rows, and bare has none" in done.err


def test_minutes_end_a_search(studio: Studio, flowers: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    done = search(studio, *C, "--minutes", 0.0001, "--json")
    assert done.code == 0 and len(done.json["trials"]) == 1
    assert done.json["result"]["confirmation"]["reason"].startswith("no trial was better than the preset's own settings")


def test_accuracy_is_better_the_higher(studio: Studio, flowers: Workspace) -> None:
    done = search(studio, *C, "--by", "random", "--trials", 3, "--metric", "accuracy", "--json")
    assert done.code == 0 and done.json["better"] == "higher"
    values = {trial["number"]: trial["measures"]["accuracy"] for trial in done.json["trials"]}
    assert values[done.json["best"]] == max(values.values())
