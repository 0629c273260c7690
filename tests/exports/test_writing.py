"""An export is written aside: it appears whole, and what a killed one has left goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studio.core.errors import StudioError
from studio.core.records import shared_name
from studio.exports import writing
from studio.exports.writing import finish_export, hold, new_export
from studio.models.exported import ExportRecord, read_export
from tests.conftest import Project

WRITING = """
import sys, time
from pathlib import Path
from studio.exports.writing import new_export
with new_export(Path(sys.argv[1])) as partial:
    (partial / "weights").write_bytes(bytes(1000))
    print(partial, flush=True)
    time.sleep(60)
"""
STOPPED = """
import sys, time
import studio.adapters.chat.merge as merge
from studio.cli.main import run
def at_work(run_folder, folder, **_):
    (folder / "weights").write_bytes(bytes(1000))
    print("in it", flush=True)
    time.sleep(60)
merge.write_merged = at_work
sys.exit(run(sys.argv[1:]))
"""


def test_what_a_killed_export_left_goes_and_what_one_at_work_writes_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    command = [sys.executable, "-c", WRITING, str(tmp_path / "q8_0")]
    killed, working = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    left, busy = (Path(process.stdout.readline().strip()) for process in (killed, working))
    try:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        old = time.time() - 60
        for folder in (left, busy):
            os.utime(folder, (old, old))
        with new_export(tmp_path / "q8_0") as partial:
            assert not left.exists() and (busy / "weights").exists() and partial.is_dir()
    finally:
        working.kill()
        working.wait()
        for process in (killed, working):
            process.stdout.close()
    assert (tmp_path / "q8_0").is_dir()
    monkeypatch.setattr(writing, "_JUST_MADE", -1)
    with pytest.raises(StudioError, match="exists already and is not overwritten"), new_export(tmp_path / "q8_0"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q8_0"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_export_that_is_asked_to_stop_leaves_nothing(project: Project, number: signal.Signals):
    command = [sys.executable, "-c", STOPPED, "export", str(project.run), "--workspace", str(project.workspace.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == "in it\n" and list(project.run.glob(".merged.*"))
    process.send_signal(number)
    if number == signal.SIGTERM:
        time.sleep(0.1)
        process.send_signal(number)
    said = process.communicate()[1]
    name = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
    assert process.returncode == 130 and said.endswith(f"error: stopped by {name} before it was done.\n"), said
    assert not list(project.run.glob(".merged.*")) and not (project.run / "merged").exists()


@pytest.mark.parametrize(
    ("figure", "least", "said"), [(0.5, False, "at most 0.1"), (0.05, True, "at least 0.1"), (float("nan"), False, "nan")]
)
def test_a_figure_beyond_its_limit_is_refused(figure: float, least: bool, said: str):
    with pytest.raises(StudioError, match=said):
        hold("the difference", figure, 0.1, form="gguf", least=least)
    hold("the difference", 0.1, 0.1, form="gguf", least=least)


def test_the_page_keeps_a_block_of_code_that_comes_first(tmp_path: Path):
    record = ExportRecord(
        form="onnx", kind="toy", runtime="a runtime", run={"name": "doors", "id": "1", "method": "full", "base": {}}
    )
    finish_export(
        tmp_path, record, [("labels", "the same")], "\n    pip install onnxruntime\n    python predict.py\n\nAnd then.\n"
    )
    page = (tmp_path / "README.md").read_text()
    assert "## Use\n\n    pip install onnxruntime\n    python predict.py\n\nAnd then.\n\nVersions:" in page
    assert "| labels | the same |" in page and read_export(tmp_path).files.keys() == {"README.md"}


def test_no_folder_of_this_machine_is_told():
    assert shared_name({"source": "local", "name": "/home/ada/models/door"}) == "door"
    assert shared_name({"source": "hub", "name": "owner/door"}) == "owner/door" and shared_name({"source": "scratch"}) is None
