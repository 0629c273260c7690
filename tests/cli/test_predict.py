"""``studio predict``: what a run says of rows, in whatever form they come and whatever is wrong with them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from studio.core.workspace import Workspace
from studio.data.examples import Wanted, read_examples
from studio.models.predictors.opening import open_predictor
from tests.conftest import Result, call_studio

RECIPE = """kind: table
sources:
  - {type: local, path: orders.csv, licence: own data}
target: late
columns:
  - {name: ordered, type: time, formats: ["%d.%m.%Y"]}
  - {name: weight, unit: kg}
  - {name: code, type: category}
  - {name: said, type: text}
values: {decimal: ",", missing: ["", "unknown"]}
steps:
  - step: missing
  - {step: rare_categories, below: 6}
split: {validation: 30, test: 40}
"""


def orders(count: int = 300) -> pd.DataFrame:
    """Numbers with a decimal comma, categories of which some are rare, days first, gaps, and a text."""
    generator = np.random.default_rng(0)
    weight = generator.uniform(1, 20, count)
    frame = pd.DataFrame({"ordered": pd.date_range("2024-01-01", periods=count).strftime("%d.%m.%Y"), "weight": weight})
    frame["carrier"] = generator.choice(["road", "rail", "ship"], count)
    frame.loc[:2, "carrier"] = ["camel", "kite", "camel"]
    frame["code"] = generator.choice(["01", "02"], count)
    words = (
        "please",
        "hurry",
        "it",
        "is",
        "late",
        "no",
        "rush",
        "thank",
        "you",
        "very",
        "much",
        "parcel",
        "broken",
        "where",
        "are",
    )
    frame["said"] = [" ".join(generator.choice(words, 7)) for _ in range(count)]
    late = (weight > 11) ^ (generator.random(count) < 0.1)
    frame["late"] = np.where(late, "yes", "no")
    frame["days"] = (weight * 0.4 + generator.normal(0, 0.3, count)).round(2)
    for name in ("weight", "days"):
        frame[name] = frame[name].map(lambda value: f"{value:.2f}".replace(".", ","))
    frame.loc[::19, "weight"] = "unknown"
    return frame


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with runs of labels, of numbers and of texts."""
    folder = tmp_path_factory.mktemp("orders")
    orders().to_csv(folder / "orders.csv", index=False, sep=";")
    (folder / "orders.yaml").write_text(RECIPE, encoding="utf-8")
    space = ["--workspace", folder / "workspace"]
    assert call_studio("data", "build", folder / "orders.yaml", *space) == 0
    runs = {
        "late": ["classify/logistic", "--set", "features=[ordered, weight, weight missing, carrier, code]"],
        "soon": ["classify/boosting", "--set", "features=[weight, carrier]", "--set", "estimator.rounds=20"],
        "days": ["regress/ridge", "--set", "target=days", "--set", "features=[weight, carrier]", "--set", "missing_columns=fill"],
        "words": ["classify/logistic", "--set", "features=[said]", "--set", "extra_columns=refuse"],
    }
    for name, arguments in runs.items():
        assert call_studio("train", *arguments, "--data", "orders", "--name", name, *space) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, with the runs beside it."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(made / "workspace"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(result: Result) -> pd.DataFrame:
    """What was printed."""
    assert result.code == 0, result.err
    return pd.read_csv(io.StringIO(result.out), dtype=str, keep_default_na=False)


def test_rows_of_a_file_are_answered_as_those_of_the_dataset(made: Path, here: Path, studio: Callable[..., Result]) -> None:
    """The test rows, looked up in the first file, get the bits that the predictor gives them in the Dataset."""
    workspace = Workspace.open(made / "workspace")
    dataset = workspace.find_dataset("orders")
    predictor = open_predictor(workspace.find_run("late") / "model")
    names = tuple(column.name for column in predictor.info.columns)
    test = read_examples(dataset, "test", Wanted("late", "category", names))
    places = [int(identity.rpartition("/")[2]) - 1 for identity in test.ids]
    orders().iloc[places].to_csv("new.csv", index=False, sep=";")
    result = studio("predict", "late", "new.csv")
    said, given = predictor.predict(test.features), table(result)
    assert given["prediction"].tolist() == said.values.tolist()
    assert np.array_equal(given["probability"].astype(float), said.probabilities.max(axis=1))
    assert given["weight"].tolist() == orders().iloc[places]["weight"].tolist(), "the file's own columns stay as they were"
    assert "columns that this run does not look at: said, days\n" in result.err
    assert "late, which is predicted, stands in the file and was not looked at\n" in result.err


def test_every_form_of_a_file_gives_the_same(here: Path, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = orders().head(12).drop(columns="late")
    rows.to_csv("a.csv", index=False)
    rows.to_csv("a.tsv", index=False, sep="\t")
    rows.to_json("a.jsonl", orient="records", lines=True)
    rows.to_parquet("a.parquet")
    rows.to_excel("a.xlsx", index=False)
    wanted = table(studio("predict", "late", "a.csv"))[["prediction", "probability"]]
    for name in ("a.tsv", "a.jsonl", "a.parquet", "a.xlsx"):
        assert table(studio("predict", "late", name))[["prediction", "probability"]].equals(wanted), name
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("a.csv").read_bytes())))
    assert table(studio("predict", "late", "-"))[["prediction", "probability"]].equals(wanted)
    # Numbers that are numbers already, as other programs write them.
    whole = rows.assign(weight=[float(text.replace(",", ".")) if text != "unknown" else None for text in rows["weight"]])
    whole["ordered"] = pd.to_datetime(whole["ordered"], format="%d.%m.%Y")
    whole.to_parquet("b.parquet")
    assert table(studio("predict", "late", "b.parquet"))[["prediction", "probability"]].equals(wanted)


def test_probabilities_of_every_label_and_json(here: Path, studio: Callable[..., Result]) -> None:
    orders().head(3).to_csv("a.csv", index=False)
    given = table(studio("predict", "late", "a.csv", "--probabilities"))
    assert given.columns[-3:].tolist() == ["prediction", "probability of no", "probability of yes"]
    assert np.allclose(given[["probability of no", "probability of yes"]].astype(float).sum(axis=1), 1)
    document = studio("predict", "late", "a.csv", "--json").json
    assert document["rows"] == 3 and document["answers"][0]["ordered"] == "01.01.2024"
    assert document["answers"][1]["prediction"] in {"yes", "no"} and "said, days" in document["notes"][0]


def test_numbers_come_with_an_interval(made: Path, here: Path, studio: Callable[..., Result]) -> None:
    orders().to_csv("a.csv", index=False)
    given = table(studio("predict", "days", "a.csv"))
    low, high, said = (given[name].astype(float).to_numpy() for name in ("low", "high", "prediction"))
    truth = np.array([float(text.replace(",", ".")) for text in given["days"]])
    known = given["weight"] != "unknown"
    assert np.allclose(high - said, said - low) and 0.8 < np.mean((low <= truth) & (truth <= high)) <= 1
    assert np.abs(said - truth)[known].mean() < 0.4


def test_out_writes_a_file_and_never_over_one(here: Path, studio: Callable[..., Result]) -> None:
    orders().head(3).to_csv("a.csv", index=False)
    result = studio("predict", "late", "a.csv", "--out", "said.csv")
    assert result.code == 0 and result.out == "" and "3 rows written to said.csv" in result.err
    assert pd.read_csv("said.csv").columns[-2:].tolist() == ["prediction", "probability"]
    again = studio("predict", "late", "a.csv", "--out", "said.csv")
    assert again.code == 2 and "--out said.csv exists, and nothing is written over." in again.err
    assert "csv is written. Give a name that ends with .csv" in studio("predict", "late", "a.csv", "--out", "said.xlsx").err
    assert "there is no folder gone" in studio("predict", "late", "a.csv", "--out", "gone/said.csv").err


def test_texts(here: Path, studio: Callable[..., Result]) -> None:
    given = table(studio("predict", "words", "--text", "please hurry"))
    assert given["said"].tolist() == ["please hurry"] and given["prediction"][0] in {"yes", "no"}
    pd.DataFrame({"said": ["please hurry", "", "NA"]}).to_csv("a.csv", index=False)
    several = table(studio("predict", "words", "a.csv"))
    assert float(several["probability"][0]) == pytest.approx(float(given["probability"][0])) and len(several) == 3
    assert "this run looks at weight (number), carrier (category)" in studio("predict", "days", "--text", "hi").err
    assert "--text 'hi' and a.csv: give one of the two." in studio("predict", "words", "a.csv", "--text", "hi").err


def test_categories_and_values_that_training_never_saw_are_named(here: Path, studio: Callable[..., Result]) -> None:
    rows = orders().iloc[10:16].assign(carrier=["rocket", "camel", "rail", "", "sled", "ship"])
    rows["code"] = ["01", "02", "7", "01", "", "02"]
    rows["weight"] = ["3,5", "3.5", "heavy", "inf", "", "4,5"]
    rows.to_csv("a.csv", index=False)
    result = studio("predict", "late", "a.csv")
    assert len(table(result)) == 6
    assert "carrier: 3 rows have a category that no training row had ('rocket', 'camel', 'sled'), taken as 'other'" in result.err
    assert "code: 1 row has a category that no training row had ('7'), of which this run knows nothing" in result.err
    assert "weight: 2 values count as missing, for it is no number: '3.5', 'heavy'" in result.err
    assert "weight: 1 value counts as missing, for it is infinite: 'inf'" in result.err
    same = rows.assign(weight=["3,5", "unknown", "", "", "", "4,5"], carrier=["other", "other", "rail", "", "other", "ship"])
    same.to_csv("b.csv", index=False)
    assert table(studio("predict", "late", "b.csv"))["probability"].tolist() == table(result)["probability"].tolist()


def test_a_column_that_says_where_a_value_is_missing_need_not_be_in_the_file(here: Path, studio: Callable[..., Result]) -> None:
    rows = orders().head(40)
    rows.to_csv("a.csv", index=False)
    rows.assign(**{"weight missing": np.where(rows["weight"] == "unknown", "yes", "no")}).to_csv("b.csv", index=False)
    first, second = (table(studio("predict", "late", name))["probability"].tolist() for name in ("a.csv", "b.csv"))
    assert first == second


def test_missing_and_unknown_columns_are_handled_as_the_preset_says(here: Path, studio: Callable[..., Result]) -> None:
    orders().head(3)[["weight", "code"]].rename(columns={"code": "carier"}).to_csv("a.csv", index=False)
    refused = studio("predict", "soon", "a.csv")
    assert refused.code == 2 and refused.err == (
        "error: a.csv lacks carrier, which this run predicts from. Did you mean 'carier'? Its columns: weight, carier. "
        "Add it, or have missing columns filled: --set missing_columns=fill\n"
    )
    filled = studio("predict", "soon", "a.csv", "--set", "missing_columns=fill")
    assert len(table(filled)) == 3 and "carrier: not in the file, and filled as missing values are" in filled.err
    by_preset = studio("predict", "days", "a.csv")
    assert by_preset.code == 0 and "carrier: not in the file" in by_preset.err
    nothing = studio("predict", "days", "a.csv", "--set", "missing_columns=refuse")
    assert nothing.code == 2
    pd.DataFrame({"said": ["hi"], "more": [1]}).to_csv("b.csv", index=False)
    extra = studio("predict", "words", "b.csv")
    assert extra.code == 2 and "b.csv has columns that this run does not know: more. Take them out, or have" in extra.err
    assert table(studio("predict", "words", "b.csv", "--set", "extra_columns=ignore"))["more"].tolist() == ["1"]


@pytest.mark.parametrize(
    ("text", "arguments", "sentence"),
    [
        (
            "weight;carrier\nabc;road\ndef;rail\n",
            [],
            "a.csv: weight held numbers in training, and most of its values here do not",
        ),
        ("", [], "a.csv is empty."),
        ("weight;carrier\n", [], "a.csv has a line of names and no rows."),
        ("x;y\n1;2\n", [], "lacks weight, carrier, which this run predicts from. Its columns: x, y. Add them."),
        ("weight;carrier;prediction\n1;road;2\n", [], "the file has a column 'prediction' already, which is written here."),
        ("weight;carrier\n1;road\n", ["--set", "probabilites=true"], "no option 'probabilites'. Did you mean 'probabilities'?"),
        ("weight;carrier\n1;road\n", ["--set", "missing_columns=drop"], "missing_columns is 'drop'. Allowed: refuse, fill."),
        ("weight;carrier\n1;road\n", ["--set", "oops"], "--set oops: write it as key=value."),
    ],
)
def test_what_is_wrong_is_one_sentence(
    text: str, arguments: list[str], sentence: str, here: Path, studio: Callable[..., Result]
) -> None:
    Path("a.csv").write_text(text, encoding="utf-8")
    result = studio("predict", "soon", "a.csv", *arguments)
    assert result.code == 2 and sentence in result.err and result.err.count("\n") == 1 and not result.out


def test_files_that_are_none_of_what_is_taken(here: Path, studio: Callable[..., Result]) -> None:
    Path("pictures").mkdir()
    Path("a.pdf").write_bytes(b"%PDF")
    assert "gone.csv does not exist" in studio("predict", "soon", "gone.csv").err
    assert "a.pdf is no table that can be read. Give one of .arff, .csv, " in studio("predict", "soon", "a.pdf").err
    assert "does not look at pictures, but at weight (number), carrier" in studio("predict", "soon", "pictures").err
    assert "which file? Give a table with the columns weight, carrier, or '-'" in studio("predict", "soon").err
    assert "there is no run 'son'" in studio("predict", "son", "a.csv").err


def test_rows_that_are_none_are_left_out_and_named(here: Path, studio: Callable[..., Result]) -> None:
    Path("a.csv").write_text("weight;carrier\n1;road\n2;rail;more\n3;ship\n", encoding="utf-8")
    result = studio("predict", "soon", "a.csv")
    assert table(result)["weight"].tolist() == ["1", "3"] and "row 2 was left out: " in result.err


def test_a_run_that_was_stopped_has_no_model(made: Path, here: Path, studio: Callable[..., Result]) -> None:
    whole = Workspace.open(made / "workspace").find_run("soon")
    broken = Path(shutil.copytree(whole, here / "space" / "runs" / "soon" / whole.name))
    shutil.rmtree(broken / "model")
    result = studio("predict", "soon", "a.csv", "--workspace", here / "space")
    assert result.code == 2 and "has no model: its training has not ended. Go on with: studio train --resume soon/" in result.err


def test_pictures(image_dataset: Path, tmp_path: Path, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture, a folder with something else in it, and a table of paths."""
    from studio.data.images.rows import read_image_split

    monkeypatch.chdir(tmp_path)
    space = ["--workspace", tmp_path / "space"]
    assert studio("train", "classify/logistic", "--data", image_dataset, "--name", "seen", *space).code == 0
    rows = read_image_split(image_dataset, "test")
    folder = tmp_path / "new" / "inner"
    folder.mkdir(parents=True)
    for number, row in enumerate(rows):
        shutil.copy(image_dataset / row.image, folder / f"{number}.png")
    (tmp_path / "new" / "notes.txt").write_text("mine")
    (folder / "torn.png").write_bytes(b"\x89PNG")
    result = studio("predict", "seen", "new", *space)
    given = table(result)
    assert given["file"].tolist() == [f"inner/{number}.png" for number in range(len(rows))]
    assert "1 file is no picture and was left out: notes.txt" in result.err
    assert "torn.png cannot be read as a picture" in result.err
    one = table(studio("predict", "seen", folder / "0.png", *space))
    assert one["prediction"][0] == given["prediction"][0]
    # One row and a batch are summed in another order, so the last digits depend on the processor.
    assert float(one["probability"][0]) == pytest.approx(float(given["probability"][0]), rel=1e-5)
    given[["file"]].to_csv(tmp_path / "new" / "list.csv", index=False)
    listed = table(studio("predict", "seen", tmp_path / "new" / "list.csv", *space))
    assert listed["probability"].tolist() == given["probability"].tolist()
    torn = studio("predict", "seen", folder / "torn.png", *space)
    assert torn.code == 2 and torn.err.startswith("error: ") and "torn.png cannot be read as a picture" in torn.err
    assert "which file? Give a picture, or a folder of pictures." in studio("predict", "seen", *space).err


def test_kinds_that_say_nothing_about_rows_say_so(project: Any, studio: Callable[..., Result]) -> None:
    result = studio("predict", "doors", "a.csv")
    said = "is of kind chat, which says nothing about the rows of a file. Try it: studio app chat RUN"
    assert result.code == 2 and said in result.err
