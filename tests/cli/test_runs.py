"""``studio runs``: every run is a line, whatever state it is in, and nothing of worth is ever deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.core.workspace import Workspace

Studio = Callable[..., Any]


def test_list_has_a_line_for_every_run(studio: Studio, full: Workspace):
    result = studio("runs", "list")
    assert result.code == 0
    lines = {line.split()[0]: line.split() for line in result.out.splitlines()[2:]}
    assert {name: line[2] for name, line in lines.items()} == {
        "good": "finished", "broken": "failed", "paused": "interrupted", "going": "running", "killed": "stopped",
        "damaged": "damaged", "saved": "damaged",
    }  # fmt: skip
    assert lines["good"][3:8] == ["tiny", "faq", "57", "2.5", "2.25"]
    assert "chatbot: 2 better, 0 worse" in result.out
    assert "damaged/20260101-120005-dama1: " in result.err
    assert "cut off or damaged" in result.err


def test_list_as_json_is_one_document(studio: Studio, full: Workspace):
    result = studio("runs", "list", "--json")
    runs = {run["folder"].split("/")[-2]: run for run in result.json}
    assert len(runs) == 7
    assert runs["good"]["record"]["result"]["validation_loss"] == 2.25
    assert runs["killed"]["status"] == "stopped"
    assert runs["damaged"]["record"] is None
    assert runs["good"]["bytes"] > 2000
    assert result.err == ""


def test_empty_list_says_how_to_begin(studio: Studio, tmp_path: Path):
    result = studio("runs", "list", "--workspace", tmp_path / "none")
    assert (result.code, result.err) == (0, "")
    assert "No runs in" in result.out
    assert "studio train" in result.out
    assert studio("--workspace", tmp_path / "none", "--json", "runs", "list").json == []


def test_show_tells_everything(studio: Studio, full: Workspace):
    result = studio("runs", "show", "good")
    assert result.code == 0
    for text in (
        "good/20260101-120000-good1: finished",
        "learning_rate",
        "lora.rank",
        "validation_loss",
        "25 [24, 26]",
        "step-9, step-10",
    ):
        assert text in result.out
    assert studio("runs", "show", "good1", "--json").json["settings"]["lora.rank"] == 16
    damaged = studio("runs", "show", "damaged")
    assert damaged.code == 0
    assert "damaged" in damaged.out
    assert studio("runs", "show", "broken").out.startswith("broken/20260101-120001-fail1: failed (the disk is full)")


def test_unknown_run_is_a_users_mistake(studio: Studio, full: Workspace):
    result = studio("runs", "show", "goood")
    assert result.code == 2
    assert result.err.startswith("error: there is no run 'goood' in ")
    assert result.out == ""


def test_compare_shows_what_differs(studio: Studio, full: Workspace):
    from tests.cli.conftest import add_report, add_run

    other = add_run(
        full, "other", id="othe1", config={"kind": "chat", "learning_rate": 1e-4, "lora": {"rank": 16}},
        result={"steps": 57, "final_loss": 2.6, "validation_loss": 2.3, "seconds": 13.0},
    )  # fmt: skip
    add_report(other, {"chrf": (20.0, 22.0)})
    compared = studio("runs", "compare", "good", "other", "--json").json
    assert compared["settings that differ"] == {"learning_rate": [3e-4, 1e-4]}
    assert compared["losses"]["validation loss"] == [2.25, 2.3]
    assert compared["losses"]["seconds"] == [12.0, 13.0]
    assert compared["scores"]["chatbot chrf"] == ["25 [24, 26]", "22 [21, 23]"]
    assert compared["scores"]["chatbot bleu"] == ["3 [2, 4]", None]
    text = studio("runs", "compare", "good", "other").out
    assert "learning_rate" in text
    assert "lora.rank" not in text


def test_compare_refuses_one_run_and_damaged_ones(studio: Studio, full: Workspace):
    assert studio("runs", "compare", "good", "good1").err.startswith("error: comparing takes two different runs, 2 given")
    assert "cannot be compared" in studio("runs", "compare", "good", "damaged").err


def test_prune_lists_first_and_deletes_only_with_yes(studio: Studio, full: Workspace):
    before = sorted(full.root.rglob("*"))
    listed = studio("runs", "prune", "--json").json
    assert sorted(full.root.rglob("*")) == before
    found = {Path(item["path"]).relative_to(full.runs).parts[0]: item for item in listed["items"]}
    assert sorted(found) == ["broken", "damaged", "good", "killed"]
    assert found["good"]["path"].endswith("checkpoints")
    assert found["good"]["bytes"] == 1000
    assert listed["deleted"] is False
    assert "Would delete 4" in studio("runs", "prune").out

    result = studio("runs", "prune", "--yes")
    assert result.code == 0
    assert f"({listed['bytes']} bytes)" in result.out
    left = {folder.parent.name for folder in full.list_runs()}
    assert left == {"good", "paused", "going", "saved"}
    assert (full.find_run("good") / "adapter" / "adapter_model.safetensors").is_file()
    assert not (full.find_run("good") / "checkpoints").exists()
    assert list(full.runs.glob("*/.*")) == []
    assert studio("runs", "prune").out == "Nothing to prune.\n"


def test_prune_takes_resumable_runs_only_when_asked(studio: Studio, full: Workspace):
    assert studio("runs", "prune", "paused").out == "Nothing to prune.\n"
    assert "can be resumed from step-5" in studio("runs", "prune", "paused", "--resumable").out
    assert studio("runs", "prune", "paused", "--resumable", "--yes").code == 0
    assert "paused" not in {folder.parent.name for folder in full.list_runs()}


def test_prune_takes_old_leftovers_of_killed_writes(studio: Studio, full: Workspace):
    old, young = full.runs / "good" / ".old.tmp", full.runs / "good" / ".young.tmp"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    assert studio("runs", "prune", "good", "--yes").code == 0
    assert not old.exists()
    assert young.exists()


def test_a_reused_process_number_is_not_the_run(studio: Studio, full: Workspace):
    # This very process started long after the record says it was written.
    os.utime(full.find_run("going") / "run.json", (1_000_000_000,) * 2)
    runs = {Path(run["folder"]).parent.name: run["status"] for run in studio("runs", "list", "--json").json}
    assert runs["going"] == "stopped"
