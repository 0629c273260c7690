"""The pages of searches and comparisons: verdict first, every trial there, nothing fetched, nothing of others run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from studio.search import comparison, record
from studio.search.charts import Dot, setting_chart, trials_chart
from studio.search.comparison_page import render_page as render_comparison
from studio.search.journal import Journal, Trial
from studio.search.page import render_page
from studio.search.record import SearchRecord
from studio.search.space import Choices, Range
from tests.conftest import Result, call_studio

Studio = Callable[..., Result]


@pytest.fixture(scope="module")
def made(flowers_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace of its own with a search and a comparison, neither of which is changed."""
    root = Path(shutil.copytree(flowers_made, tmp_path_factory.mktemp("pages") / "workspace"))
    space = ["--workspace", root]
    searching = ["search", "classify/logistic", "--data", "iris", "--set", "estimator.C=0.01..100:log", "--trials", 3]
    assert call_studio(*searching, "--by", "random", "--suite", "none", "--name", "page", *space) == 0
    presets = ["classify/logistic", "classify/naive-bayes", "classify/svm"]
    assert call_studio("compare", *presets, "--data", "iris", "--folds", 2, "--name", "page", *space) == 0
    yield Workspace.open(root)


def the_search(made: Workspace) -> tuple[Path, SearchRecord, list[Trial]]:
    [place] = [folder for folder in record.searches(made) if folder.parent.name == "page"]
    return place, record.read(place), Journal(place).trials


def test_the_page_of_a_search_is_whole_and_fetches_nothing(made: Workspace) -> None:
    place, found, trials = the_search(made)
    page = (place / "report.html").read_text(encoding="utf-8")
    assert page == render_page(place, found, trials)
    assert "On rows that the search never saw: " in page.split("<h2>")[0] and "Luck: the best of 3" in page
    table = page.split("<h2>All trials</h2>")[1]
    assert all(f"<td>trial {number}</td>" in table for number in (1, 2, 3)) and "<td>the preset&#39;s own settings</td>" in table
    assert not re.search(r"<script|<link|src=|url\(|@import", page)
    charts = page.split("<h2>Every trial</h2>")[1]
    assert charts.count("<circle") == 8  # four trials by number and by setting


def test_what_others_wrote_is_escaped(made: Workspace) -> None:
    place, found, trials = the_search(made)
    bad = Trial(4, "failed", settings={"estimator.C": "<script>"}, reason="<script>alert(1)</script>")
    page = render_page(place, found.model_copy(update={"name": "<script>"}), [*trials, bad])
    assert "<script>" not in page and "&lt;script&gt;alert(1)" in page and 'class="cross"' in page


def test_the_page_of_a_comparison_says_what_it_rests_on(made: Workspace) -> None:
    [place] = comparison.comparisons(made)
    found = comparison.read(place)
    page = (place / "report.html").read_text(encoding="utf-8")
    assert page == render_comparison(found)
    assert "has the best log_loss" in page.split("<h2>")[0]
    assert "here it is a fold of one" in page and "Test rows were not read" in page
    assert page.count('class="verdict"') == 3 and "critical difference" in page
    assert not re.search(r"<script|<link|src=|url\(|@import", page)


def test_one_hopeless_trial_does_not_press_the_others_into_a_line() -> None:
    dots = [Dot(number, 1.0 + number / 100, 0.01) for number in range(20)] + [Dot(20, 1e9), Dot(21, None)]
    drawn = trials_chart(dots, "lower", "told")
    heights = [float(value) for value in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', drawn)]
    assert max(heights[:20]) - min(heights[:20]) > 60 and min(heights) == heights[20]
    assert 'class="cross"' in drawn


def test_settings_stand_where_they_are_on_their_axis() -> None:
    dots = [Dot(value, 1.0) for value in (0.01, 1.0, 100.0)] + [Dot(1000.0, 1.0)]
    drawn = setting_chart(dots, Range("C", 0.01, 100.0, log=True), "told")
    places = [float(value) for value in re.findall(r'<circle cx="([\d.]+)"', drawn)]
    assert len(places) == 3 and places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)
    choices = setting_chart([Dot(None, 1.0), Dot(4, 2.0)], Choices("depth", (None, 4, 8)), "told")
    assert choices.count("<circle") == 2 and "None" in choices
