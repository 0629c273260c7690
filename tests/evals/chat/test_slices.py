"""Slices by a column and rows that belong together, on a tiny run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from studio.core.errors import UserError
from studio.evals.runner import evaluate_run
from studio.evals.suites import load_suite
from tests.evals.conftest import chat_rows, write_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from tests.evals.conftest import Tiny

SHORT = ("generation.max_new_tokens=4", "resamples=100")


def suite(tmp_path: Path, more: str):
    path = tmp_path / "sliced.yaml"
    path.write_text(f"name: sliced\ntasks:\n  - type: conversation\n    name: t\n    metrics: [perplexity, distinct_1]\n{more}")
    return load_suite(str(path), SHORT)


@pytest.fixture
def rows(tiny: Tiny) -> Path:
    """Twenty-four questions of six people about two topics; two rows name nobody."""
    found = chat_rows("asked", 24, 500)
    people = [f"person {place // 4}" if place > 1 else None for place in range(24)]
    topics = ["doors" if place % 3 else "stairs" for place in range(24)]
    marked = [replace(row, meta={"topic": topic, "who": who}) for row, topic, who in zip(found, topics, people, strict=True)]
    return write_dataset(tiny.workspace, "asked", {"test": marked})


def test_every_metric_is_shown_for_each_value_of_a_column(tiny: Tiny, rows: Path, tmp_path: Path) -> None:
    folder, record = evaluate_run(tiny.run, suite(tmp_path, "    slices: [topic]\n"), data=rows)
    by_title = {group.title: group for group in record.groups}
    assert set(by_title) == {"Perplexity by topic", "Distinct-1 by topic"}
    doors, stairs = by_title["Perplexity by topic"].scores["tuned"]
    assert (doors.metric, doors.n, stairs.metric, stairs.n) == ("doors", 16, "stairs", 8)
    assert doors.low is not None and stairs.low is None and doors.value != stairs.value
    whole = record.scores["tuned"][0].value
    assert min(doors.value, stairs.value) < whole < max(doors.value, stairs.value)
    page = (folder / "report.html").read_text()
    assert "Perplexity by topic" in page and "It rests on 24 rows; answers wanted in English; computed in float32" in page


def test_rows_of_one_person_count_once(tiny: Tiny, rows: Path, tmp_path: Path) -> None:
    _, alone = evaluate_run(tiny.run, suite(tmp_path, ""), data=rows)
    _, record = evaluate_run(tiny.run, suite(tmp_path, "    cluster: who\n"), data=rows)
    single, found = alone.scores["tuned"][0], record.scores["tuned"][0]
    assert found.value == single.value and found.n == 24 and single.clusters is None
    # Six people, of whom the first asked two questions without a name: each of these stands for itself.
    assert found.clusters == 8 and found.low is None and "8 independent examples" in found.interval and single.low is not None
    assert record.differences[0].low is None and "permutation" in record.differences[0].method


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("    slices: [topci]\n", "slices: no row has a column 'topci'. Did you mean 'topic'? Columns: topic, who."),
        ("    cluster: whom\n", "cluster: no row has a column 'whom'. Did you mean 'who'?"),
    ],
)
def test_a_column_that_is_not_there(tiny: Tiny, rows: Path, tmp_path: Path, more: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        evaluate_run(tiny.run, suite(tmp_path, more), data=rows)
    assert str(caught.value).startswith(sentence)
