"""``evaluate.load("evals/metrics/…")`` works offline, and gives what the libraries give by themselves."""

from __future__ import annotations

import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

evaluate = pytest.importorskip("evaluate", reason="the package evaluate is for development only")

ROOT = Path(__file__).resolve().parents[2] / "evals" / "metrics"
SAID = ["The door must be 80 centimetres wide.", "One metre", "no idea at all", "räcket ska vara en meter"]
TRUE = [
    "A door must be at least 80 centimetres wide.",
    "one metre.",
    "In the building regulations.",
    "Räcket ska vara en meter högt",
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def load(name: str):
    return evaluate.load(str(ROOT / name))


@pytest.mark.parametrize("name", sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir()))
def test_every_folder_loads_and_says_what_it_is(name: str) -> None:
    metric = load(name)
    assert metric.description and metric.citation and metric.name == name
    assert metric.description in (ROOT / name / "README.md").read_text()
    assert metric.inputs_description.startswith("\nArgs:\n    predictions: ") and "\nReturns:\n    " in metric.inputs_description
    assert pickle.loads(pickle.dumps(type(metric))) is type(metric)


def test_what_a_folder_says_of_itself() -> None:
    metric = load("bleu")
    assert str(metric.features) == "{'predictions': Value('string'), 'references': Value('string')}"
    assert metric.inputs_description == (
        "\nArgs:\n    predictions: list of texts.\n    references: list of texts, one per prediction.\n"
        "Returns:\n    score: the score.\n    made_with: library and settings.\n"
    )
    assert load("rouge").inputs_description.endswith("Returns:\n    rouge1, rouge2, rougeL: F1, 0 to 1.\n")
    assert str(load("mae").features) == "{'predictions': Value('float64'), 'references': Value('float64')}"
    assert load("r_squared").citation == "Pedregosa et al. 2011, scikit-learn" and type(load("r_squared")).__doc__ == "R²."
    with pytest.raises(TypeError, match=r"^Bleu\._compute\(\) got an unexpected keyword argument 'more'$"):
        metric.compute(predictions=["a"], references=["a"], more=1)


def test_bleu_is_that_of_sacrebleus_command_line(tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("\n".join(SAID) + "\n")
    (tmp_path / "true.txt").write_text("\n".join(TRUE) + "\n")
    for name in ("bleu", "chrf", "ter"):
        done = subprocess.run(
            [sys.executable, "-m", "sacrebleu", "true.txt", "-i", "said.txt", "-m", name, "-b", "-w", "6"],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found = load(name).compute(predictions=SAID, references=TRUE)
        assert found["score"] == pytest.approx(float(done.stdout), abs=1e-6), name
        assert "sacrebleu" in found["made_with"] and "nrefs:1" in found["made_with"]


def test_words_and_labels_and_numbers() -> None:
    from sklearn import metrics

    assert load("exact_match").compute(predictions=SAID, references=TRUE)["exact_match"] == 0.25
    assert load("token_f1").compute(predictions=["a red door"], references=["the red roof"])["f1"] == 0.5
    rouge = load("rouge").compute(predictions=SAID, references=TRUE)
    assert 0 < rouge["rouge2"] < rouge["rougeL"] <= rouge["rouge1"] < 1
    said, true = ["a", "b", "c", "a", "x"], ["a", "b", "b", "c", "c"]
    assert load("accuracy").compute(predictions=said, references=true)["accuracy"] == 0.4
    expected = metrics.f1_score(true, said, average="macro", zero_division=0)  # "x" is a class, though it is never true
    assert load("f1").compute(predictions=said, references=true)["f1"] == pytest.approx(expected)
    assert load("matthews_correlation").compute(predictions=said, references=true)["matthews_correlation"] == pytest.approx(
        metrics.matthews_corrcoef(true, said)
    )
    assert load("mse").compute(predictions=[1.0, 2.0, 4.0], references=[1.0, 3.0, 3.0])["mse"] == pytest.approx(2 / 3)
    assert load("r_squared").compute(predictions=[1.0, 2.0, 4.0], references=[1.0, 3.0, 3.0])["r_squared"] == pytest.approx(0.25)


def test_perplexity_of_plain_texts(tiny_base: Path) -> None:
    found = load("perplexity").compute(predictions=["The door.", "The wall is high."], model_id=str(tiny_base))
    low, high = sorted(found["perplexities"])
    assert 1 < low <= found["perplexity"] <= high


def test_a_folder_can_be_copied_away(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "bleu", tmp_path / "bleu")
    assert evaluate.load(str(tmp_path / "bleu")).compute(predictions=["a b c d"], references=["a b c d"])[
        "score"
    ] == pytest.approx(100)


# The module of a folder as it was written before the studio made the class: copies of it are at people's places.
OLDER = """
from typing import Any

import datasets
import evaluate

from studio.evals.metrics.plain import label_score, number_score, text_perplexity, text_score


class Older(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})
        return evaluate.MetricInfo(description="d", citation="c", inputs_description="i", features=features)

    def _compute(self, predictions: list[str], references: list[str], model_id: str) -> dict[str, Any]:
        return {
            "words": text_score("exact_match", predictions, references)["value"],
            "labels": label_score("accuracy", predictions, references),
            "numbers": number_score("mae", [1.0], [2.0]),
            "perplexities": text_perplexity(predictions, model_id, batch_size=2)["perplexities"],
        }
"""


def test_an_older_copy_of_a_folder_goes_on_working(tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "older.py").write_text(OLDER)
    metric = evaluate.load(str(tmp_path / "older"))
    found = metric.compute(predictions=["a door", "a wall"], references=["a door", "no"], model_id=str(tiny_base))
    assert (found["words"], found["labels"], found["numbers"]) == (0.5, 0.5, 1.0)
    assert all(value > 1 for value in found["perplexities"])
