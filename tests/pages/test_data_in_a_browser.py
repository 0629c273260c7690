"""The page for data as a person uses it: from an empty workspace to a built Dataset, labelled with keys, at any width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.feedback.store import FILE_NAME, FeedbackStore
from tests.conftest import DOORS, call_studio, write_doors

CSV = "question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in DOORS)


@pytest.fixture
def stocked(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a Dataset."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    write_doors(tmp_path / "own", DOORS[0])
    assert call_studio("data", "build", tmp_path / "own" / "doors.yaml") == 0
    return workspace


@pytest.mark.long
def test_a_file_becomes_a_dataset_in_four_presses(
    workspace: Workspace, address: Callable[..., str], visit: Callable[..., Any], tmp_path: Path
) -> None:
    """Nothing is typed; the page goes on by itself, a reload in the middle loses nothing, a second browser sees the same."""
    (tmp_path / "my questions.csv").write_text(CSV, encoding="utf-8")
    page = visit(f"{address()}/data")
    page.click("text=Bring a file")
    page.set_input_files("#files", str(tmp_path / "my questions.csv"))
    page.click("text=Bring and look")
    page.wait_for_url("**/data/-/uploads/**")
    page.reload()
    page.wait_for_selector("#recipe-text")
    assert page.input_value("#recipe-name") == "my_questions" and "kind: chat" in page.input_value("#recipe-text")
    other = visit(page.url)
    assert other.input_value("#recipe-text") == page.input_value("#recipe-text")
    page.fill("#recipe-text", page.input_value("#recipe-text").replace("split:", "splitt:"))
    page.click("text=Save and build")
    assert "unknown field 'splitt'" in page.inner_text("#text-wrong")
    page.fill("#recipe-text", page.input_value("#recipe-text").replace("splitt:", "split:"))
    page.click("text=Save and build")
    page.click("text=See the Dataset", timeout=60_000)
    assert page.inner_text("h1") == "my_questions" and workspace.list_datasets()[0].parent.name == "my_questions"
    page.click("text=Report")
    frame = page.frame_locator("iframe.framed")
    frame.locator("h1").first.wait_for()
    assert page.evaluate("fetch(document.querySelector('iframe').src).then((a) => a.status)") == 200


@pytest.mark.long
def test_rows_are_labelled_with_keys_alone(stocked: Workspace, address: Callable[..., str], visit: Callable[..., Any]) -> None:
    """1 and 2 label, s skips, u takes back; who writes in a field writes there."""
    folder = stocked.list_datasets()[0]
    page = visit(f"{address(stocked)}/data/doors/{folder.name}/label")
    rows = []
    for key in ("1", "2", "s", "1"):
        rows.append(page.input_value("input[name=row]"))
        with page.expect_navigation():
            page.keyboard.press(key)
    held = FeedbackStore.existing(stocked.root / FILE_NAME).current_annotations(f"doors/{folder.name}")
    assert [(one["row"], one["label"]) for one in held] == [(rows[0], "good"), (rows[1], "bad"), (rows[3], "good")]
    with page.expect_navigation():
        page.keyboard.press("u")
    assert page.input_value("input[name=row]") == rows[3]
    page.click("#correct summary")
    page.fill("#text", "")
    page.press("#text", "1")
    page.press("#text", "s")
    assert page.input_value("#text") == "1s" and page.input_value("input[name=row]") == rows[3]


def paths_of(workspace: Workspace) -> list[str]:
    """Every page of a Dataset, and those around it."""
    at = f"/data/doors/{workspace.list_datasets()[0].name}"
    tabs = ["", "/rows", "/rows?part=removed", "/row?part=train&id=doors/3", "/row?part=removed&id=doors/41"]
    tabs += ["/twins", "/report", "/card", "/edits", "/label"]
    return ["/data", "/data/-/new", "/data/-/recipe?shipped=chat/own-folder", *(f"{at}{tab}" for tab in tabs)]


@pytest.mark.long
def test_every_page_is_narrow_and_without_violations(
    stocked: Workspace, address: Callable[..., str], visit: Callable[..., Any]
) -> None:
    """At 390 pixels nothing is wider than the window; axe-core finds nothing, light and dark."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    url, found = address(stocked), {}
    for scheme in ("light", "dark"):
        page = visit(url, color_scheme=scheme)
        page.set_viewport_size({"width": 390, "height": 800})
        for path in paths_of(stocked):
            page.goto(url + path)
            page.wait_for_timeout(200)
            wide = page.evaluate("document.documentElement.scrollWidth")
            # The report in its frame is a page of its own.
            violations = axe.Axe().run(page, options={"iframes": False}).response["violations"]
            told = [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in violations]
            if told or wide > 390:
                found[scheme, path] = (wide, told)
    assert found == {}
