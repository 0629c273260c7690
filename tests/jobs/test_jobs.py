"""Commands as jobs: they run by themselves, in order, one on a device, and whoever asked may go away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.jobs.records import (
    Job,
    active_jobs,
    add_job,
    ask_to_stop,
    find_job,
    last_line,
    list_jobs,
    log_text,
    made_by,
    read_job,
)
from studio.jobs.runner import start
from studio.jobs.turns import devices, free_device, queue_lock, trainings_elsewhere, waiting_for
from tests.conftest import Project, Result


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.1)


def begun(workspace: Workspace, *arguments: str, queued: bool | None = None) -> Path:
    folder = add_job(workspace, arguments, by="anna", queued=queued)
    start(folder)
    return folder


@pytest.fixture
def one_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert devices() == ["cpu"]
    yield


def over(folder: Path) -> Job:
    until(lambda: read_job(folder).over)
    return read_job(folder)


def test_a_command_runs_and_says_how_it_ended(workspace: Workspace):
    good, bad = begun(workspace, "runs", "list"), begun(workspace, "runs", "show", "nothing")
    done, failed = over(good), over(bad)
    assert (done.status, done.record.code, done.record.by) == ("done", 0, "anna") and "No runs in" in log_text(done)
    assert failed.status == "failed" and failed.record.code == 2
    assert str(failed.record.said).startswith("there is no run 'nothing'") and last_line(failed) == failed.record.said
    assert [job.id for job in list_jobs(workspace)] == [bad.name, good.name] and active_jobs(workspace) == []
    with pytest.raises(UserError, match=r"is over \(done\)"):
        ask_to_stop(done)
    assert find_job(workspace, good.name[-6:]).id == good.name
    with pytest.raises(UserError, match="there is no job 'nowhere'"):
        find_job(workspace, "nowhere")


def test_one_on_a_device_the_others_in_their_order(workspace: Workspace, one_device: None):
    first, second, third = (add_job(workspace, ["runs", "list"], queued=True) for _ in range(3))
    with queue_lock(workspace):
        assert [free_device(workspace, job.name) for job in (first, second, third)] == ["cpu", None, None]
    assert waiting_for(workspace, active_jobs(workspace), read_job(third)) == (2, [])
    ask_to_stop(read_job(second))
    for job in (third, second, first):
        start(job)
    assert [over(job).status for job in (first, second, third)] == ["done", "stopped", "done"]
    assert str(read_job(first).record.finished) <= str(read_job(third).record.started)
    assert read_job(second).record.said == "taken out of the queue before it began."


def test_a_training_of_a_terminal_takes_the_device(project: Project, one_device: None):
    record = project.run / "run.json"
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        text = record.read_text(encoding="utf-8").replace('"status": "finished"', '"status": "running"')
        before = text.partition('"pid": ')
        record.write_text(before[0] + before[1] + str(sleeping.pid) + before[2].lstrip("0123456789"), encoding="utf-8")
        assert trainings_elsewhere(project.workspace, []) == [project.run]
        waits = add_job(project.workspace, ["runs", "list"], queued=True)
        with queue_lock(project.workspace):
            assert free_device(project.workspace, waits.name) is None
        assert waiting_for(project.workspace, [], read_job(waits))[1] == [f"{project.run.parent.name}/{project.run.name}"]
    finally:
        sleeping.kill()
        sleeping.wait()
    with queue_lock(project.workspace):
        assert free_device(project.workspace, waits.name) == "cpu"


def test_a_training_is_stopped_and_saves(project: Project):
    folder = begun(
        project.workspace, "train", str(project.preset), "--data", "doors", "--name", "long",
        "--set", "max_steps=4000", "--set", "eval_every=2",
    )  # fmt: skip
    until(lambda: list(project.workspace.runs.glob("long/*/metrics.jsonl")), 60)
    [run] = project.workspace.runs.glob("long/*")
    until(lambda: read_job(folder).record.made == [f"runs/long/{run.name}"], 20)
    ask_to_stop(read_job(folder))
    job = over(folder)
    assert job.status == "stopped" and job.record.code == 130
    assert "stopped and saved" in str(job.record.said) and list((run / "checkpoints").iterdir())


def test_whoever_asked_may_be_killed(workspace: Workspace, tmp_path: Path):
    """The process that added a job is killed with its whole group, as a closed terminal does; the job goes on."""
    script = (
        "import sys, time; from studio.core.workspace import Workspace; from studio.jobs.records import add_job; "
        "from studio.jobs.runner import start; "
        f"folder = add_job(Workspace.open({str(workspace.root)!r}), ['runs', 'list']); start(folder); print(folder, flush=True); "
        "time.sleep(60)"
    )
    asking = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert asking.stdout is not None
    folder = Path(asking.stdout.readline().strip())
    os.killpg(asking.pid, signal.SIGKILL)
    asking.wait()
    assert over(folder).status == "done"


def test_a_job_whose_process_was_killed_is_lost(workspace: Workspace):
    folder = begun(workspace, "jobs", "log", "last", "--follow")  # waits for itself, so it never ends
    until(lambda: read_job(folder).status == "running")
    runner = psutil.Process(int(str(read_job(folder).record.pid)))
    until(lambda: runner.children())
    for process in (runner, *runner.children()):
        process.kill()
    until(lambda: read_job(folder).status == "lost")
    assert read_job(folder).over


def test_what_a_command_made_is_found_in_its_lines():
    text = "run doors/20261130-180242-663b98\nrows\nfolder  /a/datasets/faq/0ae4350dabd38541\nrun doors/20261130-180242-663b98\n"
    assert made_by(text) == ["runs/doors/20261130-180242-663b98", "datasets/faq/0ae4350dabd38541"]
    spaced = "run my bot/20261130-180242-663b98\nReport: /a/runs/我的 bot/20261130-180242-663b99/evals/chatbot/1/report.html\n"
    assert made_by(spaced) == ["runs/my bot/20261130-180242-663b98", "runs/我的 bot/20261130-180242-663b99"]


def test_from_the_command_line(workspace: Workspace, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    assert "No jobs yet" in studio("jobs", "list").out
    assert studio("jobs", "add", "--json", "--", "runs", "list").code == 0
    assert studio("jobs", "log", "last", "--follow").code == 0
    [listed] = studio("jobs", "list", "--json").json
    assert (listed["status"], listed["command"]) == ("done", "studio runs list")
    refused = studio("jobs", "add", "--", "trian", "chat/lora")
    assert refused.code == 2 and "Did you mean 'train'?" in refused.err


def test_how_it_ended_waits_for_room_on_a_full_disk(small_disk: Path):
    workspace = Workspace(small_disk / "workspace")
    folder = begun(workspace, "jobs", "log", "last", "--follow")  # waits for itself
    until(lambda: read_job(folder).status == "running")
    runner = psutil.Process(int(str(read_job(folder).record.pid)))
    until(lambda: runner.children())
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 512)
    runner.children()[0].kill()
    time.sleep(2)
    assert runner.is_running() and read_job(folder).status == "running"
    filler.unlink()
    assert over(folder).status == "failed"


def test_a_command_of_a_page_speaks_its_language(workspace: Workspace, tmp_path: Path):
    folder = add_job(workspace, ["init", str(tmp_path / "mine")])
    start(folder, {"STUDIO_LANGUAGE": "zh"})
    assert over(folder).status == "done" and "下一步" in log_text(read_job(folder))
