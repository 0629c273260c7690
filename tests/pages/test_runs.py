"""Runs in the browser: many, long ones, damaged, vanished and failed ones; compared, pruned, traced, exported, deployed."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.apps.accounts import Accounts
from studio.core.files import write_json
from studio.core.markdown import markdown_html
from studio.core.runs import summarize_run
from studio.core.workspace import Workspace
from studio.deploy.writing import RECORD, DeployRecord
from studio.jobs.records import (
    FILE,
    Job,
    add_job,
    ask_to_stop,
    list_jobs,
    log_text,
    made_by,
    read_job,
    set_over,
)
from studio.pages import packing
from studio.pages.running import StepsFile
from tests.conftest import Project, Result
from tests.pages.conftest import Reader
from tests.pages.test_site import untranslated, visible

PARTS = ("", "/live", "/card", "/samples", "/lineage", "/out")
PASSWORD = "a long password"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049"
    "454e44ae426082"
)


def reference(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def sent(reader: Reader, path: str, data: dict[str, str], **more: Any) -> Any:
    """Send a form with the token that forms carry."""
    token = re.search(r'name="token" value="([^"]+)"', reader.get("/evaluate/suites/new").text)
    return reader.post(path, data, headers={"x-studio-token": token[1] if token else ""}, **more)


def another(project: Project, name: str, **changes: Any) -> Path:
    """A run beside that of the project, with other words in its record."""
    folder = Path(shutil.copytree(project.run, project.run.with_name(name)))
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    write_json(folder / "run.json", record | {"id": name.rpartition("-")[2]} | changes)
    return folder


def test_a_run_that_has_only_begun_has_its_page(site: Callable[..., Reader], project: Project):
    """Nothing is known yet but that it runs."""
    empty: dict[str, Any] = {name: {} for name in ("result", "mask_report", "plan", "base", "dataset", "template")}
    run = another(project, "20300101-000000-aaaaaa", status="running", machine={"pid": os.getpid()}, **empty)
    for part in ("metrics.jsonl", "README.md", "config.yaml"):
        (run / part).unlink()
    for part in ("adapter", "checkpoints"):
        shutil.rmtree(run / part)
    reader = site(project.workspace)
    for path in (
        "/runs",
        "/",
        "/evaluate",
        f"/evaluate?run={reference(run)}",
        *(f"/runs/{reference(run)}{part}" for part in PARTS),
    ):
        assert reader.get(path).status_code == 200, path
    assert reader.get(f"/runs/compare?run={reference(run)}&run={reference(project.run)}").status_code == 200


def test_the_command_of_a_run_with_a_space_in_its_name_works_as_it_is_pasted(site: Callable[..., Reader], project: Project):
    run = project.workspace.runs / "my bot" / project.run.name
    shutil.copytree(project.run, run)
    assert f"studio runs show &#39;{reference(run)}&#39;" in site(project.workspace).get(f"/runs/{reference(run)}").text


def line_of(step: int, **more: float) -> str:
    return json.dumps({"step": step, "loss": 5 / (1 + step / 500), "tokens_per_second": 900.0, **more}) + "\n"


def test_two_hundred_runs_are_listed_quickly(site: Callable[..., Reader], project: Project):
    weights = project.run / "adapter"
    for number in range(200):
        folder = project.workspace.runs / f"many{number % 7}" / f"20260101-{number:06d}-abcdef"
        shutil.copytree(project.run / "adapter", folder / "adapter")
        shutil.copy(project.run / "run.json", folder)
    reader, took = site(project.workspace), []
    for _ in range(5):
        begun = time.perf_counter()
        page = reader.get("/runs").text
        took.append(time.perf_counter() - begun)
    assert weights.is_dir() and page.count('type="checkbox"') == 30 and "Page 1 of 7" in page
    assert min(took) < 2, took
    found = reader.get("/runs?q=MANY3&page=99").text
    assert found.count('type="checkbox"') == 29 and "many3" in found and "many4" not in found
    assert "No run has this in its name." in reader.get("/runs?q=nothing").text


def test_only_what_was_added_is_read(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    steps = StepsFile(file)
    assert steps.look() == (0, {}, [])
    file.write_text(line_of(1) + line_of(2, eval_loss=3.0) + '{"step": 3, "lo', encoding="utf-8")
    step, lines, speeds = steps.look()
    assert step == 2 and [x for x, _ in lines["loss"]] == [1, 2] and lines["validation"] == [(2, 3.0)] and speeds == [900.0] * 2
    with file.open("a", encoding="utf-8") as stream:
        stream.write('ss": 2.5}\nnonsense\n[1]\n{"step": "x"}\n' + line_of(4))
    step, lines, _ = steps.look()
    assert step == 4 and [x for x, _ in lines["loss"]] == [1, 2, 3, 4]
    # A resumed training puts another file in its place.
    (tmp_path / "new").write_text(line_of(1) + line_of(2) + line_of(3) + line_of(3) + line_of(3) + line_of(9), encoding="utf-8")
    (tmp_path / "new").replace(file)
    assert steps.look()[0] == 9 and len(steps.look()[1]["loss"]) == 6
    file.unlink()
    assert steps.look() == (0, {}, [])


def test_a_long_run_is_looked_at_cheaply(site: Callable[..., Reader], project: Project):
    machine = {"pid": os.getpid()}
    plan = {"steps": 20_000, "began": time.time() - 1000, "resumed_at": 0}
    run = another(project, "20300101-000000-aaaaaa", status="running", machine=machine, plan=plan)
    (run / "metrics.jsonl").write_text("".join(map(line_of, range(1, 10_001))), encoding="utf-8")
    reader = site(project.workspace)
    first = reader.get(f"/runs/{reference(run)}/live").text
    took = []
    for step in range(10_001, 10_006):
        with (run / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(line_of(step))
        begun = time.perf_counter()
        page = reader.get(f"/runs/{reference(run)}/live").text
        took.append(time.perf_counter() - begun)
        assert f"step {step:,} of 20,000" in page and "left" in page
    assert min(took) < 0.1, took
    assert "step 10,000 of 20,000" in first and len(first) < 40_000


def test_a_run_that_vanishes_while_it_is_watched(site: Callable[..., Reader], project: Project):
    reader, address = site(project.workspace), f"/runs/{reference(project.run)}"
    assert reader.get(address).status_code == 200
    shutil.rmtree(project.run)
    live = reader.get(address + "/live")
    assert live.status_code == 200 and "is gone: somebody deleted or moved it" in live.text
    assert live.headers["x-studio-over"] == "1" and reader.get(address).status_code == 404
    assert reader.get("/runs").status_code == 200


def test_damaged_and_failed_runs_say_why(site: Callable[..., Reader], project: Project):
    reader = site(project.workspace)
    sentence = "row 17 of doors.jsonl has no answer. Give one, or leave the row out."
    failed = another(project, "20300101-000000-aaaaaa", status="failed", error=sentence)
    damaged = another(project, "20300101-000001-bbbbbb")
    (damaged / "run.json").write_text('{"kind": "chat"', encoding="utf-8")
    (damaged / "metrics.jsonl").write_bytes(b"\xff\xfe\x00")
    page = reader.get(f"/runs/{reference(failed)}").text
    assert sentence[1:] in page and "failed" in page and "Go on" in page
    for path in ("", "/live", "/card", "/samples"):
        assert reader.get(f"/runs/{reference(damaged)}{path}").status_code == 200, path
    assert "is cut off or damaged" in reader.get(f"/runs/{reference(damaged)}").text
    compared = reader.get(f"/runs/compare?run={reference(failed)}&run={reference(damaged)}")
    assert compared.status_code == 422 and "cannot be compared" in compared.text


def ended_job(workspace: Workspace, *arguments: str, **changes: Any) -> Job:
    """A job that is over."""
    folder = add_job(workspace, list(arguments))
    record = read_job(folder).record.model_copy(update=changes)
    write_json(folder / FILE, record.model_dump(mode="json"))
    set_over(folder)
    return read_job(folder)


def test_a_full_disk_is_told_by_the_job_where_the_record_could_not(site: Callable[..., Reader], project: Project):
    run = another(project, "20300101-000000-aaaaaa", status="running", machine={"pid": 2**22 + 7})
    said = f"could not write checkpoint-8 to {run}: the disk is full. Make room or choose another place."
    made = [f"runs/{reference(run)}"]
    job = ended_job(project.workspace, "train", "chat/lora", status="failed", said=said, made=made, code=1)
    page = site(project.workspace).get(f"/runs/{reference(run)}").text
    assert "the disk is full" in page and f"/jobs/{job.id}" in page and "Go on" in page
    assert "its process is gone" not in page


def test_a_stopped_run_goes_on_by_the_command(site: Callable[..., Reader], project: Project):
    run = another(project, "20300101-000000-aaaaaa", status="interrupted")
    reader = site(project.workspace)
    assert f'action="/runs/{reference(run)}/resume"' in reader.get(f"/runs/{reference(run)}").text
    assert sent(reader, f"/runs/{reference(run)}/resume", {}, follow_redirects=False).status_code == 303
    [job] = list_jobs(project.workspace)
    assert job.record.arguments == ["train", "--resume", reference(run)]
    # Its first line names the run, by which the page finds the job again.
    end = time.monotonic() + 180
    while reference(run) not in log_text(read_job(job.folder)) and not read_job(job.folder).over and time.monotonic() < end:
        time.sleep(0.5)
    assert made_by(log_text(read_job(job.folder))) == [f"runs/{reference(run)}"]
    ask_to_stop(job)


def test_runs_beside_each_other(site: Callable[..., Reader], project: Project, studio: Callable[..., Result]):
    other = another(project, "20300101-000000-aaaaaa")
    text = (other / "config.yaml").read_text(encoding="utf-8")
    (other / "config.yaml").write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.5"), encoding="utf-8")
    lines = [line for line in (other / "metrics.jsonl").read_text(encoding="utf-8").splitlines() if "eval_loss" not in line]
    (other / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = [reference(other), reference(project.run)]
    page = site(project.workspace).get(f"/runs/compare?run={names[0]}&run={names[1]}").text
    told = studio("runs", "compare", *names, "--json").json
    for name, values in told["settings that differ"].items():
        assert f"<td>{name}</td>" in page and all(f"<td>{value}</td>" in page for value in values)
    assert list(told["settings that differ"]) == ["learning_rate"] and "final loss" in page and "first step at" not in page
    # The run without a curve keeps its place, so that the other has the same colour in both pictures.
    assert page.count('var(--line-2)"/>') == 2 and f"studio runs compare {' '.join(names)}" in page


def test_what_may_go_is_shown_before_it_goes(site: Callable[..., Reader], project: Project):
    failed = another(project, "20300101-000000-aaaaaa", status="failed")
    shutil.rmtree(failed / "adapter")
    shutil.rmtree(failed / "checkpoints")
    reader = site(project.workspace)
    page = reader.get("/runs/prune").text
    assert reference(failed) in page and "failed run" in page and f"{reference(project.run)}/checkpoints" in page
    assert reference(failed) not in reader.get(f"/runs/prune?run={reference(project.run)}").text
    accounts = Accounts.of({"tr": PASSWORD}, {"tr": "train"})
    trains = site(project.workspace, accounts=accounts, name="tr", password=PASSWORD)
    assert "Deleting needs the role" in trains.get("/runs/prune").text
    assert sent(trains, "/runs/prune", {}).status_code == 403 and list_jobs(project.workspace) == []
    for wrong in ("../../etc", "doors/../doors", "nothing"):
        assert reader.get(f"/runs/prune?run={wrong}").status_code == 404
        assert sent(reader, "/runs/prune", {"run": wrong}).status_code == 404
    sent(reader, "/runs/prune", {"run": reference(failed)})
    [job] = list_jobs(project.workspace)
    assert job.record.arguments == ["runs", "prune", reference(failed), "--yes"] and not job.record.queued
    end = time.monotonic() + 60
    while failed.exists() and time.monotonic() < end:
        time.sleep(0.2)
    assert not failed.exists() and project.run.exists()


def test_the_card_runs_nothing_of_what_is_written_in_it(site: Callable[..., Reader], project: Project):
    (project.run / "README.md").write_text(
        "---\nlicense: mit\n---\n# Doors <script>alert(1)</script>\n\n<!-- hidden -->\n<img src=x onerror=alert(1)>\n\n"
        "[bad](javascript:alert(1)) [file](../../secret) [web](https://example.com)\n\n![plot](loss.png) ![out](../x.png) "
        "![spy](https://example.com/x.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        encoding="utf-8",
    )
    page = site(project.workspace).get(f"/runs/{reference(project.run)}/card").text
    card = page.partition('class="card prose"')[2].partition("</section>")[0]
    assert "<script" not in card and "<img src=x" not in card and "license" not in card and "hidden" not in card
    assert 'href="javascript' not in card and "secret" not in card and 'href="https://example.com"' in card
    assert card.count("<img") == 1 and f'src="/pictures/runs/{reference(project.run)}/loss.png"' in card and "<td>1</td>" in card
    assert markdown_html("text") == "<p>text</p>\n"


def test_samples_stand_with_their_steps(site: Callable[..., Reader], project: Project):
    reader, address = site(project.workspace), f"/runs/{reference(project.run)}"
    assert "/samples" not in reader.get(address).text
    (project.run / "samples").mkdir()
    for step in range(0, 3000, 100):
        (project.run / "samples" / f"step-{step:06d}.png").write_bytes(PIXEL)
    page = reader.get(f"{address}/samples").text
    assert page.count("<figure>") == 24 and "step 2,900" in page and page.index("step 2,900") < page.index("step 2,800")
    assert reader.get(f"{address}/samples?page=1").text.count("<figure>") == 6
    assert reader.get(address).text.count("<figure>") == 6
    picture = reader.get(f"/pictures/runs/{reference(project.run)}/samples/step-000100.png")
    assert picture.status_code == 200 and picture.content == PIXEL


def test_where_a_run_comes_from(site: Callable[..., Reader], project: Project):
    start = {"run": reference(project.run), "id": "x", "path": "", "rank": 4, "sha256": ""}
    child = another(project, "20300101-000000-aaaaaa", start=start)
    page = site(project.workspace).get(f"/runs/{reference(child)}/lineage").text
    assert page.index(f'/runs/{reference(project.run)}"') < page.rindex(f'/runs/{reference(child)}"')
    assert "doors.jsonl" in page and "margin-inline-start: 24px" in page


def test_forms_for_its_kind_and_mistakes_at_the_form(
    site: Callable[..., Reader], project: Project, studio: Callable[..., Result]
):
    reader, address = site(project.workspace), f"/runs/{reference(project.run)}/out"
    page = reader.get(address).text
    for form in ("merged", "gguf", "onnx", "vllm"):
        assert f'name="to" value="{form}"' in page
    assert "torchscript" not in page and "kohya" not in page and 'value="kubernetes"' in page and 'value="android"' not in page
    for data, options in (
        ({"to": "gguf", "quant": "q9"}, ["--to", "gguf", "--quant", "q9"]),
        ({"to": "kohya"}, ["--to", "kohya"]),
        ({"to": "merged", "rank": "4"}, ["--to", "merged", "--rank", "4"]),
    ):
        answer = sent(reader, f"{address}/export", data)
        said = studio("export", "doors", *options).err.removeprefix("error: ").strip()
        assert answer.status_code == 422
        if data["to"] != "kohya":  # which has no form on this page to stand at
            assert said.replace("'", "&#39;") in answer.text
    (project.run / "merged").mkdir()
    assert "exists already and is not overwritten" in sent(reader, f"{address}/export", {"to": "merged"}).text
    place = sent(reader, f"{address}/deploy", {"to": "compose", "profile": "team", "settings": "max_len=3"})
    assert place.status_code == 422 and "unknown field" in place.text and "max_len=3" in place.text
    assert sent(reader, f"{address}/deploy", {"to": "moon"}).status_code == 422
    assert list_jobs(project.workspace) == []


def test_exports_and_places_are_the_commands(site: Callable[..., Reader], project: Project):
    reader, address, run = site(project.workspace), f"/runs/{reference(project.run)}/out", reference(project.run)
    sent(reader, f"{address}/export", {"to": "gguf", "quant": "f16"}, follow_redirects=False)
    (project.workspace.root / "deploy" / "doors-compose").mkdir(parents=True)
    sent(reader, f"{address}/deploy", {"to": "compose", "settings": "max_model_len=256"}, follow_redirects=False)
    place, export = (job.record.arguments for job in list_jobs(project.workspace))
    assert export == ["export", run, "--to", "gguf", "--quant", "f16"]
    out = str(project.workspace.root / "deploy" / "doors-compose-2")
    assert place == ["deploy", run, "--to", "compose", "--out", out, "--set", "max_model_len=256"]


def test_what_was_written_can_be_taken_and_nothing_else(
    site: Callable[..., Reader], project: Project, monkeypatch: pytest.MonkeyPatch
):
    reader, address = site(project.workspace), f"/runs/{reference(project.run)}"
    merged = project.run / "merged"
    (merged / "inside").mkdir(parents=True)
    (merged / "inside" / "model.bin").write_bytes(bytes(3_000_000))
    (merged / "link").symlink_to("/etc/passwd")
    deployed = project.workspace.root / "deploy" / "doors-compose"
    deployed.mkdir(parents=True)
    (deployed / "README.md").write_text("# doors\n\n**checked** <b>not</b>\n", encoding="utf-8")
    run = {"name": "doors", "id": summarize_run(project.run).record.id}
    write_json(deployed / RECORD, DeployRecord(place="compose", run=run, studio_version="1").model_dump(mode="json"))
    page = reader.get(f"{address}/out").text
    assert "/out/zip?what=merged" in page and "doors-compose" in page
    with zipfile.ZipFile(io.BytesIO(reader.get(f"{address}/out/zip?what=merged").content)) as archive:
        assert archive.namelist() == ["doors-merged/inside/model.bin"] and archive.testzip() is None
    for path in ("adapter", "../../../..", "/etc", "merged/inside", "", "checkpoints"):
        assert reader.get(f"{address}/out/zip", params={"what": path}).status_code == 404, path
    assert "<strong>checked</strong> &lt;b&gt;not" in reader.get(f"{address}/deployed/doors-compose").text
    with zipfile.ZipFile(io.BytesIO(reader.get(f"{address}/deployed/doors-compose/zip").content)) as archive:
        assert sorted(archive.namelist()) == ["doors-compose/README.md", "doors-compose/deploy.json"]
    assert reader.get(f"{address}/deployed/..%2fruns").status_code == 404
    monkeypatch.setattr(packing, "MOST_BYTES", 1000)
    large = reader.get(f"{address}/out/zip?what=merged")
    assert large.status_code == 422 and "a download has at most 1.0 kB" in large.text


def all_pages(project: Project) -> list[str]:
    run = f"/runs/{reference(project.run)}"
    more = [f"{run}{part}" for part in ("", "/card", "/samples", "/lineage", "/out")]
    return ["/runs", *more, "/runs/prune", f"/runs/compare?run={reference(project.run)}&run=doors/20300101-000000-aaaaaa"]


@pytest.fixture
def furnished(project: Project) -> Project:
    """A project with something on every page."""
    another(project, "20300101-000000-aaaaaa")
    (project.run / "samples").mkdir()
    (project.run / "samples" / "step-000100.png").write_bytes(PIXEL)
    (project.run / "merged").mkdir()
    return project


def test_every_page_is_translated(furnished: Project, address: Callable[..., str], visit: Callable[..., Any]):
    url = address(furnished.workspace)
    page = visit(f"{url}/?lang=qps")
    for path in all_pages(furnished):
        page.goto(url + path)
        texts = visible(page)
        assert any("⟦" in text for text in texts) and untranslated(texts) == [], path


def test_every_page_is_for_everybody(furnished: Project, address: Callable[..., str], visit: Callable[..., Any]):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    url = address(furnished.workspace)
    page = visit(url)
    page.set_viewport_size({"width": 390, "height": 800})
    for path in all_pages(furnished):
        page.goto(url + path)
        page.wait_for_timeout(200)
        found = axe.Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_two_browsers_see_the_same_and_nothing_flickers(project: Project, address: Callable[..., str], visit: Callable[..., Any]):
    """A run that goes on, in two browsers; a picture that was shown is not loaded anew when a step comes."""
    machine, plan = {"pid": os.getpid()}, {"steps": 100, "began": time.time() - 10, "resumed_at": 0}
    run = another(project, "20300101-000000-aaaaaa", status="running", machine=machine, plan=plan)
    (run / "metrics.jsonl").write_text(line_of(1) + line_of(2), encoding="utf-8")
    (run / "samples").mkdir()
    (run / "samples" / "step-000001.png").write_bytes(PIXEL)
    url = f"{address(project.workspace)}/runs/{reference(run)}"
    one, two = visit(url), visit(url)
    one.wait_for_selector("text=step 2 of 100")
    asked: list[str] = []
    one.on("request", lambda request: asked.append(request.url))
    one.evaluate("document.querySelector('[data-live] img').mine = true")
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(line_of(3))
    for page in (one, two):
        page.wait_for_selector("text=step 3 of 100")
    assert one.evaluate("document.querySelector('[data-live] img').mine") is True
    assert not [each for each in asked if "/pictures/" in each]
    shutil.rmtree(run)
    for page in (one, two):
        page.wait_for_selector("text=is gone: somebody deleted or moved it")


@pytest.fixture
def served(project: Project) -> Iterator[Callable[[], tuple[str, subprocess.Popen[bytes]]]]:
    """Start ``studio app`` as a process of its own, always on the same port."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> tuple[str, subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "studio.cli.main", "app", "--port", str(port)]
        process = subprocess.Popen(command, cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        processes.append(process)
        import httpx

        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        return f"http://127.0.0.1:{port}", process

    yield start
    for process in processes:
        process.terminate()
        process.wait(20)


@pytest.mark.long
def test_a_run_outlives_its_server_is_stopped_and_goes_on(
    served: Callable[[], tuple[str, subprocess.Popen[bytes]]], project: Project, visit: Callable[..., Any], tiny_base: Path
):
    """Training as a job; the server is killed and started again; the same window goes on, stops the run and resumes it."""
    url, server = served()
    words = ["train", str(project.preset), "--data", "doors", "--model", str(tiny_base), "--name", "long", "--set", "epochs=2000"]
    from studio.jobs.runner import start

    folder = add_job(project.workspace, words)
    start(folder)
    page = visit(f"{url}/jobs/{folder.name}")
    page.click("text=See the run", timeout=240_000)
    page.wait_for_selector("text=/step \\d+ of/", timeout=240_000)
    server.send_signal(signal.SIGKILL)
    server.wait()
    before = page.inner_text("[data-live]")
    url, _ = served()
    page.wait_for_function("before => document.querySelector('[data-live]').innerText !== before", arg=before, timeout=240_000)
    page.reload()
    page.click("text=Stop and save")
    page.wait_for_selector("[data-live] .badge.interrupted", timeout=240_000)
    page.click("text=Go on")
    page.wait_for_url("**/jobs/*")
    page.click("text=See the run", timeout=240_000)
    page.wait_for_selector("[data-live] .badge.running", timeout=240_000)
    page.click("text=Stop and save")
    page.wait_for_selector("[data-live] .badge.interrupted", timeout=240_000)
    assert list_jobs(project.workspace)[0].record.arguments[1] == "--resume"
