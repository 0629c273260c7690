"""Try: what there is, with the button that fits, for those who may."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.apps.accounts import Accounts
from studio.core.workspace import Workspace
from studio.pages.shelf import finished_runs
from tests.conftest import Project
from tests.pages.conftest import Reader

PASSWORD = "a long password"


def write_run(workspace: Workspace, name: str, kind: str, status: str = "finished", number: int = 0) -> str:
    """A run as a list reads it; there is no model in it."""
    folder = workspace.runs / name / f"20260101-{number:06d}-abcdef"
    folder.mkdir(parents=True)
    record = {
        "format": 1, "kind": kind, "name": name, "id": "abcdef", "status": status, "created": "2026-01-01T00:00:00+00:00",
        "method": "full", "base": {"name": "tiny"}, "dataset": {}, "seed": 0,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    return f"{name}/{folder.name}"


@pytest.fixture
def kinds(workspace: Workspace) -> dict[str, str]:
    """A finished run of each kind that has a page, of one that has none, and one that still trains."""
    made = {kind: write_run(workspace, f"my-{kind}", kind) for kind in ("chat", "diffusion", "classifier", "forecast")}
    write_run(workspace, "unready", "chat", "running")
    return made


def test_each_run_has_the_button_that_fits(site: Callable[..., Reader], kinds: dict[str, str]):
    page = site().get("/try").text
    chat, classifier = kinds["chat"], kinds["classifier"]
    assert (
        f"/apps/chat/en/?run={chat.replace('/', '%2F')}" in page and f"/apps/compare/en/?run={chat.replace('/', '%2F')}" in page
    )
    assert f"/apps/image/en/?run={kinds['diffusion'].replace('/', '%2F')}" in page
    assert f"/apps/predict/en/of/{classifier}/" in page
    assert "No page yet" in page and "unready" not in page
    only = site().get("/try?app=image").text
    assert "my-diffusion" in only and "my-chat" not in only


def test_the_address_of_a_run_leads_to_its_app(site: Callable[..., Reader], kinds: dict[str, str]):
    reader = site(language="zh")
    chat = reader.get(f"/try?run={kinds['chat']}", follow_redirects=False)
    assert chat.status_code == 303 and chat.headers["location"] == f"/apps/chat/zh/?run={kinds['chat'].replace('/', '%2F')}"
    assert reader.get("/try?run=my-classifier", follow_redirects=False).headers["location"].startswith("/apps/predict/zh/of/")
    assert "studio runs show" in site().get(f"/try?run={kinds['forecast']}").text
    for unknown in ("nothing", "../../etc", "/etc", "my-chat/nothing"):
        assert site().get("/try", params={"run": unknown}, follow_redirects=False).status_code == 404


def test_who_may_only_look_has_no_buttons(site: Callable[..., Reader], kinds: dict[str, str]):
    people = Accounts.of({"lo": PASSWORD}, {"lo": "look"})
    page = site(accounts=people, name="lo", password=PASSWORD).get("/try").text
    assert "You may look, and not talk" in page and kinds["chat"] in page and "/apps/chat" not in page


def test_an_empty_workspace_is_told_what_comes_here(site: Callable[..., Reader]):
    assert "There is nothing to try yet." in site().get("/try").text


def test_datasets_can_be_labelled_from_here(site: Callable[..., Reader], project: Project):
    page = site(project.workspace).get("/try").text
    assert "Rows to label" in page and "/apps/annotate/en/of/doors/" in page


def test_many_runs_are_listed_in_pages(site: Callable[..., Reader], workspace: Workspace):
    for number in range(65):
        write_run(workspace, "many", "chat", number=number)
    assert len(finished_runs(workspace)) == 65
    last = site().get("/try?page=2").text
    assert "Page 3 of 3" in last and "20260101-000000-abcdef" in last and "20260101-000064-abcdef" not in last
    assert site().get("/try?page=nonsense").status_code == 200


def test_a_damaged_run_takes_nothing_else_away(site: Callable[..., Reader], kinds: dict[str, str], workspace: Workspace):
    file: Path = workspace.runs / kinds["chat"] / "run.json"
    file.write_text("{")
    page = site().get("/try").text
    assert "my-chat" not in page and "my-classifier" in page
