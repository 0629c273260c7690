"""The report of a Dataset as a browser shows it on a phone and on a desk, light and dark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.data.chat.build import build_chat_dataset
from studio.schema.loading import validate
from studio.schema.recipe import ChatRecipe
from tests.data.made_rows import sentence


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with removals, changes, long words, labels and scores."""
    folder = tmp_path_factory.mktemp("report")
    rows = [{"question": f"What about case {n}? ", "answer": sentence(n), "topic": f"t{n % 3}"} for n in range(90)]
    rows += [*rows[:30], {"question": "w" * 400, "answer": "https://example.com/" + "path" * 90, "topic": "t0"}]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    steps: list[dict[str, Any]] = [{"step": step} for step in ("whitespace", "exact_duplicates", "scrub", "score")]
    source = {"type": "local", "path": str(folder / "rows.jsonl"), "licence": "CC0-1.0"}
    recipe = validate({"kind": "chat", "sources": [source], "steps": steps}, ChatRecipe)
    return build_chat_dataset(recipe, Workspace.open(folder / "ws"), name="rows").folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_fetches_nothing_and_says_first_what_to_look_at(report: Path, browser: Any, scheme: Any, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said, fetched = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(report.as_uri())
    assert page.evaluate("document.scrollingElement.scrollWidth") == width
    assert page.get_by_text("to look at").bounding_box()["y"] < 700
    assert not page.locator("mark").first.is_visible()
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.locator("mark").first.is_visible() and page.locator("mark").first.inner_text() == "␣"
    assert page.evaluate("document.scrollingElement.scrollWidth") == width
    bands = [band.bounding_box() for band in page.locator(".flow svg").all()]
    assert len(bands) == 6 and len({round(band["width"]) for band in bands}) == 1, "all bands have one scale"
    assert fetched == [report.as_uri()] and said == []
    context.close()
