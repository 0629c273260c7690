"""The trend over evaluations: points in the order of time, joined only where they were measured alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from studio.core.errors import UserError
from studio.core.files import write_json
from studio.core.records import ReportRecord, Score, TaskRecord
from studio.core.workspace import Workspace
from studio.evals.trend import find_followed, read_trends, segments
from studio.evals.trend_page import render_trends
from tests.evals.test_page import NASTY, Links

if TYPE_CHECKING:
    from tests.conftest import Result


def write_report(root: Path, day: int, value: float | None, *, rows: int = 40, by: str = "torch 2.1.0, x", **other: Any) -> Path:
    """A report of one day, its scores made by hand."""

    def score(metric: str, at: float | None, **more: Any) -> Score:
        bounds = {} if at is None else {"low": at - 0.1, "high": at + 0.1}
        given = {"unit": "share of rows", "better": "higher", "n": rows, "made_with": by, "task": "answers"}
        return Score(metric=metric, value=at, **(given | bounds | more))

    suite = other.get("suite", "mine")
    reason, title = None if value else "nothing could be scored", other.get("title", "Right answers")
    tuned = [score("answers.right", value, title=title, reason=reason)]
    tuned += [score("bias.ss", 50 + 10 * (value or 0), unit="points", better="neither", ideal=50.0, title="Stereotype score")]
    record = ReportRecord(
        suite=suite,
        created=f"2026-11-{day:02d}T10:00:00+00:00",
        dataset={"rows": rows},
        models={"tuned": {"kind": "run", "name": "faq", "dtype": "bfloat16"}},
        scores={"tuned": tuned, "base": [score("answers.right", 0.4)]},
        tasks=[
            TaskRecord(name="answers", type="conversation", rows=rows, data={"fingerprint": "f1"}, settings={"metrics": ["x"]})
        ],
        gate={
            "thresholds": 2,
            "missed": ["right is 0.2"] if (value or 0) < 0.5 else [],
            "not_shown": ["right is 0.5 on 10 rows"] if rows < 20 or not value else [],
        },
        studio_version="0",
    )
    folder = root / suite / f"202611{day:02d}-100000"
    folder.mkdir(parents=True)
    write_json(folder / "scores.json", record.model_dump(mode="json"))
    return folder


@pytest.fixture
def family(workspace: Workspace) -> Workspace:
    """Two runs called faq, evaluated on seven days, one of them on fewer rows, one without a value, one by a newer library."""
    first, second = (workspace.runs / "faq" / f"2026110{number}-000000-run{number}" for number in (1, 2))
    for folder in (first, second):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    write_report(first / "evals", 3, 0.5)
    write_report(first / "evals", 1, 0.3)
    write_report(first / "evals", 2, 0.45)
    write_report(second / "evals", 4, None)
    write_report(second / "evals", 5, 0.6, by="torch 2.9.0+cpu, x")
    write_report(second / "evals", 6, 0.8, rows=10)
    write_report(second / "evals", 7, 0.7)
    write_report(second / "evals", 8, 0.7, suite="other", title=NASTY)
    return workspace


def test_the_points_of_a_family_are_joined_only_where_they_were_measured_alike(family: Workspace) -> None:
    followed = find_followed("faq", family)
    trends, problems = read_trends(followed)
    assert [trend.suite for trend in trends] == ["mine", "other"] and not problems and followed.family
    right, _ = trends[0].series
    assert [point.tuned.value for point in right.points if point.tuned] == [0.3, 0.45, 0.5, None, 0.6, 0.8, 0.7]
    # The newer library is the same measure, ten rows are not.
    assert [[point.number for point in part] for part in segments(right.points)] == [[1, 2, 3, 5], [6], [7]]
    alone, _ = read_trends(find_followed("run1", family), "mine")
    assert len(alone[0].evaluations) == 3 and not find_followed("run1", family).family
    with pytest.raises(UserError, match="not evaluated with the suite 'mien'. Did you mean 'mine'"):
        read_trends(followed, "mien")


def test_the_page_stands_alone_and_escapes_what_others_wrote(family: Workspace, tmp_path: Path) -> None:
    followed = find_followed("faq", family)
    html = render_trends(followed, read_trends(followed)[0], family.root / "reports" / "trends" / "faq.html")
    assert "<script" not in html and "&lt;script&gt;" in html
    assert 'href="../../runs/faq/20261101-000000-run1/evals/mine/20261101-100000/report.html"' in html
    assert html.count('class="break"') == 4 and "nothing could be scored" in html
    # Too few rows is its own verdict here too, and not green.
    gates = re.findall(r'data-label="Gate" class="(\w*)">([^<]*)<', html)
    assert gates[:7] == [
        ("bad", "1 of 2 missed"), ("bad", "1 of 2 missed"), ("good", "met"), ("bad", "1 of 2 missed, 1 not shown"),
        ("good", "met"), ("", "1 of 2 not shown"), ("good", "met"),
    ]  # fmt: skip
    chart = re.search(r"<svg.*?</svg>", html, re.DOTALL)
    assert chart is not None and chart.group().count('class="tuned"') == 6 and "5: 60.0%" in chart.group()
    links = Links()
    links.feed(html)
    assert len(links.fetched) == 8 and all(link.endswith("report.html") for link in links.fetched)


def test_it_is_printed_and_written(family: Workspace, studio: Callable[..., Result], tmp_path: Path) -> None:
    space = ("--workspace", family.root)
    broken = family.runs / "faq" / "20261101-000000-run1" / "evals" / "mine" / "20261109-100000"
    broken.mkdir()
    (broken / "scores.json").write_text("{")
    done = studio("runs", "trend", "faq", "mine", *space)
    assert done.code == 0 and "left out: " in done.err and "cut off or damaged" in done.err
    line = next(line for line in done.out.splitlines() if line.startswith("answers.right"))
    assert line.split() == ["answers.right", "0.3", "[0.2,", "0.4]", "0.8", "[0.7,", "0.9]", "0.7", "[0.6,", "0.8]", "6", "1"]
    assert (family.root / "reports" / "trends" / "faq.html").is_file()
    found = studio("runs", "trend", "faq", "--to", tmp_path / "page.html", "--json", *space).json
    assert found["family"] and len(found["suites"][0]["metrics"]["answers.right"]) == 7 and (tmp_path / "page.html").is_file()
    again = studio("runs", "trend", "faq", "--to", tmp_path / "page.html", *space)
    assert again.code == 2 and "not overwritten" in again.err
    (family.runs / "faq" / "20261103-000000-run3").mkdir()
    (family.runs / "faq" / "20261103-000000-run3" / "run.json").write_text("{}")
    empty = studio("runs", "trend", "run3", *space)
    assert empty.code == 2 and "was not evaluated yet. Do it: studio eval" in empty.err
