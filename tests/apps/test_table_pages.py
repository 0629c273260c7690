"""A table in the data app and its report, as a browser shows them on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.apps import data
from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from tests.data.tables.made_tables import build, credit


@pytest.fixture
def outcome(tmp_path: Path) -> BuildOutcome:
    """A table of many columns with a row that went."""
    frame = credit(120)
    for number in range(12):
        frame[f"a measure with a rather long name, number {number}"] = frame["income"] * (number + 1) + number
    frame.loc[5, "repaid"] = None
    frame.to_csv(tmp_path / "rows.csv", index=False)
    steps = [{"step": "outliers"}, {"step": "leaks"}]
    return build(tmp_path / "rows.csv", Workspace(tmp_path / "ws"), target="repaid", steps=steps)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_never_scrolls_sideways_and_fetches_nothing(outcome: BuildOutcome, browser: Any, scheme: Any) -> None:
    url = (outcome.folder / "report.html").as_uri()
    for width in (1280, 390):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page, said, fetched = context.new_page(), [], []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("request", lambda request, fetched=fetched: fetched.append(request.url))
        page.goto(url)
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert page.evaluate("document.scrollingElement.scrollWidth") == width
        assert fetched == [url] and said == []
        context.close()


def test_rows_and_what_was_removed_are_shown_in_the_data_app(
    outcome: BuildOutcome, serve: Callable[..., str], visit: Callable[..., Any]
) -> None:
    page = visit(serve(data.build(Workspace.open(outcome.folder.parents[2]), "rows")))
    page.locator("#rows").get_by_text("rows/1", exact=True).first.wait_for()
    heads = page.locator("#rows thead").first.inner_text()
    assert "repaid" in heads and "income" in heads and "question" not in heads
    page.locator("#detail").get_by_text("a measure with a rather long name, number 11").wait_for()
    page.locator("#part").get_by_text("removed").click()
    page.locator("#rows").get_by_text("read: the target is missing").locator("visible=true").first.wait_for()
