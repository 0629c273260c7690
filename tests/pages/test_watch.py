"""Watch: figures, what people said and what is made of it, projects with their looks and rounds."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.apps.accounts import Accounts
from studio.apps.recording import open_store
from studio.core.workspace import Workspace
from studio.feedback.store import Origin, RequestRow
from studio.feedback.summary import quantile
from studio.jobs.records import list_jobs
from studio.loop.rounds import new_round
from studio.pages.figures import PERIODS, drift_of, figures_of
from studio.pages.projects import project_files
from tests.pages.conftest import Reader

PASSWORD = "a long password"
STARTER = Path(__file__).parents[2] / "studio/cli/starter/project.yaml"


def fill(workspace: Workspace) -> list[RequestRow]:
    """Five weeks of two models, the newest week three times as slow; thumbs, a correction and a vote."""
    store, now, draw = open_store(workspace), time.time(), random.Random(0)
    rows = []
    for _ in range(1500):
        created = now - draw.uniform(0, 34 * 86400)
        seconds = draw.lognormvariate(0, 0.4) * (3 if created > now - 7 * 86400 else 1)
        rows.append(
            RequestRow(
                Origin(draw.choice(["alpha", "beta"]), "anna", "chat"),
                status=draw.choices(["ok", "cut", "error"], [92, 6, 2])[0],  # type: ignore[arg-type]
                created=created, seconds=seconds, characters=120, language="en", refusal=False,
            )
        )  # fmt: skip
    store.record_requests(rows)
    asked = [{"role": "user", "content": "How wide is a <b>door</b>?"}]
    store.rate(Origin("alpha", "بن", "chat"), prompt=asked, completion="Wide.", value=-1)
    store.correct(Origin("alpha", "anna", "chat"), prompt=asked, completion="Wide.", correction="90 centimetres.")
    store.vote(
        Origin("alpha", "anna", "compare"), Origin("beta", "anna", "compare"), prompt=asked, answers=("a", "b"), winner="b"
    )
    store.close()
    return rows


def post(reader: Reader, path: str, data: dict[str, str], page: str) -> object:
    found = re.search(r'name="token" value="([^"]+)"', reader.get(page).text)
    assert found
    reader.token = lambda: found[1]  # type: ignore[method-assign]
    return reader.post(path, data, follow_redirects=False)


def test_figures_are_those_of_the_rows(workspace: Workspace):
    rows, now = fill(workspace), time.time()
    store = open_store(workspace)
    found = figures_of(store, PERIODS["week"], None, now)
    recent = [row for row in rows if row.created is not None and row.created >= now - 7 * 86400]
    assert found.requests == len(recent) and found.models == ("alpha", "beta")
    assert found.share("failed") == sum(row.status == "error" for row in recent) / len(recent)
    slow = [
        sorted(row.seconds for row in recent if row.seconds and row.status != "error" and row.origin.model == name)
        for name in found.models
    ]
    assert found.slowest == max(quantile(values, 0.95) or 0 for values in slow)
    assert found.thumbs == (0, 1) and len(found.plots) == 4
    assert figures_of(store, PERIODS["week"], "alpha", now).requests < found.requests
    changed = [(model, one.signal) for model, one in drift_of(store, PERIODS["week"], None, now) if one.alarm]
    assert ("alpha", "seconds to the last token") in changed


def test_the_page_shows_figures_and_no_words(site: Callable[..., Reader], workspace: Workspace):
    assert "Nothing was asked yet." in site().get("/watch").text
    fill(workspace)
    page = site().get("/watch?period=month&model=alpha").text
    assert "<svg" in page and "alpha" in page and "door" not in page
    assert site().get("/watch?period=nonsense&model=nobody").status_code == 200
    drift = site().get("/watch/drift?period=week").text
    assert "changed" in drift and "seconds to the last token" in drift


def test_what_people_said_is_listed_and_exported(
    site: Callable[..., Reader], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    assert "Nobody has said anything yet." in site().get("/watch/feedback").text
    fill(workspace)
    reader = site()
    page = reader.get("/watch/feedback").text
    assert "How wide is a &lt;b&gt;door&lt;/b&gt;?" in page and "90 centimetres." in page and "بن" in page
    assert "0 : 1 : 0" in page or "1 : 0 : 0" in page
    monkeypatch.setattr("studio.pages.work.start", lambda *_: None)
    assert post(reader, "/watch/feedback/export", {"form": "kot"}, "/watch/feedback").status_code == 422  # type: ignore[attr-defined]
    assert post(reader, "/watch/feedback/export", {"form": "kto"}, "/watch/feedback").status_code == 303  # type: ignore[attr-defined]
    [job] = list_jobs(workspace)
    assert job.record.arguments[:5] == ["feedback", "export", "--form", "kto", "--to"]
    file = Path(job.record.arguments[5])
    file.write_text(json.dumps({"prompt": []}) + "\n")
    assert reader.get(f"/watch/feedback/files/{file.name}").text == file.read_text()
    for name in ("../feedback.sqlite", "%2e%2e%2ffeedback.sqlite", ".hidden"):
        assert reader.get(f"/watch/feedback/files/{name}").status_code == 404


def test_words_are_for_those_who_train(site: Callable[..., Reader], workspace: Workspace):
    fill(workspace)
    people = Accounts.of({"ta": PASSWORD}, {"ta": "talk"})
    talks = site(accounts=people, name="ta", password=PASSWORD)
    assert talks.get("/watch").status_code == 200 and "/watch/feedback" not in talks.get("/watch").text
    assert talks.get("/watch/feedback").status_code == 403


@pytest.fixture
def faq(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project in the workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("studio.pages.work.start", lambda *_: None)
    file = workspace.root / "faq" / "project.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(STARTER.read_text().replace("FILL IN: ", "").replace("NAME", "faq"))
    return file.resolve()


def test_a_project_is_looked_at_and_improved(site: Callable[..., Reader], workspace: Workspace, faq: Path):
    reader = site()
    assert "faq" in reader.get("/watch/projects").text and project_files(workspace) == [faq]
    post(reader, "/watch/projects/faq/look", {}, "/watch/projects")
    post(reader, "/watch/projects/faq/improve", {}, "/watch/projects")
    post(reader, "/watch/projects/faq/looking", {}, "/watch/projects")
    post(reader, "/watch/projects/faq/looking", {}, "/watch/projects")
    asked = [(job.record.arguments, job.record.queued) for job in reversed(list_jobs(workspace))]
    assert asked == [
        (["watch", str(faq), "--once"], False), (["improve", str(faq)], True), (["watch", str(faq)], False)
    ]  # fmt: skip
    (workspace.root / "watch").mkdir(exist_ok=True)
    memory = {
        "standing": {"drift x": {"sentence": "length of answers: shorter now", "kind": "drift"}},
        "undelivered": [],
        "last": 1.0,
    }
    (workspace.root / "watch" / "faq.json").write_text(json.dumps(memory))
    assert "length of answers: shorter now" in reader.get("/watch/projects").text
    (workspace.root / "watch" / "faq.json").write_text("{")
    assert reader.get("/watch/projects").status_code == 200 and (workspace.root / "watch" / "faq.json").exists()
    assert post(reader, "/watch/projects/other/look", {}, "/watch/projects").status_code == 422  # type: ignore[attr-defined]


def test_a_model_that_waits_is_promoted_by_an_administrator(site: Callable[..., Reader], workspace: Workspace, faq: Path):
    made = new_round(workspace, "faq", "production", {"model": "a", "run": "a/1"}, time.time())
    made.stands("waiting", "the new model is better and waits")
    (made.folder / "report.md").write_text("# Round 1\n")
    people = Accounts.of({"tr": PASSWORD, "ad": PASSWORD}, {"tr": "train", "ad": "administer"})
    trains = site(accounts=people, name="tr", password=PASSWORD)
    page = trains.get("/watch/projects").text
    assert "the new model is better and waits" in page and "Yes, promote it" not in page
    assert post(trains, "/watch/projects/faq/answer", {"answer": "yes"}, "/watch/projects").status_code == 403  # type: ignore[attr-defined]
    assert "# Round 1" in trains.get("/watch/projects/faq/rounds/001").text
    assert trains.get("/watch/projects/faq/rounds/..%2f001").status_code == 404
    administers = site(accounts=people, name="ad", password=PASSWORD)
    post(administers, "/watch/projects/faq/answer", {"answer": "yes"}, "/watch/projects")
    assert list_jobs(workspace)[0].record.arguments == ["improve", str(faq), "--yes"]
    assert post(administers, "/watch/projects/faq/answer", {"answer": "x"}, "/watch/projects").status_code == 422  # type: ignore[attr-defined]


def test_a_project_with_a_mistake_says_it(site: Callable[..., Reader], faq: Path):
    faq.write_text(faq.read_text().replace("audience:", "audiense:"))
    page = site().get("/watch/projects").text
    assert "Did you mean &#39;audience&#39;?" in page and "/look" not in page
    shutil.rmtree(faq.parent)
    assert "There is no project here yet." in site().get("/watch/projects").text
