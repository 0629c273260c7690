"""``studio compare`` on real Runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.search.comparison import comparisons, read
from studio.search.journal import Journal
from tests.conftest import Result

Studio = Callable[..., Result]


def test_presets_are_held_together_on_the_same_rows(studio: Studio, flowers: Workspace) -> None:
    done = studio("compare", "classify/logistic", "classify/naive-bayes", "--data", "iris", "--folds", 4, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["rows"] == 119 and found["metric"] == "log_loss" and len(found["folds"]) == 4
    ours, theirs = found["result"]["candidates"]
    for side in (ours, theirs):
        assert side["scores"]["log_loss"]["n"] == 119 and side["scores"]["accuracy"]["value"] > 0.9
        assert side["bytes"] > 1000 and side["seconds"] is not None and len(side["by_fold"]) == 4
    [item] = found["result"]["differences"]
    assert item["value"] == pytest.approx(ours["scores"]["log_loss"]["value"] - theirs["scores"]["log_loss"]["value"])
    assert item["n"] == 119 and item["p_holm"] == item["p"]
    assert found["result"]["ranks"]["p"] is None  # Friedman's test wants three
    assert not flowers.list_runs() and len(flowers.list_datasets()) == 1


def test_a_setting_is_varied_and_a_stopped_comparison_goes_on(
    studio: Studio, flowers: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.train.predictors.kind import ClassifierKind

    train, calls = ClassifierKind.train, []

    def stopped(self: ClassifierKind, folder: Path, **more: Any) -> Any:
        calls.append(folder)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(self, folder, **more)

    monkeypatch.setattr(ClassifierKind, "train", stopped)
    asked = ["compare", "classify/logistic", "--data", "iris", "--vary", "estimator.C=0.001,1,1000", "--folds", 2]
    cut = studio(*asked)
    assert cut.code == 130 and "Go on with: studio compare --resume iris/" in cut.err
    done = studio("compare", "--resume", "last", "--json")
    assert done.code == 0, done.err
    assert [item["label"] for item in done.json["candidates"]] == ["C=0.001", "C=1", "C=1000"]
    assert len(calls) == 7  # six trainings, one of them begun twice
    ranks = done.json["result"]["ranks"]
    assert ranks["order"][-1] == 0 and ranks["p"] is not None
    text = studio(*asked)
    assert "C=1 − C=1000" in text.out and "119 of train and validation" in text.out


def test_one_that_fails_is_left_out_and_named(studio: Studio, flowers: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.core.errors import StudioError
    from studio.train.predictors.kind import ClassifierKind

    train = ClassifierKind.train

    def bad(self: ClassifierKind, folder: Path, **more: Any) -> Any:
        if folder.parent.name.startswith("C-1000"):
            raise StudioError("the disk is full.")
        return train(self, folder, **more)

    monkeypatch.setattr(ClassifierKind, "train", bad)
    done = studio("compare", "classify/logistic", "--data", "iris", "--vary", "estimator.C=0.1,1,1000", "--folds", 2)
    assert done.code == 0, done.err
    assert "left out    C=1000: the disk is full." in done.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["classify/logistic"], "comparing takes two, and classify/logistic is one. Name another preset, or vary a setting"),
        (["classify/logistic", "classify/logistic"], "classify/logistic is named twice."),
        (["classify/logistic", "regress/ridge"], "classify/logistic is of kind classifier and regress/ridge of kind regressor"),
        (["classify/logistic", "classify/svm", "--folds", 1], "--folds 1: comparing needs at least 2 folds"),
        (["classify/logistic", "classify/svm", "--folds", 60], "has 39 rows in train and validation, and each fold needs one"),
        (["classify/logistic", "--vary", "estimator.C=1"], "--vary estimator.C=1: write the setting and at least two values"),
        (["classify/logistic", "--vary", "estimator.CC=1,2"], "unknown field 'CC' in 'estimator'. Did you mean 'C'?"),
        (["classify/logistic", "classify/svm", "--set", "target=kinds"], "target: the dataset iris has no column 'kinds'."),
        (["chat/lora", "chat/dora"], "runs of kind chat cannot be compared on folds"),
        (["classify/logistic", "classify/forrest"], "unknown preset 'classify/forrest'. Did you mean 'classify/forest'?"),
        ([], "which presets?"),
    ],
)
def test_a_slip_ends_in_one_sentence(studio: Studio, flowers: Workspace, arguments: list[Any], sentence: str) -> None:
    done = studio("compare", *arguments, "--data", "iris")
    assert done.code == 2 and done.err.count("error:") == 1 and sentence in done.err, done.err
    assert not comparisons(flowers)


def test_an_unknown_metric_is_told_once_it_can_be_known(studio: Studio, flowers: Workspace) -> None:
    done = studio("compare", "classify/logistic", "classify/naive-bayes", "--data", "iris", "--folds", 2, "--metric", "acc")
    assert done.code == 2 and "--metric acc: there is no such figure." in done.err
    [place] = comparisons(flowers)
    assert read(place).status == "failed" and len(Journal(place).trials) == 1
