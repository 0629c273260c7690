"""The pages of Gradio beside ours: through the process of their own, as two people with a browser each would use them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from studio.apps.accounts import Accounts
from studio.apps.recording import open_store
from studio.core.workspace import Workspace
from studio.pages.serving import Studio
from studio.pages.side_process import Place, place_of
from tests.pages.test_serve import write_server
from tests.servers import Scripted

PASSWORD = "a long password"
QUESTION = "How wide must a door be?"


@pytest.fixture
def studio_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Studio]]:
    """Serve a workspace on a free port."""
    served: list[Studio] = []

    def serve(workspace: Workspace, **settings: Any) -> Studio:
        monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
        studio = Studio(workspace, **settings)
        studio.start()
        served.append(studio)
        return studio

    yield serve
    for studio in served:
        studio.close()


def reference_of(workspace: Workspace) -> str:
    folder = workspace.list_runs()[0]
    return f"{folder.parent.name}/{folder.name}"


def sign_in(page: Any, name: str) -> None:
    page.locator("#name").fill(name)
    page.locator("#password").fill(PASSWORD)
    page.locator("main button").click()


def ask(page: Any, question: str = QUESTION) -> str:
    """Ask, and give the answer back once it is whole."""
    page.locator("#question textarea").wait_for(timeout=90_000)
    page.locator("#question textarea").fill(question)
    page.locator("#question textarea").press("Enter")
    page.locator("#status").get_by_text(re.compile("tokens in|个词元")).first.wait_for(timeout=120_000)
    return str(page.locator("#chat .bot").last.inner_text()).strip()


def test_which_page_an_address_means():
    assert place_of("/apps/chat/en/") == Place("chat", "en")
    assert place_of("/apps/predict/zh/of/flats/20260101-000000-abcdef/gradio_api/info") == Place(
        "predict", "zh", reference="flats/20260101-000000-abcdef"
    )
    assert place_of("/apps/chat/en/served/8000/") == Place("chat", "en", port=8000)
    for path in (
        "/apps/chat/",
        "/apps/nothing/en/",
        "/apps/chat/xx/",
        "/apps/predict/en/of/../x/",
        "/apps/predict/en/of/.a/b/",
        "/apps/predict/en/of/a",
    ):
        assert place_of(path) is None, path
    # Only what talks goes to a server, and what shows everything begins with nothing.
    assert place_of("/apps/data/en/served/8000/") == Place("data", "en")
    assert place_of("/apps/monitor/en/of/a/b/") == Place("monitor", "en")


@pytest.mark.long
def test_an_answer_and_a_thumb_stand_under_the_accounts_name(
    talking: Workspace, studio_of: Callable[..., Studio], visit: Callable[..., Any]
):
    people = Accounts.of({"玛丽": PASSWORD, "lo": PASSWORD}, {"玛丽": "talk", "lo": "look"})
    studio = studio_of(talking, accounts=people)
    page = visit(f"{studio.url}try?run={reference_of(talking)}")
    sign_in(page, "玛丽")
    answer = ask(page)
    assert page.locator("#model input").input_value() == reference_of(talking)
    page.locator("#chat .bot").last.hover()
    page.get_by_role("button", name="Like", exact=True).last.click()
    page.locator("#status").get_by_text("Thanks: kept as a good answer.").wait_for()
    [row] = open_store(talking).current_ratings()
    assert (row["user"], row["value"], row["completion"]) == ("玛丽", 1, answer)
    assert {row["user"] for row in open_store(talking).rows("requests")} == {"玛丽"}
    # The road stands beside it, and leads on.
    page.locator("nav.road a[aria-current]").get_by_text("Try").wait_for()
    looks = visit(f"{studio.url}apps/chat/en/")
    sign_in(looks, "lo")
    looks.get_by_text("This page needs the role talk.").wait_for()


@pytest.mark.long
def test_two_people_ask_at_once_in_two_languages(
    house: Workspace, endpoint: Scripted, studio_of: Callable[..., Studio], visit: Callable[..., Any]
):
    """A scripted server, which a page may only talk to because it runs in this workspace."""
    write_server(house, endpoint.url, 8123)
    studio = studio_of(house)
    one = visit(f"{studio.url}apps/chat/en/served/8123/")
    two = visit(f"{studio.url}apps/chat/en/served/8123/")
    two.locator("#question textarea").wait_for(timeout=90_000)
    two.locator("nav.road").get_by_text("中文").click()
    two.wait_for_url("**/apps/chat/zh/served/8123/")
    first = ask(one)
    second = ask(two, "门要多宽？")
    assert first and second
    assert "个词元" in two.locator("#status").inner_text() and "tokens in" in one.locator("#status").inner_text()
    users = {row["user"] for row in open_store(house).rows("requests")}
    assert len(users) == 2 and all(user.startswith("browser-") for user in users)
    refused = httpx.get(f"{studio.url}apps/chat/en/served/9/", headers={"accept": "text/html"})
    assert refused.status_code == 422 and "No server of this workspace runs on port 9" in refused.text


@pytest.mark.long
def test_a_process_that_was_killed_comes_back_and_none_stays_behind(
    house: Workspace, endpoint: Scripted, studio_of: Callable[..., Studio], visit: Callable[..., Any]
):
    write_server(house, endpoint.url, 8123)
    studio = studio_of(house)
    page = visit(f"{studio.url}apps/chat/en/served/8123/")
    ask(page)
    first = studio.side.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    psutil.Process(first).wait(10)
    page.goto(f"{studio.url}apps/chat/en/served/8123/")
    assert ask(page)
    second = studio.side.pid
    assert second is not None and second != first
    folder = Path(studio.side._folder.name)
    studio.close()
    assert not psutil.pid_exists(second) and not folder.exists()


def test_a_page_that_cannot_be_made_says_why_in_a_page_of_ours(house: Workspace, studio_of: Callable[..., Studio]):
    studio = studio_of(house)
    until = time.monotonic() + 90
    while (answer := httpx.get(f"{studio.url}apps/chat/en/", headers={"accept": "text/html"}, timeout=60)).status_code == 503:
        assert "This page is starting." in answer.text and time.monotonic() < until
        time.sleep(0.5)
    assert answer.status_code == 422 and "There is no run to talk to" in answer.text and 'class="road"' in answer.text


def test_a_change_from_another_site_is_refused(house: Workspace, studio_of: Callable[..., Studio]):
    studio = studio_of(house)
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        asked = httpx.post(f"{studio.url}apps/chat/en/gradio_api/queue/join", json={}, headers=headers)
        assert asked.status_code == 403 and "Another site asked for this" in asked.text


def test_ctrl_c_with_an_open_page_prints_no_traceback(house: Workspace, endpoint: Scripted, visit: Callable[..., Any]) -> None:
    port = 7970 + os.getpid() % 9
    command = [sys.executable, "-m", "studio.cli.main", "app", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and "studio: http" in process.stdout.readline()
        page = visit(f"http://127.0.0.1:{port}/apps/data/en/")  # without a Dataset it says so; what is asked beside stays open
        page.goto(f"http://127.0.0.1:{port}/apps/monitor/en/")
        page.locator("#tiles").wait_for(timeout=120_000)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in said and "ERROR" not in said, said


def test_a_process_that_cannot_start_is_told_and_not_started_for_ever(
    house: Workspace, monkeypatch: pytest.MonkeyPatch, studio_of: Callable[..., Studio]
) -> None:
    studio = studio_of(house)
    monkeypatch.setattr("studio.pages.side.sys.executable", "/bin/false")
    end = time.monotonic() + 20
    said = ""
    while "does not start" not in said and time.monotonic() < end:
        said = httpx.get(f"{studio.url}apps/chat/en/", headers={"accept": "text/html"}).text
        time.sleep(0.1)
    assert "does not start; the terminal of the studio says why" in said and studio.side.broken
