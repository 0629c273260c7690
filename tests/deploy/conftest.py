"""One run with its merged model, shared; folders that are written of it within this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import StudioError
from studio.core.files import write_text
from studio.core.workspace import Workspace
from studio.deploy import serving
from studio.models.exported import ExportLine, ExportRecord, note_export, write_export
from studio.serve import reference
from studio.serve.reference import Prepared
from studio.serve.servable import Servable
from tests.conftest import Result, call_studio


@dataclass(frozen=True)
class Ready:
    """A workspace with one finished chat run, its merged model inside."""

    workspace: Workspace
    run: Path

    @property
    def name(self) -> str:
        return f"{self.run.parent.name}/{self.run.name}"

    def exported(self, form: str, file: str, **fields: Any) -> Path:
        """An export of the run as ``studio export`` notes it, with a file of a few bytes."""
        folder = self.run / f"{form}-made"
        folder.mkdir()
        write_text(folder / file, "not a model")
        if form == "gguf":
            write_text(folder / "Modelfile", f'FROM ./{file}\nTEMPLATE """{{{{ .Prompt }}}}"""\nPARAMETER stop "<|end|>"\n')
        write_export(folder, ExportRecord(form=form, kind="chat", runtime="none", **fields))
        note_export(self.run, ExportLine(form=form, quant="q8_0", path=str(folder), runtime="none"))
        return folder


def prepared_here(runs: Any, *, cache: Path, merged: bool, dtype: str, check: bool) -> Prepared:
    """What ``prepare`` does in a process of its own, in this one: tests have torch loaded already."""
    request = {
        "runs": [[name, str(folder)] for name, folder in runs], "cache": str(cache), "merged": merged, "max_lora_rank": None,
        "dtype": dtype, "check": check, "device": None,
    }  # fmt: skip
    answer = reference._answer(request)
    return Prepared([Servable.from_json(entry) for entry in answer["served"]], answer["ends"], answer["references"])


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("serve") is None:
        monkeypatch.setattr(serving, "prepare", prepared_here)


@pytest.fixture(scope="session")
def merged_project(project_made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(project_made, tmp_path_factory.mktemp("deployable") / "project"))
    assert call_studio("export", "doors", "--to", "merged", "--workspace", folder / "workspace") == 0
    return folder


@pytest.fixture
def ready(merged_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ready:
    """A copy of the run, for a test of its own; the workspace is the one that commands use."""
    folder = Path(shutil.copytree(merged_project, tmp_path / "project"))
    workspace = Workspace.open(folder / "workspace")
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    monkeypatch.chdir(tmp_path)
    return Ready(workspace, workspace.find_run("doors"))


@pytest.fixture
def deployed(ready: Ready, studio: Callable[..., Result], tmp_path: Path) -> Callable[..., Path]:
    """Write a folder for a place; give it back."""

    def write(place: str, *options: object, run: str = "doors") -> Path:
        folder = tmp_path / f"out-{place}"
        done = studio("deploy", run, "--to", place, "--out", folder, *options)
        if done.code:
            raise StudioError(done.err)
        return folder

    return write
