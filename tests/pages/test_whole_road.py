"""From an empty workspace and an own file to a tuned, measured model that is talked to and rated, by clicks alone."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.jobs.records import list_jobs
from tests.conftest import DOORS


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    """Forty questions with their answers, as a spreadsheet writes them."""
    file = tmp_path / "my doors.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["question", "answer"])
        writer.writeheader()
        writer.writerows(DOORS)
    return file


def settle(page: Any, selector: str, seconds: float = 180) -> None:
    """Wait until something is on the page, however often it is drawn anew."""
    page.locator(selector).first.wait_for(state="visible", timeout=1000 * seconds)


@pytest.mark.parametrize(
    "language", [pytest.param("en-US", marks=pytest.mark.long), pytest.param("zh-CN", marks=pytest.mark.soak)]
)
def test_from_an_own_file_to_a_rated_answer(
    language: str, workspace: Workspace, tiny_base: Path, own_file: Path, address: Callable[..., str], browser: Any
):
    context = browser.new_context(viewport={"width": 1200, "height": 950}, locale=language)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address())

    # Data: the file is brought, looked at, and built as it was proposed.
    page.click('main a.button.primary[href="/data/-/new"]')
    page.set_input_files("#files", own_file)
    page.click('form[action^="/data/-/upload"] button.primary')
    settle(page, "#recipe-text")
    page.fill("#recipe-name", "doors")
    page.click('button[name="then"][value="build"]')
    settle(page, 'a[href^="/data/doors/"]')
    page.click('a[href^="/data/doors/"]')
    page.click('main a[href^="/train?data="]')

    # Train: a tiny base, few steps; whether it fits is known before Start can be pressed.
    page.fill("#other_model", str(tiny_base))
    page.fill('[id="s.epochs"]', "4")
    page.fill("#name", "mine")
    page.click("#settings section button:not([formaction])")
    settle(page, "#start")
    page.click("#start")
    page.wait_for_url("**/runs/mine/**", timeout=180_000)
    settle(page, ".badge.finished")
    settle(page, ".plot")

    # Evaluate: the report stands on its page.
    page.click('main a.button.primary[href^="/evaluate"]')
    page.check('input[name="suite"][value="chatbot"]')
    page.fill("#limit", "4")
    page.click('button[name="do"][value="start"]')
    settle(page, 'a[href*="/evaluate/mine/"], iframe')
    link = page.locator('main a[href*="/evaluate/mine/"]').first
    if link.count():
        link.click()
    settle(page, "table .verdict, .verdict")

    # Try: an answer, and a thumb for it.
    page.click('nav.road a[href="/try"]')
    page.locator('main a.button.primary[href*="/apps/chat/"]').first.click()
    settle(page, "#question textarea")
    # Gradio shows a page before it listens to it; once the models are listed, it does.
    page.wait_for_function("document.querySelector('#model input')?.value", timeout=120_000)
    page.fill("#question textarea", DOORS[0]["question"])
    page.press("#question textarea", "Enter")
    like = f"#chat button[aria-label='{'赞' if language == 'zh-CN' else 'Like'}']"  # Gradio's own word
    settle(page, like)
    page.locator(like).last.click()
    page.wait_for_timeout(1500)
    context.close()

    store = FeedbackStore(workspace.root / FILE_NAME)
    assert [row["value"] for row in store.current_ratings()] == [1]
    store.close()
    assert {job.record.arguments[0] for job in list_jobs(workspace)} >= {"data", "train", "eval", "plan"}
    assert all(job.status == "done" for job in list_jobs(workspace))
