"""Evaluations in the browser: the right suites, mistakes at the field, a report with its verdicts first, suites of one's own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studio.apps.accounts import Accounts
from studio.core.files import write_json
from studio.core.records import ReportRecord, Score
from studio.core.workspace import Workspace
from studio.evals.fitting import fits
from studio.evals.score_table import score_table
from studio.evals.suites import load_suite
from studio.jobs.records import FILE, LOG, add_job, list_jobs, read_job, set_over
from studio.pages.measured import places_in, read_examples, reports_of
from tests.conftest import Project, Result, call_studio, own_project
from tests.pages.conftest import Reader
from tests.pages.test_site import untranslated, visible

PASSWORD = "a long password"


@pytest.fixture(scope="session")
def measured_made(project_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run was measured once."""
    folder = Path(shutil.copytree(project_made, tmp_path_factory.mktemp("measured") / "project"))
    assert call_studio("eval", "chatbot", "--model", "doors", "--workspace", folder / "workspace") == 0
    return folder


@pytest.fixture
def measured(measured_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the test's own."""
    return own_project(measured_made, tmp_path / "project", monkeypatch)


def reference(project: Project) -> str:
    return f"{project.run.parent.name}/{project.run.name}"


def asked(project: Project, **more: str) -> dict[str, str]:
    return {"run": reference(project), "suite": "chatbot", "baseline": "base", "do": "start", **more}


def sent(reader: Reader, path: str, data: dict[str, str], **more: Any) -> Any:
    """Send a form with the token that the forms of this page carry."""
    token = re.search(r'name="token" value="([^"]+)"', reader.get("/evaluate/suites/new").text)
    assert token
    return reader.post(path, data, headers={"x-studio-token": token[1]}, **more)


def test_without_a_run_the_page_teaches(site: Callable[..., Reader]):
    page = site().get("/evaluate").text
    assert "There is no finished run to measure." in page and 'href="/train"' in page
    assert 'name="suite"' not in page


def test_suites_that_fit_are_offered_with_what_they_measure(site: Callable[..., Reader], project: Project):
    page = site(project.workspace).get(f"/evaluate?run={reference(project)}").text
    assert 'value="chatbot" checked' in page and "How close the answers to held-out questions" in page
    for other in ("images", "forecast", "clustering", "retrieval", "reward"):
        assert f'name="suite" value="{other}"' not in page
    assert f"studio eval chatbot --model {reference(project)}" in page


@pytest.mark.parametrize(
    ("suite", "kind", "objective", "fitting"),
    [
        ("chatbot", "chat", "sft", True), ("chatbot", "classifier", None, False), ("chatbot", "chat", "reward", False),
        ("reward", "chat", "reward", True), ("reward", "chat", "sft", False), ("classification", "classifier", None, True),
        ("classification", "chat", "sft", True), ("release", "classifier", None, False), ("images", "gan", None, True),
        ("images", "chat", None, False), ("retrieval", "reranker", None, True), ("forecast", "forecast", None, True),
        ("clustering", "clusters", None, True), ("fairness", "regressor", None, True),
    ],
)  # fmt: skip
def test_which_suite_measures_what(suite: str, kind: str, objective: str | None, fitting: bool):
    assert fits(load_suite(suite), kind, objective) is fitting


@pytest.mark.parametrize(
    ("field", "value", "options"),
    [
        ("limit", "0", ["--limit", "0"]),
        ("limit", "many", ["--limit", "many"]),
        ("settings", "generation.max_tokens=4", ["--set", "generation.max_tokens=4"]),
        ("settings", "nonsense", ["--set", "nonsense"]),
    ],
)
def test_a_mistake_stands_at_its_field_in_the_words_of_the_terminal(
    field: str, value: str, options: list[str], site: Callable[..., Reader], project: Project, studio: Callable[..., Result]
):
    answer = sent(site(project.workspace), "/evaluate/new", asked(project, **{field: value}))
    said = studio("eval", "chatbot", "--model", "doors", *options).err
    shown = answer.text.partition(f'id="{field}-wrong"')[2].partition(">")[2].partition("</p>")[0].replace("&#39;", "'")
    assert answer.status_code == 422 and shown and shown.split(" (")[0] in " ".join(said.replace("│", " ").split())
    assert value in answer.text and list_jobs(project.workspace) == []


def test_a_gate_without_thresholds_and_runs_of_elsewhere(
    site: Callable[..., Reader], project: Project, studio: Callable[..., Result]
):
    reader = site(project.workspace)
    gate = sent(reader, "/evaluate/new", asked(project, suite="judge", gate="on"))
    assert gate.status_code == 422 and "--gate needs thresholds, and the suite judge has none." in gate.text
    assert "--gate needs thresholds, and the suite judge has none." in studio("eval", "judge", "--model", "doors", "--gate").err
    for run in (str(project.run), "../doors", "nothing"):
        refused = sent(reader, "/evaluate/new", asked(project) | {"run": run})
        assert refused.status_code == 422 and "there is no run" in refused.text
    for name in ("data", "baseline", "suite"):
        assert sent(reader, "/evaluate/new", asked(project, **{name: "/etc/passwd"})).status_code == 422
    assert list_jobs(project.workspace) == []


def test_the_command_is_shown_and_started_as_it_is_shown(site: Callable[..., Reader], project: Project):
    reader = site(project.workspace)
    more = {"limit": "4", "gate": "on", "baseline": "none", "settings": "seed=3\n\nresamples=200"}
    shown = sent(reader, "/evaluate/new", asked(project, **more) | {"do": "show"})
    line = f"studio eval chatbot --model {reference(project)} --baseline none --limit 4 --set seed=3 --set resamples=200 --gate"
    assert shown.status_code == 200 and line in shown.text and list_jobs(project.workspace) == []
    started = sent(reader, "/evaluate/new", asked(project, **more), follow_redirects=False)
    [job] = list_jobs(project.workspace)
    assert started.headers["location"] == f"/evaluate/running/{job.id}" and job.command == line
    assert line in reader.get(f"/evaluate/running/{job.id}").text
    assert reader.get(f"/jobs/{job.id}", follow_redirects=False).headers["location"] == f"/evaluate/running/{job.id}"


def test_those_who_look_see_and_start_nothing(site: Callable[..., Reader], measured: Project):
    looks = site(measured.workspace, accounts=Accounts.of({"lo": PASSWORD}, {"lo": "look"}), name="lo", password=PASSWORD)
    page = looks.get(f"/evaluate?run={reference(measured)}").text
    assert 'value="start"' not in page and "Measuring needs the role" in page
    for path in ("/evaluate/new", "/evaluate/suites/new"):
        assert looks.post(path, asked(measured)).status_code == 403
    assert looks.get(reports_of(measured.workspace)[0].address).status_code == 200
    assert list_jobs(measured.workspace) == []


def test_a_report_begins_with_its_verdicts(site: Callable[..., Reader], measured: Project):
    [place] = reports_of(measured.workspace)
    page = site(measured.workspace).get(place.address)
    _, rows = score_table(place.record())
    for row in rows:
        for cell in row:
            assert f">{cell}<" in page.text
    assert "threshold" in page.text and "Examples side by side" in page.text and "How wide must" in page.text
    assert f'src="{place.framed}"' in page.text and "frame-src 'self'" in page.headers["content-security-policy"]
    frame = site(measured.workspace).get(place.framed)
    assert frame.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    for wrong in ("?page=99&by=nothing&show=worsened", "?task=..%2f..", "?page=-1"):
        assert site(measured.workspace).get(place.address + wrong).status_code == 200


def test_all_reports_are_listed_a_damaged_one_too(site: Callable[..., Reader], measured: Project):
    reader = site(measured.workspace)
    [place] = reports_of(measured.workspace)
    other = Path(shutil.copytree(place.folder, place.folder.with_name("20300101-000000")))
    (other / "scores.json").write_text("{", encoding="utf-8")
    model = measured.workspace.root / "reports" / "served-model" / "chatbot"
    shutil.copytree(place.folder, model / "20290101-000000")
    page = reader.get("/evaluate").text
    assert "is cut off or damaged" in page and place.address in page
    assert "/evaluate/models/of/served-model/chatbot/20290101-000000" in page
    beside = reader.get("/evaluate/models/of/served-model/chatbot/20290101-000000").text
    assert "/reports/models/served-model/chatbot/20290101-000000" in beside
    assert reader.get("/reports/models/served-model/chatbot/20290101-000000").status_code == 200
    assert reader.get(f"/evaluate/{reference(measured)}/chatbot/20300101-000000").status_code == 500
    assert reader.get(f"/evaluate/{reference(measured)}/chatbot/20000101-000000").status_code == 404
    (other / "scores.json").unlink()
    assert reader.get(f"/evaluate/{reference(measured)}/chatbot/20300101-000000").status_code == 404


def test_a_trend_is_the_terminals_page_in_a_frame(site: Callable[..., Reader], measured: Project):
    reader = site(measured.workspace)
    page = reader.get("/evaluate/trend/doors")
    assert 'src="/reports/trends/doors"' in page.text and "studio runs trend doors" in page.text
    framed = reader.get("/reports/trends/doors")
    assert framed.status_code == 200 and "perplexity" in framed.text.lower() and "<a " not in framed.text
    assert framed.headers["content-security-policy"].startswith("sandbox")
    assert reader.get("/evaluate/trend/nothing").status_code == 404


def test_reports_are_found_in_what_a_command_says(measured: Project):
    [place] = reports_of(measured.workspace)
    text = f"6 rows in 3 s. Report: {place.folder / 'report.html'}\nReport: /elsewhere/report.html\n"
    assert places_in(text, measured.workspace) == [place]


def test_examples_stand_in_the_order_of_what_moved(tmp_path: Path):
    columns = {
        "id": ["a", "b", "c"], "prompt": [[{"role": "user", "content": "one"}], None, [{"role": "user", "content": "3"}] * 2],
        "reference": ["x", "y", "z"], "tuned_answer": ["A", "", None], "base_answer": ["B", "C", "D"],
        "tuned_rouge": [0.1, 0.9, None], "base_rouge": [0.5, 0.2, 0.3], "tuned_ter": [3.0, 1.0, 2.0], "base_ter": [1.0, 1.0, 9.0],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "examples.parquet")
    scores = [
        Score(metric=name, value=1.0, unit="", better=better, n=3, made_with="", task="conversation")
        for name, better in (("rouge", "higher"), ("ter", "lower"))
    ]
    record = ReportRecord(suite="s", created="", dataset={}, models={}, scores={"tuned": scores}, studio_version="1")

    def order(by: str | None, worst: bool) -> list[str]:
        found = read_examples(tmp_path / "examples.parquet", "", record, by=by, worst=worst, at=0, count=9)
        return [one.id for one in found.shown]

    assert order(None, False) == ["b", "a", "c"] and order("rouge", True) == ["a", "b", "c"]
    assert order("ter", False) == ["c", "b", "a"]
    second = read_examples(tmp_path / "examples.parquet", "", record, by="rouge", worst=False, at=1, count=2)
    assert [one.id for one in second.shown] == ["c"] and second.rows == 3 and second.metrics == ["rouge", "ter"]
    assert second.shown[0].asked == "user: 3\n\nuser: 3" and second.shown[0].said == {"tuned": None, "base": "D"}


def test_a_suite_of_ones_own(site: Callable[..., Reader], project: Project, tmp_path: Path):
    reader = site(project.workspace)
    page = reader.get("/evaluate/suites/new?from=chatbot").text
    assert "name: my-chatbot" in page
    text = "name: mine\ndescription: My own.\nmetrics: [rougeL]\n"
    for wrong, said in (
        (text + "metrcs: [bleu]\n", "suite:4: unknown field &#39;metrcs&#39;. Did you mean &#39;metrics&#39;?"),
        (text.replace("rougeL", "rogueL"), "is not a metric"),
        (text.replace("mine", "chatbot"), "there is a suite &#39;chatbot&#39; already"),
        (text.replace("mine", "../mine"), "&#39;name&#39;"),
        ("", "the file is empty"),
        ("x" * 100_001, "is too long"),
    ):
        answer = sent(reader, "/evaluate/suites/new", {"text": wrong, "name": ""})
        assert answer.status_code == 422 and said in answer.text, answer.text[-2000:]
    assert list((project.workspace.root / "suites").iterdir()) == []
    assert sent(reader, "/evaluate/suites/new", {"text": text, "name": ""}, follow_redirects=False).status_code == 303
    assert "My own." in reader.get("/evaluate/suites").text
    form = reader.get(f"/evaluate?run={reference(project)}").text
    assert 'value="own:mine"' in form and "My own." in form
    shown = sent(reader, "/evaluate/new", asked(project, suite="own:mine", do="show")).text
    assert f"studio eval {project.workspace.root / 'suites' / 'mine.yaml'} --model" in shown
    other = {"text": text.replace("mine", "yours"), "name": "mine"}
    assert sent(reader, "/evaluate/suites/new", other, follow_redirects=False).status_code == 303
    assert [file.name for file in (project.workspace.root / "suites").iterdir()] == ["yours.yaml"]
    for bad in ("own:../../etc/passwd", "/etc/passwd", "own:"):
        assert sent(reader, "/evaluate/new", asked(project, suite=bad)).status_code == 422


def pages(project: Project) -> list[str]:
    [place] = reports_of(project.workspace)
    return [
        "/evaluate", f"/evaluate?run={reference(project)}", place.address, "/evaluate/trend/doors", "/evaluate/suites",
        "/evaluate/suites/new?from=chatbot", "/evaluate/suites/of/chatbot",
    ]  # fmt: skip


def test_every_page_is_translated(measured: Project, address: Callable[..., str], visit: Callable[..., Any]):
    url = address(measured.workspace)
    page = visit(f"{url}/?lang=qps")
    for path in pages(measured):
        page.goto(url + path)
        texts = visible(page)
        assert any("⟦" in text for text in texts) and untranslated(texts) == [], path


def test_every_page_is_for_everybody(measured: Project, address: Callable[..., str], visit: Callable[..., Any]):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    url = address(measured.workspace)
    page = visit(url)
    page.set_viewport_size({"width": 390, "height": 800})
    for path in pages(measured):
        page.goto(url + path)
        page.wait_for_timeout(200)
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_a_report_is_led_to_in_whatever_script_its_run_is_named(site: Callable[..., Reader], measured: Project):
    named = measured.workspace.runs / "我的 机器人" / measured.run.name
    shutil.copytree(measured.run, named)
    run = f"{named.parent.name}/{named.name}"
    [report] = [one for one in reports_of(measured.workspace) if one.run == run]
    job = add_job(measured.workspace, ["eval", "chatbot", "--model", run])
    write_json(job / FILE, read_job(job).record.model_copy(update={"status": "done", "code": 0}).model_dump(mode="json"))
    (job / LOG).write_text(f"Report: {named}/evals/{report.suite}/{report.time}/report.html\n", encoding="utf-8")
    set_over(job)
    leads = site(measured.workspace).get(f"/evaluate/running/{job.name}/live?watched=1").headers["x-studio-next"]
    assert leads.isascii() and unquote(leads) == report.address


@pytest.mark.long
def test_from_a_run_to_its_report_as_a_person_does_it(project: Project, address: Callable[..., str], visit: Callable[..., Any]):
    """Choose the run, measure, watch, and be led to the report."""
    page = visit(f"{address(project.workspace)}/runs/{reference(project)}")
    page.click("main >> text=Evaluate")
    page.fill("#limit", "4")
    page.click('button[value="start"]')
    page.wait_for_url("**/evaluate/running/*")
    page.wait_for_url(f"**/evaluate/{reference(project)}/chatbot/*", timeout=120_000)
    assert page.locator("table.list >> text=perplexity").count() == 1
    report = page.frame_locator("iframe").locator("h1")
    assert report.count() == 1
    page.go_back()
    page.wait_for_selector("text=Open the report")


def test_a_workspace_alone_has_no_reports(workspace: Workspace):
    assert reports_of(workspace) == []
