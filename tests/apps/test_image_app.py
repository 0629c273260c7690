"""The image app in a real browser: paint, look, take settings back, stop; and a request made past the browser's limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from studio.core.workspace import Workspace
from tests.evals.images.shapes import train_shapes, write_shapes

pytestmark = pytest.mark.long

WAIT = 120_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page of a real tuned run on a free port, and the blocks behind it."""
    from studio.apps.frame import Door, launch
    from studio.apps.image import build

    workspace = Workspace.open(tmp_path_factory.mktemp("image-app") / "workspace")
    _, tuned = train_shapes(workspace, write_shapes(workspace, {"train": 24, "validation": 6}))
    serving = launch(build(workspace, str(tuned)), Door())
    yield serving
    serving.close()


@pytest.fixture
def page(served: Any, browser: Any) -> Iterator[Any]:
    """The app, ready; whatever the server refuses or the page complains of fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    page.on("pageerror", lambda error: refused.append(str(error)))
    page.goto(served.url)
    wait_for(page, "Ready: 32 x 32 pixels")
    yield page
    page.close()
    assert refused == []


def wait_for(page: Any, words: str) -> str:
    """Wait until the status line holds the words."""
    page.wait_for_function("words => document.querySelector('#status')?.innerText.includes(words)", arg=words, timeout=WAIT)
    return str(page.inner_text("#status"))


def pictures(page: Any, where: str) -> list[int]:
    """Widths of the pictures that arrived in a gallery."""
    widths: list[int] = page.eval_on_selector_all(f"#{where} img", "found => found.map(one => one.naturalWidth)")
    return widths


def test_paint_look_and_take_the_settings_back(page: Any) -> None:
    page.fill("#prompt textarea", "a green zebra")
    page.fill("#seed input", "41")
    page.click("#paint")
    text = wait_for(page, "pictures in")
    assert text.startswith("8 pictures in") and "never met “zebra” in a caption" in text
    page.wait_for_function("document.querySelectorAll('#history img').length == 8", timeout=WAIT)
    page.wait_for_function("[...document.querySelectorAll('img')].every(one => one.complete)", timeout=WAIT)
    assert pictures(page, "tuned") == pictures(page, "base") == [256] * 4
    assert "seed 44" in page.inner_text("#tuned") and "seed 44" in page.inner_text("#base")
    page.fill("#prompt textarea", "another")
    page.click("#history button.thumbnail-item >> nth=2")
    page.wait_for_selector("#settings:has-text('tuned 42 · a green zebra · seed 42, 2 steps, guidance')", timeout=WAIT)
    page.click("#take")
    page.wait_for_function("document.querySelector('#prompt textarea').value == 'a green zebra'", timeout=WAIT)
    assert page.input_value("#seed input") == "42"


def test_progress_is_seen_and_a_stop_is_quick(page: Any) -> None:
    page.fill("#steps input[type=number]", "150")
    page.fill("#count input[type=number]", "8")
    page.click("#paint")
    text = wait_for(page, "tuned: step")
    assert re.search(r"█|░", text) and "%" in text
    page.click("#stop")
    assert "Stopped." in wait_for(page, "Stopped.")
    page.wait_for_selector("#paint", state="visible", timeout=WAIT)


def test_pictures_forgotten_while_others_are_painted_stay_forgotten(page: Any) -> None:
    page.fill("#count input[type=number]", "1")
    page.click("#paint")
    wait_for(page, "pictures in")
    page.wait_for_function("document.querySelectorAll('#history img').length == 2", timeout=WAIT)
    page.fill("#steps input[type=number]", "60")
    page.fill("#seed input", "7")
    page.click("#paint")
    wait_for(page, "tuned: step")
    page.click("#forget")
    wait_for(page, "pictures in")
    page.wait_for_function("document.querySelectorAll('#history img').length == 2", timeout=WAIT)
    assert page.inner_text("#history").count("seed 7") == 2


def test_narrow_and_dark_nothing_runs_off_the_side(served: Any, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page.goto(served.url)
    wait_for(page, "Ready")
    page.click("#paint")
    wait_for(page, "pictures in")
    page.wait_for_selector("#history img", timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({4: 64}, "greater than maximum value 8"),
        ({5: 100_000}, "greater than maximum value 150"),
        ({2: "x" * 5000}, "[Tt]he prompt has 5000 characters"),
        ({1: "../../etc"}, "not in the list of choices|not among the runs"),
    ],
    ids=["pictures", "steps", "prompt", "run"],
)
def test_a_request_made_past_the_browsers_limits_is_refused(served: Any, page: Any, change: dict[int, Any], words: str) -> None:
    number = next(key for key, function in served.blocks.fns.items() if function.name == "paint")
    run = page.input_value("#model input")
    data: list[Any] = [None, run, "a disc", 0, 1, 2, 1, 1, True]
    for place, value in change.items():
        data[place] = value
    answer = page.evaluate(
        """async ([number, data]) => {
            const session = Math.random().toString(36).slice(2);
            const base = window.location.origin + "/gradio_api/queue/";
            const body = JSON.stringify({data, fn_index: number, session_hash: session});
            const joined = await fetch(base + "join", {method: "POST", headers: {"Content-Type": "application/json"}, body});
            if (!joined.ok) return await joined.text();
            const reader = (await fetch(base + "data?session_hash=" + session)).body.getReader();
            const decoder = new TextDecoder();
            let text = "";
            while (!text.includes("process_completed")) {
                const {done, value} = await reader.read();
                if (done) break;
                text += decoder.decode(value);
            }
            return text;
        }""",
        [number, data],
    )
    assert re.search(words, answer), answer
    assert '"path"' not in answer, "no picture may come of it"
