"""The whole road on a real table: build, plan, train, ask, measure; by the command line as people call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from studio.core.records import ReportRecord, read_record
from studio.core.workspace import read_run
from studio.models.clusters.opening import open_clusters
from tests.conftest import Result, call_studio

SETTINGS = ("--set", "choosing.references=8", "--set", "choosing.refits=4")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the Dataset iris and a run on it."""
    place = tmp_path_factory.mktemp("groups") / "workspace"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDIO_WORKSPACE", str(place))
        assert call_studio("data", "build", "table/iris") == 0
        assert call_studio("train", "cluster/kmeans", "--data", "iris", "--name", "flowers", *SETTINGS) == 0
    return place


@pytest.fixture
def studio(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Call ``studio`` in this process, in that workspace."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace))

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = call_studio(*arguments)
        return Result(code, *capsys.readouterr())

    return call


def run_folder(workspace: Path, name: str = "flowers") -> Path:
    """The newest run of a name."""
    return max((workspace / "runs" / name).iterdir(), key=lambda folder: folder.name)


def test_the_run_is_whole_and_runs_no_code_when_it_is_opened(workspace: Path) -> None:
    folder = run_folder(workspace)
    record = read_run(folder)
    assert (record.kind, record.method, record.status) == ("clusters", "kmeans", "finished")
    assert record.base["source"] == "scratch"
    assert sorted(file.name for file in (folder / "model").iterdir()) == [
        "clusters.json",
        "groups.safetensors",
        "preparation.skops",
    ]
    assert set(record.files) == {f"model/{file.name}" for file in (folder / "model").iterdir()} | {"config.yaml"}
    assert record.result["groups"] == len(record.result["sizes"]) == 2 and sum(record.result["sizes"]) == record.result["rows"]
    assert record.result["structure"] is True and record.result["placed_again"] == 1.0
    info = json.loads((folder / "model" / "clusters.json").read_text(encoding="utf-8"))
    assert [curve["criterion"] for curve in info["choice"]["curves"]] == [
        "silhouette",
        "calinski_harabasz",
        "davies_bouldin",
        "gap",
        "stability",
    ]


def test_the_plan_says_how_often_rows_are_grouped_and_refuses_what_does_not_fit(studio: Callable[..., Result]) -> None:
    planned = studio("--json", "plan", "cluster/kmeans", "--data", "iris", *SETTINGS)
    assert planned.code == 0, planned.err
    # 9 numbers of groups, each on the rows and 4 bootstrap samples; 10 with one group on 8 references; 9 on 19 shuffles.
    assert planned.json["groupings"].startswith(f"{9 * 5 + 10 * 8 + 9 * 19},")
    tight = studio("plan", "cluster/agglomerative", "--data", "iris", "--memory", "1k", *SETTINGS)
    assert tight.code == 3 and "are free" in tight.err


def test_rows_of_a_file_are_placed(studio: Callable[..., Result], workspace: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(next(workspace.glob("datasets/iris/*/test.parquet")))
    file = tmp_path / "flowers.csv"
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    rows[[*names, "target"]].to_csv(file, index=False)
    said = studio("predict", "flowers", file, "--out", tmp_path / "placed.csv")
    assert said.code == 0, said.err
    assert "target" in said.err and "to the centre of the group" in said.err
    placed = pd.read_csv(tmp_path / "placed.csv", dtype={"group": str})
    expected = open_clusters(run_folder(workspace) / "model").place(rows[names])
    assert placed["group"].tolist() == [str(group) for group in expected.groups]
    assert placed["distance"].to_numpy() == pytest.approx(expected.distances, rel=1e-12)
    # Setosa lies apart from the two other species.
    assert placed.groupby("target")["group"].nunique().tolist() == [1, 1, 1]


def test_a_file_that_does_not_fit_is_said_in_one_sentence(studio: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "flowers.csv"
    file.write_text("sepal length (cm),sepal width (cm)\n5,3\n", encoding="utf-8")
    lacking = studio("predict", "flowers", file)
    assert lacking.code == 2 and "petal length (cm)" in lacking.err
    filled = studio("predict", "flowers", file, "--set", "missing_columns=fill")
    assert filled.code == 0 and "filled" in filled.err
    typo = studio("predict", "flowers", file, "--set", "missing_colums=fill")
    assert typo.code == 2 and "Did you mean 'missing_columns'?" in typo.err
    file.write_text("sepal length (cm),sepal width (cm),petal length (cm),petal width (cm),group\n5,3,1,1,a\n", encoding="utf-8")
    taken = studio("predict", "flowers", file)
    assert taken.code == 2 and "'group' already" in taken.err


def test_held_out_rows_are_measured_beside_rows_without_structure(studio: Callable[..., Result], workspace: Path) -> None:
    done = studio("eval", "clustering", "--model", "flowers", "--set", "tasks.0.labels=target", "--gate")
    assert done.code == 0, done.err
    folder = max((run_folder(workspace) / "evals" / "clustering").iterdir())
    record = read_record(folder / "scores.json", ReportRecord)
    scores = {label: {one.metric.partition(".")[2]: one for one in found} for label, found in record.scores.items()}
    assert scores["tuned"]["silhouette"].value > scores["base"]["silhouette"].high
    assert scores["base"]["ari"].value == scores["base"]["ami"].value == 0.0
    for name in ("silhouette", "calinski_harabasz", "davies_bouldin", "ari", "ami"):
        one = scores["tuned"][name]
        assert one.low < one.value < one.high, name
    verdicts = {item.metric.partition(".")[2]: item.verdict for item in record.differences}
    assert verdicts["silhouette"] == verdicts["davies_bouldin"] == verdicts["ari"] == "better"
    assert record.dataset["split"] == "test" and record.models["base"]["name"].endswith("shuffled")
    page = (folder / "report.html").read_text(encoding="utf-8")
    for words in (
        "What the groups are",
        "petal length (cm)",
        "Trustworthiness",
        "How many groups",
        "the criteria disagree",
        "versicolor",
    ):
        assert words in page, words
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")
    table = pd.read_parquet(folder / "examples" / "clustering.parquet")
    assert {"id", "group", "distance", "silhouette", "label", "base_group"} <= set(table.columns) and len(table) == 30


def test_the_rows_of_the_training_are_not_measured_by_mistake(studio: Callable[..., Result]) -> None:
    refused = studio("eval", "clustering", "--model", "flowers", "--set", "tasks.0.data.split=train")
    assert refused.code == 2 and "learned from" in refused.err
    typo = studio("eval", "clustering", "--model", "flowers", "--set", "tasks.0.labels=traget")
    assert typo.code == 2 and "Did you mean 'target'?" in typo.err


@pytest.fixture(scope="module")
def others(workspace: Path) -> Path:
    """Runs of the other methods, in the same workspace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDIO_WORKSPACE", str(workspace))
        for estimator in ("gaussian", "agglomerative", "hdbscan"):
            k = () if estimator == "hdbscan" else ("--set", "estimator.k=3")
            assert call_studio("train", f"cluster/{estimator}", "--data", "iris", "--name", estimator, *k) == 0
    return workspace


def test_every_method_is_trained_asked_and_measured(studio: Callable[..., Result], others: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(next(others.glob("datasets/iris/*/test.parquet")))
    file = tmp_path / "rows.csv"
    rows[[name for name in rows.columns if name.endswith("(cm)")]].to_csv(file, index=False)
    for estimator, told in (
        ("gaussian", "standard deviations"),
        ("agglomerative", "centre"),
        ("hdbscan", "nearest training row"),
    ):
        said = studio("predict", estimator, file)
        assert said.code == 0 and told in said.err, said.err
        assert ("probability" in said.out.splitlines()[0]) == (estimator == "gaussian")
        measured = studio("--json", "eval", "clustering", "--model", estimator)
        assert measured.code == 0, measured.err
    every = studio("predict", "gaussian", file, "--probabilities")
    assert every.out.splitlines()[0].endswith("probability of 1,probability of 2,probability of 3")


def test_two_runs_are_compared_in_the_space_of_the_first(studio: Callable[..., Result], others: Path) -> None:
    done = studio("eval", "clustering", "--model", "agglomerative", "--baseline", "gaussian", "--set", "tasks.0.labels=target")
    assert done.code == 0, done.err
    folder = max((run_folder(others, "agglomerative") / "evals" / "clustering").iterdir())
    record = read_record(folder / "scores.json", ReportRecord)
    assert record.models["base"]["name"] == "gaussian"
    base = {one.metric.partition(".")[2]: one for one in record.scores["base"]}
    assert base["ari"].value > 0.5, "another run has an agreement of its own, not that of one group"


def test_nothing_of_the_test_split_is_seen_in_training(studio: Callable[..., Result], workspace: Path) -> None:
    from studio.data.examples import read_examples
    from studio.schema.clusters import ClustersPreset
    from studio.schema.loading import load_yaml
    from studio.train.clusters.rows import read_training_rows, wanted_of
    from studio.train.clusters.run import group_rows

    run = run_folder(workspace)
    preset = load_yaml(run / "config.yaml", ClustersPreset)
    dataset = next(workspace.glob("datasets/iris/*"))
    record, rows = read_training_rows(dataset, preset)
    held_out = read_examples(dataset, "test", wanted_of(preset))
    assert len(held_out) == 30 and not set(rows.ids) & set(held_out.ids)
    saved, again = open_clusters(run / "model"), group_rows(preset, rows, record.name).clusters
    assert (saved.groups.centres() == again.groups.centres()).all(), "the training rows alone give the same bits"
    assert saved.info.choice == again.info.choice


def test_penguins_are_the_species_they_are_known_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.metrics import adjusted_rand_score

    from studio.data.examples import Wanted, read_examples
    from tests.train.clusters.made import grouped, numbers

    monkeypatch.setenv("STUDIO_WORKSPACE", str(tmp_path))
    assert call_studio("data", "build", "table/penguins") == 0
    folder = next(tmp_path.glob("datasets/penguins/*"))
    names = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
    parts = [read_examples(folder, split, Wanted(features=(*names, "sex"))) for split in ("train", "validation", "test")]
    table = pd.concat([part.features.assign(species=part.others["species"]) for part in parts]).dropna()
    assert len(table) == 333
    rows = numbers(table[list(names)].to_numpy())
    found = grouped(rows, "kmeans", "estimator.k=3").clusters.place(rows.features).groups
    assert adjusted_rand_score(table["species"], found) == pytest.approx(0.799, abs=2e-3)
