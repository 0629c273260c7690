"""Who comes in, what they may do, that nobody else can act for them, and that every text is in the reader's language."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.apps.accounts import Accounts
from studio.apps.style import theme
from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.jobs.records import list_jobs
from studio.pages.serving import Studio
from studio.pages.table import ROOMS
from tests.conftest import Project
from tests.pages.conftest import ADDRESS, Reader

PASSWORD = "a long password"
STATIC = Path(__file__).parents[2] / "studio/pages/static"


@pytest.fixture(scope="module")
def people() -> Accounts:
    roles = {"lo": "look", "ta": "talk", "tr": "train", "ad": "administer"}
    return Accounts.of(dict.fromkeys(roles, PASSWORD), roles)


def test_roles_stand_under_headings(tmp_path: Path):
    file = tmp_path / "accounts.txt"
    file.write_text("old:a long password\n[train]\nanna:a long password\n[ look ]\nben:another password\n", encoding="utf-8")
    file.chmod(0o600)
    accounts = Accounts.read(file)
    assert [accounts.role(name) for name in ("old", "anna", "ben")] == ["talk", "train", "look"]
    file.write_text("[trian]\nanna:a long password\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"accounts.txt:1: there is no role 'trian'. Did you mean 'train'\? Allowed: look, talk"):
        Accounts.read(file)


def test_others_are_not_let_in_without_accounts(workspace: Workspace):
    for settings in ({"host": "0.0.0.0"}, {"name": "studio.example"}):
        with pytest.raises(UserError, match="can be reached by others and no accounts were given"):
            Studio(workspace, **settings)


def test_nobody_reads_before_signing_in(site: Callable[..., Reader], people: Accounts):
    stranger = site(accounts=people)
    answer = stranger.get("/runs?page=2", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/sign-in?to=/runs%3Fpage%3D2"
    assert stranger.client.get("/live").status_code == 401
    assert stranger.client.post("/example", headers={"origin": ADDRESS}).status_code == 401
    wrong = stranger.client.post("/sign-in", data={"name": "lo", "password": "wrong"})
    assert wrong.status_code == 401 and "There is no account with this name and password." in wrong.text
    inside = stranger.client.post("/sign-in?to=//evil.example", data={"name": "lo", "password": PASSWORD}, follow_redirects=False)
    assert inside.headers["location"] == "/"
    cookie = inside.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert stranger.get("/").status_code == 200 and "lo" in stranger.get("/").text
    stranger.client.cookies.set("studio-visitor", cookie.partition("=")[2].partition(";")[0].replace("bG8=", "YWQ="), path="/")
    assert site(accounts=people).get("/", follow_redirects=False).status_code == 303


def test_passwords_are_not_guessed(site: Callable[..., Reader], people: Accounts, monkeypatch: pytest.MonkeyPatch):
    guesser = site(accounts=people)
    said = [guesser.client.post("/sign-in", data={"name": "ad", "password": f"guess {number}"}).text for number in range(6)]
    assert ["Too many wrong passwords" in text for text in said] == [False] * 5 + [True]
    assert "Too many" in guesser.client.post("/sign-in", data={"name": "ad", "password": PASSWORD}).text
    guesser.client.post("/sign-in", data={"name": "lo", "password": PASSWORD})
    assert guesser.get("/", follow_redirects=False).status_code == 200
    guesser.post("/sign-out")
    monkeypatch.setattr("studio.pages.visitors.WAIT_SECONDS", 0.0)
    assert guesser.client.post("/sign-in", data={"name": "ad", "password": PASSWORD}, follow_redirects=False).status_code == 303


def test_each_may_what_their_role_may(site: Callable[..., Reader], people: Accounts, workspace: Workspace):
    looks = site(accounts=people, name="lo", password=PASSWORD)
    assert "/example" not in looks.get("/").text
    refused = looks.post("/example")
    assert refused.status_code == 403 and "This needs the role train; lo has the role look." in refused.text
    assert list_jobs(workspace) == []


def test_nobody_acts_for_another(site: Callable[..., Reader], workspace: Workspace):
    reader = site()
    token = reader.token()
    assert len(token) == 64
    for headers in (
        {"origin": "http://evil.example", "x-studio-token": token},
        {"sec-fetch-site": "cross-site", "x-studio-token": token},
        {"origin": "null", "x-studio-token": token},
        {"origin": ADDRESS, "x-studio-token": token[:-1] + "0" if token[-1] != "0" else token[:-1] + "1"},
        {"origin": ADDRESS},
    ):
        assert reader.client.post("/example", headers=headers).status_code == 403
    another = site()
    another.get("/")
    assert another.client.post("/example", headers={"origin": ADDRESS, "x-studio-token": token}).status_code == 403
    assert list_jobs(workspace) == []


def test_no_other_name_and_no_file_of_the_disk(workspace: Workspace, address: Callable[..., str], project: Project):
    import httpx

    url = address(project.workspace)
    assert httpx.get(url, headers={"host": "evil.example"}).status_code == 421
    run = f"{project.run.parent.name}/{project.run.name}"
    for path in (
        "/static/../site.py", "/static/%2e%2e/site.py", f"/pictures/runs/{run}/..%2f..%2f..%2f..%2fsecret.png",
        f"/pictures/runs/{run}/run.json", "/reports/datasets/%2e%2e/%2e%2e", "/runs/..%2f..%2fetc/passwd", "/runs/.hidden/x",
    ):  # fmt: skip
        assert httpx.get(url + path).status_code == 404, path
    page = httpx.get(url + "/")
    assert page.headers["x-frame-options"] == "DENY" and "frame-ancestors 'none'" in page.headers["content-security-policy"]


def test_a_report_is_shut_into_its_frame(site: Callable[..., Reader], project: Project):
    reader = site(project.workspace)
    data = next(project.workspace.datasets.glob("*/*"))
    report = reader.get(f"/reports/datasets/{data.parent.name}/{data.name}")
    assert report.status_code == 200 and report.headers["content-security-policy"].startswith(
        "sandbox allow-scripts; default-src"
    )
    assert "allow-same-origin" not in report.headers["content-security-policy"]


def test_the_language_is_the_browsers_or_as_chosen(site: Callable[..., Reader]):
    reader = site(language="zh-TW,zh;q=0.9,en;q=0.5")
    assert '<html lang="zh-CN">' in reader.get("/").text and "首页" in reader.get("/").text
    chosen = reader.get("/language?code=en&to=/runs", follow_redirects=False)
    assert chosen.headers["location"] == "/runs" and '<html lang="en">' in reader.get("/").text
    for to in ("//evil.example", "https://evil.example", "/\\evil.example"):
        assert site().get(f"/language?code=zh&to={to}", follow_redirects=False).headers["location"] == "/"
    beside = site().get("/language?code=zh&to=/apps/chat/en/", follow_redirects=False)
    assert beside.headers["location"] == "/apps/chat/zh/"


def test_two_readers_at_once_read_two_languages(site: Callable[..., Reader]):
    one, two = site(language="en"), site(language="zh")
    for _ in range(3):
        assert "Home" in one.get("/").text and "首页" in two.get("/").text


def test_the_look_is_that_of_gradios_pages():
    """Colours of the shell are the theme's; where ours is darker it is for the contrast that WCAG asks for."""
    dressed = theme()._get_theme_css()
    ours = (STATIC / "road.css").read_text(encoding="utf-8")
    for name, theirs in (("ground", "neutral-50"), ("edge", "neutral-200"), ("ink", "neutral-800"), ("accent", "primary-700")):
        [colour] = set(re.findall(rf"--{theirs}: ([^;]+);", dressed))
        assert re.search(rf"--{name}: {colour};", ours), name


def test_the_first_page_is_there_at_once(workspace: Workspace):
    """From the command to the first page, without torch or gradio in the process that answers."""
    script = (
        "import sys, json, time; from studio.core.workspace import Workspace; from studio.pages.serving import Studio; "
        f"studio = Studio(Workspace.open({str(workspace.root)!r})); studio.start(); import urllib.request; "
        "urllib.request.urlopen(studio.url).read(); print(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=True)
    assert not {"torch", "gradio", "transformers", "pandas"} & set(json.loads(done.stdout))


def test_what_a_terminal_starts_appears_and_the_other_way_round(site: Callable[..., Reader], project: Project):
    reader = site(project.workspace)
    run = f"{project.run.parent.name}/{project.run.name}"
    assert f"/runs/{run}" in reader.get("/runs").text
    page = reader.get(f"/runs/{run}").text
    assert "finished" in page and "<polyline" in page and f"studio runs show {run}" in page
    gone = project.run.with_name("20200101-000000-abcdef")
    gone.mkdir()
    (gone / "run.json").write_text("{", encoding="utf-8")
    assert "damaged" in reader.get("/runs").text and reader.get(f"/runs/{gone.parent.name}/{gone.name}").status_code == 200
    assert reader.get("/runs/doors/nothing").status_code == 404


def visible(page: Any) -> list[str]:
    """Texts that a person reads, or hears, and that nobody marked as a name."""
    return page.evaluate(
        """() => {
        const found = [], skip = (el) => el.closest('[translate="no"], script, style, iframe, title');
        const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        for (let node; (node = walk.nextNode());)
          if (node.textContent.trim() && !skip(node.parentElement)) found.push(node.textContent.trim());
        for (const el of document.querySelectorAll('[aria-label], [placeholder], [title], [alt]'))
          if (!skip(el)) for (const name of ['aria-label', 'placeholder', 'title', 'alt'])
            if (el.getAttribute(name)) found.push(el.getAttribute(name));
        return found; }"""
    )


def untranslated(texts: list[str]) -> list[str]:
    """Those with letters outside of the brackets of the pseudo-language; units and punctuation need none."""
    bare = [re.sub(r"⟦[^⟦⟧]*⟧|[⟦⟧]|\b(GB|MB|kB|B|v?\d[\w.,:/-]*)\b", " ", text) for text in texts]
    return [text for text, rest in zip(texts, bare, strict=True) if re.search(r"[A-Za-z]{2}", rest)]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.module)
def test_no_text_is_left_untranslated(room: Any, project: Project, address: Callable[..., str], visit: Callable[..., Any]):
    page = visit(f"{address(project.workspace)}{room.path}?lang=qps")
    page.wait_for_timeout(500)
    texts = visible(page)
    assert any("⟦" in text for text in texts) and untranslated(texts) == []
