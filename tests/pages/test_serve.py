"""Serve: a server is started, seen and stopped, keys are made once and revoked, aliases are moved; only administrators may."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from studio.apps.accounts import Accounts
from studio.core.errors import UserError
from studio.core.files import write_json
from studio.core.workspace import Workspace
from studio.jobs.records import list_jobs
from studio.models import vllm_environment
from studio.pages.rooms import serve
from studio.pages.served import served
from studio.serve.aliases import list_aliases, list_canaries, promote
from studio.serve.blocked import list_blocked
from studio.serve.keys import KeyReader, add_key, list_keys
from studio.serve.state import RunningServer, StatePaths
from tests.conftest import Project
from tests.pages.conftest import Reader
from tests.servers import Scripted, serving

PASSWORD = "a long password"


@pytest.fixture
def reader(site: Callable[..., Reader], project: Project, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A reader of a workspace with a finished run, whose forms carry their token; no job is really begun."""
    monkeypatch.setattr("studio.pages.work.start", lambda *_: None)
    return with_token(site(project.workspace))


def with_token(reader: Reader) -> Reader:
    """The same, with the token of the page of keys."""
    found = re.search(r'name="token" value="([^"]+)"', reader.get("/serve/keys").text)
    assert found
    reader.token = lambda: found[1]  # type: ignore[method-assign]
    return reader


def run_of(project: Project) -> str:
    return f"{project.run.parent.name}/{project.run.name}"


def start(reader: Reader, project: Project, **fields: str) -> Any:
    whole = {"run": run_of(project), "name": "", "profile": "local", "port": "0", "settings": "", **fields}
    return reader.post("/serve/start", whole, follow_redirects=False)


def as_if_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "find_environment", lambda *_: None)


def test_the_form_makes_the_command_of_a_terminal(reader: Reader, project: Project, monkeypatch: pytest.MonkeyPatch):
    as_if_installed(monkeypatch)
    assert start(reader, project, name="faq", settings="max_model_len=256\n\n").status_code == 303
    [job] = list_jobs(project.workspace)
    assert job.record.arguments == [
        "serve", "start", f"faq={run_of(project)}", "--profile", "local", "--set", "port=0", "--set", "session_key=false",
        "--set", "max_model_len=256",
    ]  # fmt: skip
    assert not job.record.queued
    shown = start(reader, project, name="faq", show="1")
    assert shown.status_code == 200 and f"studio serve start faq={run_of(project)} --profile local --set port=0" in shown.text
    assert len(list_jobs(project.workspace)) == 1


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("run", "nothing/at-all", "Choose a run from the list."),
        ("name", "../x", "&#39;../x&#39; cannot be the name of a model"),
        ("port", "many", "port"),
        ("port", "99999", "port"),
        ("settings", "max_modl_len=3", "Did you mean &#39;max_model_len&#39;"),
        ("settings", "vllm={trust-remote-code: true}", "can load code or other files"),
        ("profile", "../../etc/passwd", "Choose a profile from the list."),
    ],
)
def test_mistakes_stand_at_their_field(
    field: str, typed: str, sentence: str, reader: Reader, project: Project, monkeypatch: pytest.MonkeyPatch
):
    as_if_installed(monkeypatch)
    answer = start(reader, project, **{"name": "kept", field: typed})
    assert answer.status_code == 422 and list_jobs(project.workspace) == []
    [wrong] = re.findall(r'class="wrong" id="wrong-(\w+)"[^>]*>([^<]*)<', answer.text)
    assert wrong[0] == field and sentence in wrong[1]
    assert field == "name" or 'value="kept"' in answer.text


def test_a_run_whose_own_name_cannot_be_served_asks_for_one(reader: Reader, project: Project, monkeypatch: pytest.MonkeyPatch):
    as_if_installed(monkeypatch)
    named = project.workspace.runs / "我的 机器人" / project.run.name
    shutil.copytree(project.run, named)
    record = json.loads((named / "run.json").read_text(encoding="utf-8"))
    write_json(named / "run.json", record | {"name": named.parent.name})
    run = f"{named.parent.name}/{named.name}"
    answer = start(reader, project, run=run)
    [wrong] = re.findall(r'class="wrong" id="wrong-(\w+)"[^>]*>([^<]*)<', answer.text)
    assert answer.status_code == 422 and wrong[0] == "name" and "cannot be the name of a model" in wrong[1]
    assert start(reader, project, run=run, name="faq").status_code == 303


def test_without_vllm_the_page_installs_it_and_says_how_large(
    reader: Reader, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(vllm_environment, "cache_folder", lambda: tmp_path)
    monkeypatch.delenv("STUDIO_VLLM", raising=False)
    page = reader.get("/serve").text
    assert "vLLM is not installed yet for this machine" in page and "GB on the disk" in page
    refused = start(reader, project)
    assert refused.status_code == 422 and "Install it into a folder of its own: studio serve --install" in refused.text
    assert reader.post("/serve/install", follow_redirects=False).status_code == 303
    assert [job.record.arguments for job in list_jobs(project.workspace)] == [["serve", "start", "--install"]]


def test_a_key_is_shown_once(reader: Reader, project: Project):
    keys = StatePaths.of(project.workspace).keys
    answer = reader.post("/serve/keys/add", {"user": "anna"})
    [key] = re.findall(r"studio-[0-9a-f]{8}-[\w-]+", answer.text)
    assert answer.headers["cache-control"] == "no-store"
    found = KeyReader(keys, []).find(key)
    assert found is not None and (found.user, found.role) == ("anna", "client")
    assert key not in reader.get("/serve/keys").text and key not in keys.read_text()
    wrong = reader.post("/serve/keys/add", {"user": "/etc/passwd"})
    assert wrong.status_code == 422 and "cannot be the name of a key" in wrong.text and 'value="/etc/passwd"' in wrong.text
    assert reader.post("/serve/keys/revoke", {"id": found.id}, follow_redirects=False).status_code == 303
    assert KeyReader(keys, []).find(key) is None and len(list_keys(keys)) == 1


def test_users_are_refused_and_let_in_again(reader: Reader, project: Project):
    paths = StatePaths.of(project.workspace)
    add_key(paths.keys, "ben")
    assert "Nobody is called &#39;bne&#39;" in reader.post("/serve/users/block", {"user": "bne"}).text
    reader.post("/serve/users/block", {"user": "ben", "why": "too many"})
    assert list_blocked(paths.blocked)["ben"]["why"] == "too many" and "too many" in reader.get("/serve/keys").text
    reader.post("/serve/users/unblock", {"user": "ben"})
    assert list_blocked(paths.blocked) == {}


def test_aliases_are_moved_by_jobs_and_trials_end_at_once(reader: Reader, project: Project):
    run, path = run_of(project), StatePaths.of(project.workspace).aliases
    reader.post("/serve/names/promote", {"run": run, "alias": "production"})
    assert list_jobs(project.workspace)[0].record.arguments == ["serve", "promote", run, "--as", "production"]
    for typed in ({"run": "x/y", "alias": "production"}, {"run": run, "alias": "a b"}):
        assert reader.post("/serve/names/promote", typed).status_code == 422
    promote(path, "production", "old", "old/20200101-000000-abcdef")
    promote(path, "production", "newer", "newer/20200101-000000-abcdef")
    assert "Back to old" in reader.get("/serve/names").text
    reader.post("/serve/names/rollback", {"alias": "production"})
    assert list_jobs(project.workspace)[0].record.arguments == ["serve", "rollback", "--as", "production"]
    trial = {"alias": "production", "run": run, "percent": "12,5", "by": "user"}
    reader.post("/serve/names/trial", trial)
    assert list_jobs(project.workspace)[0].record.arguments[-4:] == ["--share", "0.125", "--by", "user"]
    for percent in ("much", "0", "150"):
        wrong = reader.post("/serve/names/trial", {**trial, "percent": percent})
        assert wrong.status_code == 422 and f'value="{percent}"' in wrong.text
    from studio.serve.aliases import start_canary

    start_canary(path, "production", "doors", run, share=0.1)
    assert "On trial" in reader.get("/serve/names").text
    reader.post("/serve/names/end", {"alias": "production"})
    assert list_canaries(path) == {} and list_aliases(path)["production"]["model"] == "newer"


def test_only_administrators_change_what_is_served(
    site: Callable[..., Reader], project: Project, monkeypatch: pytest.MonkeyPatch
):
    people = Accounts.of({"tr": PASSWORD, "ad": PASSWORD}, {"tr": "train", "ad": "administer"})
    trains = site(project.workspace, accounts=people, name="tr", password=PASSWORD)
    found = re.search(r'name="token" value="([^"]+)"', trains.get("/serve").text)
    assert found
    trains.token = lambda: found[1]  # type: ignore[method-assign]
    page = trains.get("/serve").text
    assert "/serve/start" not in page and "/serve/keys" not in page
    for path in ("/serve/keys", "/serve/names", "/serve/8000/log"):
        assert trains.get(path).status_code == 403
    for path in ("start", "install", "8000/stop", "keys/add", "keys/revoke", "users/block", "names/promote", "names/end"):
        assert trains.post(f"/serve/{path}", {"user": "x"}).status_code == 403, path
    assert list_keys(StatePaths.of(project.workspace).keys) == []
    monkeypatch.setattr("studio.pages.work.start", lambda *_: None)
    as_if_installed(monkeypatch)
    start(with_token(site(project.workspace, accounts=people, name="ad", password=PASSWORD)), project)
    [job] = list_jobs(project.workspace)
    assert trains.post(f"/jobs/{job.id}/stop").status_code == 403 and not (job.folder / "stop").exists()


def write_server(workspace: Workspace, url: str, port: int, pid: int | None = None) -> Path:
    """A running server as it writes itself down; ``pid`` None is this process."""
    folder = StatePaths.of(workspace).server(port)
    folder.mkdir(parents=True)
    RunningServer(
        pid or os.getpid(), time.time(), url, port, "tiny", "0" * 64, "0" * 64, "float32", 16, "adapter", "secret", None, ""
    ).write(folder)
    return folder


def test_a_server_of_a_terminal_is_seen(reader: Reader, project: Project):
    with serving(Scripted()) as endpoint:
        folder = write_server(project.workspace, endpoint.url, 8123)
        (folder / "vllm.log").write_text("INFO one\nINFO two\n")
        page = reader.get("/serve").text
        assert "started in a terminal" in page and "OpenAI(base_url" in page and "$STUDIO_API_KEY" in page
        assert "/apps/chat/en/served/8123/" in reader.get("/try").text and "secret" not in page
        assert "INFO two" in reader.get("/serve/8123/log").text
    assert "not answering" in reader.get("/serve").text
    assert reader.get("/serve/8999/log").status_code == 404
    assert "No server of this workspace runs on port 8999" in reader.post("/serve/8999/stop").text


@pytest.mark.serve
@pytest.mark.starter
@pytest.mark.long
def test_a_run_is_served_asked_and_stopped_from_the_page(
    workspace: Workspace, address: Callable[..., str], visit: Callable[..., Any]
):
    """Real vLLM, from the press on Start to an answer with a key made on the page, and to the last process."""
    try:
        vllm_environment.find_environment()
    except UserError as error:
        pytest.skip(str(error))
    from tests.serve.live import tune  # imports torch, which the other tests here do without

    run = tune(workspace.root, "one", "One is all I say.")
    url = address(workspace)
    page = visit(f"{url}/serve?run={run.parent.name}/{run.name}")
    page.locator("#name").fill("faq")
    page.locator("#port").fill("0")
    page.locator("#further summary").click()
    page.locator("#settings").fill("dtype=float32\nmax_model_len=256\ncpu_threads=1\nvllm.max_num_seqs=8")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/jobs/*")
    page.goto(f"{url}/serve")
    page.get_by_text("answering", exact=True).or_(page.locator(".badge.failed")).first.wait_for(timeout=900_000)
    [one] = served(workspace)
    assert one.job is not None and "faq" in one.models
    page.goto(f"{url}/serve/keys")
    page.locator("#user").fill("anna")
    page.get_by_role("button", name="Make a key").click()
    key = page.locator("#key").inner_text()
    asked = {"model": "faq", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 24}
    answer = httpx.post(
        f"{one.server.url}/v1/chat/completions", json=asked, headers={"authorization": f"Bearer {key}"}, timeout=120
    )
    assert answer.status_code == 200 and "One" in answer.json()["choices"][0]["message"]["content"]
    page.goto(f"{url}/serve")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop", exact=True).first.click()
    page.get_by_text("No server runs.").wait_for(timeout=120_000)
    until = time.monotonic() + 60
    while psutil.pid_exists(one.server.pid) and time.monotonic() < until:
        time.sleep(0.5)
    assert not psutil.pid_exists(one.server.pid)
