"""Reports of evaluations and the trend over them, as a browser shows them on a phone and on a desk, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Result

ROWS = "".join(f"{label},{said},{sex},{town}\n" for label, said, sex, town in [
    ("yes", "yes", "f", "Oslo"), ("no", "no", "f", "Lund"), ("yes", "no", "m", "Oslo"), ("no", "no", "m", "Åbo"),
] * 10)  # fmt: skip


@pytest.fixture
def reports(talking: Any, studio: Callable[..., Result], tmp_path: Path) -> dict[str, Path]:
    """A report on answers with every text metric and its signature, one on groups of people, and the trend over two."""
    (tmp_path / "loans.csv").write_text("label,prediction,sex,town\n" + ROWS)
    options = ("--set", "resamples=100", "--json")
    talk = ("--model", "last", "--limit", "6", "--set", "generation.max_new_tokens=8", *options)
    found = [Path(studio("eval", "chatbot", *talk).json["report"]) / "report.html" for _ in range(2)]
    settings = (f"tasks.0.predictions.file={tmp_path / 'loans.csv'}", "tasks.0.group=sex", "tasks.0.positive='yes'")
    people = studio("eval", "fairness", *(part for item in settings for part in ("--set", item)), *options)
    trend = tmp_path / "trend.html"
    assert studio("runs", "trend", "last", "--to", trend).code == 0
    return {"answers": found[0], "people": Path(people.json["report"]) / "report.html", "trend": trend}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways_or_fetches_anything(reports: dict[str, Path], browser: Any, scheme: Any) -> None:
    for name, path in reports.items():
        for width in (1280, 390):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page, said, fetched = context.new_page(), [], []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("request", lambda request, fetched=fetched: fetched.append(request.url))
            page.goto(path.as_uri())
            closed = page.evaluate("document.scrollingElement.scrollWidth")
            folded = page.locator("details:not([open])").count()
            page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
            assert (closed, page.evaluate("document.scrollingElement.scrollWidth")) == (width, width), (name, width)
            assert fetched == [path.as_uri()] and said == [], (name, width)
            assert folded or name == "trend"
            context.close()


def test_the_first_lines_say_what_it_rests_on_and_signatures_and_groups_are_folded(
    reports: dict[str, Path], browser: Any
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.goto(reports["answers"].as_uri())
    basis = page.locator(".basis")
    assert "It rests on 6 rows; answers wanted in English; computed in float32" in basis.inner_text()
    assert basis.bounding_box()["y"] < 300
    # Six rows carry no threshold: what is seen may be good, and is not green.
    assert page.locator(".gate-met").count() == 0 and "would need more examples" in page.locator(".summary").first.inner_text()
    signature = page.get_by_text("nrefs:1").first
    assert not signature.is_visible()
    page.get_by_text("How each number was made").locator("xpath=following::summary").first.click()
    assert signature.is_visible()
    page.goto(reports["people"].as_uri())
    assert "It rests on 40 rows of loans.csv" in page.locator(".basis").inner_text()
    group = page.get_by_text("Rate of the good outcome by group")
    assert not page.get_by_text("small group").last.is_visible()
    group.click()
    assert page.locator("details[open]").count() == 1
    context.close()
