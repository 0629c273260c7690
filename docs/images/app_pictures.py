"""Take the pictures of the apps in docs/: ``python docs/images/app_pictures.py WORKSPACE [NAME...]``.

The workspace holds runs (``studio quickstart``, ``studio quickstart --images``) and is written to: questions are asked, thumbs
and votes given. The monitor is shown on made-up traffic in a workspace of its own, because a fresh one has next to none. What
the image app paints can be chosen with STUDIO_PICTURE_PROMPT.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from studio.apps import annotate, chat, compare, data, image, monitor
from studio.apps.frame import Serving, launch
from studio.core.workspace import Workspace
from studio.feedback.store import FeedbackStore, Origin, RequestRow

FOLDER = Path(__file__).parent
WIDE, LOW, NARROW = {"width": 1180, "height": 860}, {"width": 1180, "height": 640}, {"width": 400, "height": 800}
PROMPT = os.environ.get("STUDIO_PICTURE_PROMPT", "red apple")
QUESTIONS = ("Do I need a building permit for a friggebod?", "What is a control plan?")


def show_chat(page: Page) -> None:
    """Two questions, a thumb down, and the box for a correction."""
    page.locator("#model input").wait_for()
    for question in QUESTIONS:
        page.locator("#question textarea").fill(question)
        page.locator("#question textarea").press("Enter")
        page.locator("#send").wait_for(state="hidden")
        page.locator("#send").wait_for(state="visible", timeout=240_000)
    page.locator("#chat button[aria-label='Dislike']").last.click()
    page.locator("#correction").wait_for(state="visible")
    page.wait_for_timeout(600)
    page.evaluate("window.scrollTo(0, 0)")


def show_compare(page: Page) -> None:
    """A vote and what it reveals."""
    page.locator("#one input").wait_for()
    page.locator("#question textarea").fill(QUESTIONS[0])
    page.locator("#ask").click()
    page.locator("#vote-left").wait_for(state="visible", timeout=240_000)
    page.locator("#vote-left").click()
    page.locator("#outcome").wait_for(state="visible")
    page.wait_for_timeout(600)


def show_data(page: Page) -> None:
    """The rows that hold a word, and one of them in full."""
    page.locator("#place").get_by_text("rows").wait_for()
    page.locator("#search textarea").fill("friggebod")
    page.locator("#search textarea").press("Enter")
    page.locator("#detail").get_by_text("friggebod").first.wait_for()
    page.wait_for_timeout(1200)


def show_annotate(page: Page) -> None:
    """A row with its label chosen."""
    page.locator("#row article").wait_for()
    page.locator("#name textarea, #name input").first.fill("Anna")
    page.locator("#label").get_by_text("good", exact=True).click()
    page.wait_for_timeout(800)


def show_monitor(page: Page) -> None:
    """Figures, plots and drift."""
    page.locator("#drift").get_by_text("seconds to the last token").first.wait_for()
    page.locator("#thumbs svg.marks").first.wait_for()
    page.wait_for_timeout(1200)


def show_image(page: Page) -> None:
    """Four pictures of the base beside four of the tuned model."""
    page.locator("#status").get_by_text("Ready").wait_for(timeout=240_000)
    page.locator("#prompt textarea").fill(PROMPT)
    page.locator("#paint").click()
    page.locator("#status").get_by_text("pictures in").wait_for(timeout=240_000)
    page.locator("#history img").nth(7).wait_for()
    page.wait_for_timeout(1200)


def make_up_traffic(folder: Path) -> Workspace:
    """Five weeks of requests and thumbs of two models; the newest week is slower."""
    workspace, draw, now = Workspace.open(folder), random.Random(0), time.time()
    store = FeedbackStore(workspace.root / "feedback.sqlite")
    rows = []
    for _ in range(4000):
        created = now - draw.uniform(0, 34 * 86400)
        origin = Origin(draw.choice(["support-bot/a1", "support-bot/b7"]), f"user-{draw.randrange(40)}", "chat")
        seconds = draw.lognormvariate(0, 0.4) * (1.8 if created > now - 7 * 86400 else 1.0)
        status: Any = draw.choices(["ok", "cut", "error"], [93, 5, 2])[0]
        length, refusal = int(draw.lognormvariate(5, 0.6)), draw.random() < 0.04
        rows.append(
            RequestRow(origin, status, created=created, seconds=seconds, characters=length, language="en", refusal=refusal)
        )
    store.record_requests(rows)
    with store._database.writing() as connection:
        for number in range(260):
            model, value = draw.choice(["support-bot/a1", "support-bot/b7"]), draw.choices([1, -1], [70, 30])[0]
            line = (str(number), now - draw.uniform(0, 34 * 86400), f"user-{number}", model, str(number), value)
            connection.execute(
                "INSERT INTO ratings VALUES (NULL, ?, ?, ?, 'chat', ?, NULL, NULL, '{}', NULL, '[]', ?, ?, NULL)", line
            )
    return workspace


def take(browser: Any, serving: Serving, name: str, show: Any) -> None:
    """Pictures of one app: wide and light, narrow and dark."""
    for size, scheme in ((LOW if name == "chat" else WIDE, "light"), (NARROW, "dark")):
        context = browser.new_context(viewport=size)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{serving.url}?__theme={scheme}")
        show(page)
        # The correction stands below the talk: the whole page is shown where it is not too long for a picture.
        page.screenshot(path=FOLDER / f"app-{name}{'-narrow-dark' if size is NARROW else ''}.png", full_page=size is LOW)
        context.close()


def main(workspace: Workspace, names: list[str]) -> None:
    """Take the pictures of the apps that are named, or of all."""
    made_up = Path(tempfile.mkdtemp())
    apps: dict[str, tuple[Any, Any]] = {
        "chat": (lambda: chat.build(workspace, "quickstart"), show_chat),
        "compare": (lambda: compare.build(workspace, "quickstart"), show_compare),
        "data": (lambda: data.build(workspace, "construction-faq-en"), show_data),
        "annotate": (lambda: annotate.build(workspace, "construction-faq-en"), show_annotate),
        "image": (lambda: image.build(workspace), show_image),
        "monitor": (lambda: monitor.build(make_up_traffic(made_up)), show_monitor),
    }
    with sync_playwright() as engine:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name in names or list(apps):
            serving = launch(apps[name][0]())
            take(browser, serving, name, apps[name][1])
            serving.close()
        browser.close()
    shutil.rmtree(made_up)


if __name__ == "__main__":
    main(Workspace.open(sys.argv[1]), sys.argv[2:])
