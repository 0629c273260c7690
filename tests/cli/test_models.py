"""studio models, studio export and studio doctor, from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from tests.conftest import Project


def test_list(studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path))
    result = studio("models", "list")
    assert result.code == 0 and "smollm2-135m-instruct" in result.out and "no, up to 269.1 MB" in result.out
    assert "minilm-l6" in result.out and "efficientnet-lite0" in result.out
    entries = studio("models", "list", "--json").json
    assert {one["use"] for one in entries} == {"language model", "text encoder", "picture network"}
    (entry,) = [one for one in entries if one["use"] == "language model"]
    assert entry["here"] is False and entry["licence"] == "apache-2.0" and entry["parameters"] == 134_515_008


def test_pull_checks_a_folder(studio, tiny_base: Path, tmp_path: Path):
    result = studio("models", "pull", tiny_base)
    assert result.code == 0 and "is here and whole" in result.out
    assert len(studio("models", "pull", tiny_base, "--json").json["sha256"]) == 64
    damaged = Path(shutil.copytree(tiny_base, tmp_path / "damaged"))
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    result = studio("models", "pull", damaged)
    assert result.code == 2 and result.err.startswith("error: ") and "is cut off" in result.err and "Traceback" not in result.err


def test_pull_without_a_network_is_one_sentence(studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    result = studio("models", "pull", "owner/name")
    assert result.code == 1 and len(result.err.strip().splitlines()) == 1 and "network is switched off" in result.err


def test_export(studio, project: Project, tmp_path: Path):
    result = studio("export", "last", "--to", "merged")
    assert result.code == 0, result.err
    assert (project.run / "merged" / "model.safetensors").is_file() and "at most 1e-03" in result.out
    again = studio("export", "last", "--to", "merged")
    assert again.code == 2 and "is not overwritten" in again.err
    told = studio("export", "doors", "--out", tmp_path / "out", "--dtype", "bfloat16", "--json").json
    proof = told["proof"]
    assert proof["prompts"] == 16 and proof["max_difference"] <= 1e-3 and told["path"] == str(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "merge"], "cannot export to 'merge'. Did you mean 'merged'?"),
        (["--dtype", "bfloat"], "--dtype is 'bfloat'. Did you mean 'bfloat16'?"),
    ],
)
def test_export_mistakes(studio, project: Project, arguments: list[str], message: str):
    result = studio("export", "last", *arguments)
    assert result.code == 2 and message in result.err


def test_doctor(studio, workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    from studio.models import doctor

    told = studio("doctor", "--workspace", workspace.root, "--json")
    assert told.code == 0 and told.json["healthy"] is True and len(told.json["findings"]) > 8
    ill = doctor.Finding("torch", "missing", "cannot be imported", "pip install torch", True)
    monkeypatch.setattr(doctor, "examine", lambda _: iter([ill]))
    result = studio("doctor")
    assert result.code == 1 and "missing  torch: cannot be imported" in result.out and "-> pip install torch" in result.out
    assert "something essential is broken: torch" in result.err
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace.root))
    assert "missing  vLLM: vLLM is not installed yet" in studio("doctor").out
