"""The page of a table: whole without a network, everything from data escaped, figures that agree, readable on a phone."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from tests.data.tables.made_tables import build, credit

EVIL = '<script>alert("x")</script>'
STEPS = [
    {"step": "exact_duplicates"}, {"step": "missing"}, {"step": "outliers"}, {"step": "suspicious_numbers"}, {"step": "leaks"},
]  # fmt: skip


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> BuildOutcome:
    """A table with something of everything, built once."""
    folder = tmp_path_factory.mktemp("report")
    frame = credit(400)
    frame.loc[::11, "city"] = EVIL
    frame.loc[::9, "income"] = np.nan
    frame[EVIL] = np.where(frame["repaid"] == "yes", 1.0, 0.0) + np.random.default_rng(0).normal(0, 0.05, 400)
    frame = pd.concat([frame, frame.iloc[[3]]])
    frame.to_csv(folder / "rows.csv", index=False)
    fields = {"target": "repaid", "protected": ["age"], "columns": [{"name": "income", "unit": "EUR", "about": EVIL}]}
    return build(folder / "rows.csv", Workspace(folder / "ws"), steps=STEPS, **fields)


@pytest.fixture(scope="module")
def page(outcome: BuildOutcome) -> str:
    return (outcome.folder / "report.html").read_text(encoding="utf-8")


def test_everything_is_inside_and_escaped(page: str) -> None:
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.findall(r'(?:src|href)="', page) and not re.search(r"url\(|@import|https?://", page)


def test_every_part_is_there_with_the_figures_of_the_record(page: str, outcome: BuildOutcome) -> None:
    extra = outcome.record.model_extra or {}
    for heading in (
        "Splits",
        "Columns",
        "Missing values",
        "What might give the target away",
        "Correlations",
        "Values far from the rest",
    ):
        assert f"<h2>{heading}</h2>" in page
    shares = extra["label_shares"]["train"]
    assert re.search(rf"{shares['yes']} <span class=\"soft\">\({100 * shares['yes'] / sum(shares.values()):.1f}%\)", page)
    assert f"{extra['leaks']['scores']['city']:.3f}" in page
    assert "Above the bound of 0.98: &lt;script&gt;" in page
    assert page.count('class="small"><g>') == len(extra["columns"]), "a plot for each column"
    assert page.count("<tr") > 20 and "<b>exact_duplicates</b>: repeats an earlier row" in page


def test_a_target_of_numbers_has_its_figures_by_split(tmp_path: Path) -> None:
    credit(200).to_csv(tmp_path / "rows.csv", index=False)
    folder = build(tmp_path / "rows.csv", Workspace(tmp_path / "ws"), target="income").folder
    page = (folder / "report.html").read_text(encoding="utf-8")
    test = pd.read_parquet(folder / "test.parquet")["income"]
    assert "<h3>income</h3>" in page and f"{test.median():.4g}" in page and "What might give the target away" not in page
