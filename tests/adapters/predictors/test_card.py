"""The card of a predictor says how to ask it, what it reads and gives, and what it is held against."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from studio.core.workspace import Workspace
from tests.conftest import call_studio
from tests.evals.predictors.conftest import CREDIT, credit_rows


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("cards")
    space = ["--workspace", folder / "workspace"]
    (folder / "credit.csv").write_text(credit_rows())
    (folder / "credit.yaml").write_text(CREDIT + "columns:\n  - {name: debt, unit: kEUR, about: 'what is owed'}\n")
    for recipe in (folder / "credit.yaml", "table/diabetes"):
        assert call_studio("data", "build", recipe, *space) == 0
    tuned = ["--set", "threshold=tuned", "--set", "estimator.C=0.5"]
    assert call_studio("train", "classify/logistic", "--data", "credit", "--name", "credit", *tuned, *space) == 0
    assert call_studio("train", "regress/ridge", "--data", "diabetes", "--name", "diabetes", *space) == 0
    return Workspace.open(folder / "workspace")


def card(run: Path) -> str:
    return (run / "README.md").read_text()


def test_the_card_of_a_classifier(workspace: Workspace) -> None:
    run = workspace.find_run("credit")
    text = card(run)
    head = yaml.safe_load(text.split("---")[1])
    assert head["pipeline_tag"] == "tabular-classification" and "classifier" in head["tags"]
    assert "Labels of `risk` by logistic, trained on the dataset `credit`" in text
    assert f"studio predict credit/{run.name} rows.csv --probabilities --out answers.csv" in text
    assert "| debt | number | kEUR | what is owed |" in text and "| job | category |" in text and "cook" in text
    assert "`failed` is given from a probability of" in text and "Baseline: always `repaid`." in text
    assert "| estimator.C | 0.5 |" in text and "how it treats groups of people" in text
    assert f"Not evaluated yet: `studio eval classification --model {run.name.rpartition('-')[2]}`" in text


def test_the_card_of_a_regressor_names_interval_and_mean(workspace: Workspace) -> None:
    text = card(workspace.find_run("diabetes"))
    assert "Numbers of `target` by ridge" in text and "tabular-regression" in text
    assert "made to hold 90% of the true values" in text and "Baseline: always the mean of the training rows" in text
    assert "| bmi | number | kg/m2 | body mass index |" in text


def test_its_code_works_as_pasted(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = workspace.find_run("credit")
    code = card(run).split("```python\n")[1].split("```")[0]
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "model").symlink_to(run / "model")
    (folder / "rows.csv").write_text("debt,income,job\n4.5,40,smith\n20,12,cook\n")
    monkeypatch.chdir(folder)
    exec(code, {})
    assert "repaid" in capsys.readouterr().out


def test_a_run_that_did_not_finish_has_a_plain_card(workspace: Workspace, tmp_path: Path) -> None:
    import shutil

    from studio.adapters.card import write_model_card

    run = Path(shutil.copytree(workspace.find_run("credit"), tmp_path / "runs" / "credit" / "one"))
    shutil.rmtree(run / "model")
    write_model_card(run)
    text = card(run)
    assert "A model of kind classifier" in text and "What it reads" not in text
