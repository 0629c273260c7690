"""For everybody: axe-core finds nothing, no page is wider than its window, all of it is reached with the keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from studio.pages.table import ROOMS
from tests.conftest import Project

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

SCHEMES = ("light", "dark")


def pages_of(project: Project) -> list[str]:
    """The pages of the road, and those behind them."""
    run = f"{project.run.parent.name}/{project.run.name}"
    return [*(room.path for room in ROOMS), f"/runs/{run}", f"/runs/compare?run={run}&run=last", "/jobs", "/nothing-here"]


@pytest.fixture
def pages(project: Project, address: Callable[..., str]) -> list[str]:
    """Addresses of all of them, over a workspace that has a Dataset and a run."""
    url = address(project.workspace)
    return [url + path for path in pages_of(project)]


def told(violation: dict[str, Any]) -> str:
    return f"{violation['id']}: {violation['help']} {[node['html'][:160] for node in violation['nodes'][:3]]}"


@pytest.mark.long
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing(scheme: str, pages: list[str], visit: Callable[..., Any]):
    page = visit(pages[0], color_scheme=scheme)
    found = {}
    for url in pages:
        page.goto(url)
        page.wait_for_timeout(300)
        if "/apps/" in page.url:
            continue  # Gradio's own components; docs/apps.md says what axe-core finds in them
        violations = axe.Axe().run(page).response["violations"]
        found.update({page.url: [told(one) for one in violations]} if violations else {})
    assert found == {}


@pytest.mark.long
@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_no_page_is_wider_than_a_telephone(language: str, pages: list[str], browser: Any):
    context = browser.new_context(viewport={"width": 390, "height": 800}, locale=language)
    page = context.new_page()
    wide = {}
    for url in pages:
        page.goto(url)
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > 390 and "/apps/" not in page.url:
            wide[url] = width
    context.close()
    assert wide == {}


def test_the_keyboard_reaches_what_there_is(pages: list[str], visit: Callable[..., Any]):
    """The skip link first, then the road in order, then what the page holds; what has the focus can be seen."""
    page = visit(pages[0])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    page.goto(pages[0])
    reached = []
    for _ in range(len(ROOMS) + 2):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('href')"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached
    assert reached == ["#main", "/", *(room.path for room in ROOMS)]
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: ROOMS[-1].path in url or "/apps/" in url)


def test_what_is_live_keeps_the_focus_and_what_was_opened(project: Project, pages: list[str], visit: Callable[..., Any]):
    """A part that is drawn anew takes neither the focus nor the place away, and does not flicker: what is the same stays."""
    page = visit(next(url for url in pages if url.endswith(project.run.name)))
    page.wait_for_timeout(2_000)
    page.evaluate("document.querySelector('[data-live] svg').dataset.mine = 'yes'")
    page.focus("a.button.primary")
    page.wait_for_timeout(4_000)
    assert page.evaluate("document.querySelector('[data-live] svg').dataset.mine") == "yes"
    assert page.evaluate("document.activeElement.className").startswith("button")
