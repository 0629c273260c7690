"""How long the studio's pages take in a browser, beside the page of Gradio in the same window.

``python benchmarks/studio_pages.py [WORKSPACE]`` starts the studio on a workspace, best one with a run, and looks with Chromium.
Targets: the first page 1.5 s after the command began to answer, a change of page within 300 ms.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from typing import Any

from playwright.sync_api import Page, sync_playwright

import docs
from studio.pages.table import ROOMS

REPEATS = 5
FIRST, CHANGE = 1.5, 0.3


def started(workspace: str) -> tuple[subprocess.Popen[str], str, float]:
    """The studio in a process of its own, its address, and the seconds from there to its first whole page."""
    command = [sys.executable, "-m", "studio.cli.main", "app", "--workspace", workspace, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    text = ""
    while not text.rstrip().endswith("}"):
        text += process.stdout.readline()
    url = str(json.loads(text)["url"])
    begun = time.perf_counter()
    urllib.request.urlopen(url).read()
    return process, url.rstrip("/"), time.perf_counter() - begun


def changes(page: Page, url: str) -> dict[str, list[float]]:
    """Seconds from the click on a page's name to the whole page, for each page of the road."""
    page.goto(url)
    took: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for room in ROOMS:
            begun = time.perf_counter()
            page.click(f'nav.road a[href="{room.path}"]')
            page.wait_for_load_state("load")
            took.setdefault(room.title, []).append(time.perf_counter() - begun)
            page.wait_for_timeout(300)
    return took


def gradio(page: Page, url: str) -> list[float]:
    """Seconds until the chat of Gradio can be written in, once it is built and its files are in the browser's memory."""
    took = []
    for turn in range(REPEATS + 1):
        page.goto(f"{url}/try")
        begun = time.perf_counter()
        page.goto(f"{url}/apps/chat/en/")
        page.locator("#question textarea").wait_for(timeout=120_000)
        took.append(time.perf_counter() - begun)
        if turn == 0:
            page.wait_for_timeout(3_000)
    return took[1:]


def _told(took: list[float]) -> str:
    """The median in milliseconds."""
    return f"{1000 * statistics.median(took):.0f} ms"


def main() -> int:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", nargs="?", default="studio-workspace", help="best one that studio quickstart has left")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    docs.add_option(parser)
    options = parser.parse_args()
    process, url, first = started(options.workspace)
    try:
        with sync_playwright() as engine:
            browser: Any = engine.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            page = browser.new_page()
            pages, chat = changes(page, url), gradio(page, url)
            browser.close()
    finally:
        process.terminate()
        process.wait()
    peer = statistics.median(chat)
    lines = ["| page | median | of Gradio's |", "|---|---:|---:|", f"| first page after the start | {first:.2f} s | |"]
    lines += [f"| {name} | {_told(took)} | {statistics.median(took) / peer:.2f} |" for name, took in pages.items()]
    lines.append(f"| the chat of Gradio, until one can write | {_told(chat)} | 1 |")
    lines.append(f"\nTargets: the first page within {FIRST} s, a change of page within {CHANGE} s; {REPEATS} repeats.")
    slowest = max(statistics.median(took) for took in pages.values())
    result = {"first page": first, "pages": pages, "gradio": chat, "met": first <= FIRST and slowest <= CHANGE}
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(lines))
    if options.write_docs:
        docs.write_section("studio-pages", "\n".join(lines), packages=("gradio", "starlette"))
    return 0 if result["met"] else 3


if __name__ == "__main__":
    raise SystemExit(main())
