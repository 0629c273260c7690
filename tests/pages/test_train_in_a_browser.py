"""The page of a training as a person with a browser sees it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace, read_run
from studio.jobs.records import Job, add_job, list_jobs, read_job
from studio.pages.serving import Studio
from tests.conftest import PRESET, call_studio, write_doors


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a Dataset, in the folder where the studio is started."""
    workspace = Workspace.open(tmp_path / "workspace")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    monkeypatch.chdir(tmp_path)
    write_doors(tmp_path / "recipes")
    assert call_studio("data", "build", tmp_path / "recipes" / "doors.yaml") == 0
    return workspace


@pytest.fixture
def address(house: Workspace) -> Iterator[str]:
    """The studio of the workspace."""
    site = Studio(house)
    site.start()
    yield site.url
    site.close()


def test_groups_come_and_go_a_setting_is_found_by_a_word_and_the_plan_is_asked_for_at_once(
    house: Workspace,
    address: str,
    visit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[list[str]] = []

    def begin(request: Any, arguments: list[str], *, queued: bool | None = None) -> Job:
        begun.append(list(arguments))
        return read_job(add_job(house, arguments, queued=queued))

    monkeypatch.setattr("studio.pages.answers.begin", begin)
    page = visit(f"{address}train?data=doors")
    page.get_by_text("Working out memory, time and disk").wait_for()
    assert begun == [["plan", "chat/lora", "--data", "doors", "--json"]]
    page.reload()
    page.get_by_text("Start without waiting for it").wait_for()
    assert len(begun) == 1
    # By the keyboard alone.
    page.locator("#all > summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("[name='s.lora.alpha']").is_visible() and not page.locator("[name='s.vera.rank']").is_visible()
    page.locator("[name='s.method']").select_option("vera")
    assert page.locator("[name='s.vera.rank']").is_visible() and not page.locator("[name='s.lora.alpha']").is_visible()
    page.locator("#filter").fill("padding batches")
    assert page.locator("[name='s.length_sorting'][type=checkbox]").is_visible()
    assert not page.locator("[name='s.vera.rank']").is_visible()
    page.locator("#filter").press("Enter")  # sends nothing
    page.locator("#filter").fill("")
    page.locator("[name='s.vera.rank']").fill("-3")
    page.locator("[name='s.vera.rank']").press("Enter")
    page.locator("[id='wrong-s.vera.rank'], [id='wrong-vera.rank']").wait_for()
    assert page.locator("[name='s.vera.rank']").input_value() == "-3"
    assert page.locator("[name='s.vera.rank']").get_attribute("aria-invalid") == "true"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed").Axe()
    found = axe.run(page)
    assert not found.violations_count, found.generate_report()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.long
def test_from_a_dataset_one_press_leads_to_a_finished_run(
    house: Workspace,
    address: str,
    visit: Callable[..., Any],
    tiny_base: Path,
    tmp_path: Path,
) -> None:
    base = shutil.copytree(tiny_base, tmp_path / "base")
    (tmp_path / "adapters" / "chat").mkdir(parents=True)
    (tmp_path / "adapters" / "chat" / "tiny.yaml").write_text(f"{PRESET}model: {base}\ndescription: Tiny\n", encoding="utf-8")
    page = visit(f"{address}train?data=doors&preset=chat/tiny")
    page.set_default_timeout(300_000)
    page.get_by_text("Yes, it fits.").wait_for()
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url("**/runs/**")
    page.locator(".badge.finished").first.wait_for()
    run = house.list_runs()[0]
    assert read_run(run).status == "finished" and run.parent.name == "doors-tiny"
    started = next(job for job in list_jobs(house) if job.record.arguments[0] == "train")
    assert started.record.arguments == ["train", "chat/tiny", "--data", "doors"]
    assert started.record.made == [f"runs/doors-tiny/{run.name}"]
