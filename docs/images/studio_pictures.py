"""Take the pictures and the recording of the studio in docs/: ``python docs/images/studio_pictures.py WORKSPACE [NAME...]``.

The workspace holds the run of ``studio quickstart`` and is written to: a question is asked, a plan is made. ``recording`` makes
``studio.gif``: sixty seconds of the real pages, from an own file to an answer; where a page waits for work, the waiting is cut.
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from studio.core.workspace import Workspace
from studio.pages.serving import Studio

FOLDER = Path(__file__).parent
WIDE, NARROW = {"width": 1180, "height": 800}, {"width": 400, "height": 800}
LANGUAGES = {"en-US": "", "zh-CN": "-zh"}
# Frames of the recording: their width in pixels, and colours of the picture.
_WIDTH, _COLOURS = 900, 64


def newest(workspace: Workspace) -> dict[str, str]:
    """What the addresses below name: the run, its newest report, its Dataset."""
    run = workspace.find_run("quickstart")
    report = sorted(run.glob("evals/*/*/report.html"))[-1].parent
    data = workspace.find_dataset("construction-faq-en")
    return {
        "run": f"{run.parent.name}/{run.name}",
        "report": f"{run.parent.name}/{run.name}/{report.parent.name}/{report.name}",
        "data": f"{data.parent.name}/{data.name}",
    }


def with_plan(page: Page) -> None:
    """Ask what the training takes, and wait until it is known."""
    if page.locator("#plan-now").count():
        page.click("#plan-now")
    page.locator("#start").wait_for(timeout=240_000)
    page.evaluate("document.querySelector('#plan').scrollIntoView({block: 'center'})")


def answered(page: Page) -> None:
    """Ask a question on the page of Gradio, and wait for its answer."""
    page.locator("#question textarea").wait_for(timeout=120_000)
    page.fill("#question textarea", "Do I need a building permit for a friggebod?")
    page.press("#question textarea", "Enter")
    page.locator("#send").wait_for(state="hidden")
    page.locator("#send").wait_for(state="visible", timeout=300_000)


PICTURES: dict[str, tuple[str, Callable[[Page], None] | None]] = {
    "home": ("/", None),
    "data": ("/data/{data}", None),
    "rows": ("/data/{data}/rows", None),
    "bring": ("/data/-/new", None),
    "train": ("/train?data={data}", with_plan),
    "runs": ("/runs", None),
    "run": ("/runs/{run}", None),
    "evaluate": ("/evaluate/new?run={run}", None),
    "report": ("/evaluate/{report}", None),
    "try": ("/try", None),
    "talk": ("/apps/chat/{language}/", answered),
    "serve": ("/serve?run={run}", None),
    "watch": ("/watch", None),
    "project": ("/projects/new", None),
}
"""Name of the picture: address, and what is done there before it is taken."""


def take(browser: Browser, url: str, workspace: Workspace, name: str) -> None:
    """One page: wide in both languages, narrow and dark."""
    address, act = PICTURES[name]
    for locale, ending in LANGUAGES.items():
        for size, scheme, more in ((WIDE, "light", ""), (NARROW, "dark", "-narrow-dark")):
            if more and ending:
                continue
            context = browser.new_context(viewport=size, color_scheme=scheme, locale=locale)
            page = context.new_page()
            page.goto(url + address.format(**newest(workspace), language=locale[:2]))
            page.wait_for_timeout(1200)
            if act is not None:
                act(page)
                page.wait_for_timeout(500)
            page.screenshot(path=FOLDER / f"studio-{name}{ending}{more}.png")
            context.close()
            shrink(FOLDER / f"studio-{name}{ending}{more}.png")


def shrink(file: Path) -> None:
    """The same picture with 128 colours, which is what flat pages need."""
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


class Recording:
    """Frames with the time each is shown."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[Image.Image] = []
        self._seconds: list[float] = []

    def hold(self, seconds: float) -> None:
        """Show the page as it is now for so long."""
        with Image.open(io.BytesIO(self._page.screenshot())) as shot:
            height = round(shot.height * _WIDTH / shot.width)
            self._frames.append(shot.convert("RGB").resize((_WIDTH, height), Image.Resampling.LANCZOS))
        self._seconds.append(seconds)

    def press(self, selector: str, seconds: float = 1.6) -> None:
        """Show what is pressed, press it, and show what comes of it."""
        self._page.locator(selector).first.scroll_into_view_if_needed()
        self._page.locator(selector).first.hover()
        self.hold(0.9)
        self._page.locator(selector).first.click()
        self._page.wait_for_timeout(900)
        self.hold(seconds)

    def save(self, file: Path) -> float:
        """Write the GIF; gives back its length in seconds."""
        width, height = (side // 3 for side in self._frames[0].size)
        all_of_them = Image.new("RGB", (width, height * len(self._frames)))
        for at, frame in enumerate(self._frames):
            all_of_them.paste(frame.resize((width, height), Image.Resampling.NEAREST), (0, at * height))
        palette = all_of_them.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE)
        frames = [frame.quantize(_COLOURS, palette=palette, dither=Image.Dither.NONE) for frame in self._frames]
        times = [round(1000 * seconds) for seconds in self._seconds]
        frames[0].save(file, save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)
        return sum(self._seconds)


def record(browser: Browser, file: Path) -> None:
    """From an own csv to an answer, in a workspace of its own."""
    place = Path(tempfile.mkdtemp(prefix="studio-recording-"))
    own = place / "my questions.csv"
    with own.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["question", "answer"])
        writer.writerows((f"How wide must door {n} be?", f"It must be {80 + n} centimetres wide.") for n in range(1, 61))
    studio = Studio(Workspace.open(place / "workspace"))
    studio.start()
    page = browser.new_context(viewport=WIDE).new_page()
    page.set_default_timeout(600_000)
    page.goto(studio.url)
    shown = Recording(page)
    shown.hold(3)
    shown.press('main a.button.primary[href="/data/-/new"]', 2)
    page.set_input_files("#files", own)
    shown.press('form[action^="/data/-/upload"] button.primary', 1)
    page.locator("#recipe-text").wait_for()
    shown.hold(4)
    page.fill("#recipe-name", "doors")
    shown.press('button[name="then"][value="build"]', 1)
    page.locator('a[href^="/data/doors/"]').first.wait_for()
    shown.press('a[href^="/data/doors/"]', 4)
    shown.press('main a[href^="/train?data="]', 3)
    page.locator("#start").wait_for()  # the page asks by itself whether it fits
    page.evaluate("document.querySelector('#plan').scrollIntoView({block: 'center'})")
    shown.hold(4)
    shown.press("#start", 1)
    page.wait_for_url("**/runs/**")
    page.locator(".plot").first.wait_for()
    for _ in range(5):
        shown.hold(1.2)
        page.wait_for_timeout(4_000)
    page.locator(".badge.finished").first.wait_for()
    shown.hold(4)
    shown.press('main a.button.primary[href^="/evaluate"]', 2)
    page.fill("#limit", "6")
    shown.press('button[name="do"][value="start"]', 1.5)
    page.locator("iframe, .verdict").first.wait_for()
    shown.hold(5)
    shown.press('nav.road a[href="/try"]', 2)
    shown.press('main a.button.primary[href*="/apps/chat/"]', 1)
    page.locator("#question textarea").wait_for()
    page.fill("#question textarea", "How wide must door 7 be?")
    shown.hold(2)
    page.press("#question textarea", "Enter")
    page.locator("#send").wait_for(state="hidden")
    page.locator("#send").wait_for(state="visible")
    page.wait_for_timeout(1_000)
    shown.hold(5)
    print(f"{file.name}: {shown.save(file):.0f} s, {file.stat().st_size:,} bytes")
    studio.close()
    shutil.rmtree(place, ignore_errors=True)


def main(workspace: Workspace, names: list[str]) -> None:
    """Take the pictures that are named, or all, and the recording."""
    studio = Studio(workspace)
    studio.start()
    with sync_playwright() as engine:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser: Any = engine.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name in names or [*PICTURES, "recording"]:
            if name == "recording":
                record(browser, FOLDER / "studio.gif")
            else:
                take(browser, studio.url.rstrip("/"), workspace, name)
        browser.close()
    studio.close()


if __name__ == "__main__":
    main(Workspace.open(sys.argv[1]), sys.argv[2:])
