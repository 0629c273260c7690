"""Saved records are read tolerantly, and what is damaged is said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import StudioError
from studio.core.records import FORMAT, RunRecord, read_record

RUN: dict[str, Any] = {
    "kind": "chat", "name": "lora", "id": "aa11", "status": "finished", "created": "2026-01-01T12:00:00+00:00",
    "method": "lora", "base": {"name": "tiny"}, "dataset": {"name": "faq"}, "seed": 0,
}  # fmt: skip


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.json"
    path.write_text(text)
    return path


def test_what_is_written_is_read(tmp_path: Path):
    record = RunRecord.model_validate(RUN)
    assert read_record(write(tmp_path, record.model_dump_json()), RunRecord) == record
    assert record.format == FORMAT


def test_newer_record_is_kept_whole_with_a_warning(tmp_path: Path):
    path = write(tmp_path, json.dumps(RUN | {"format": FORMAT + 1, "colour": "blue"}))
    with pytest.warns(UserWarning, match=f"written in format {FORMAT + 1}"):
        record = read_record(path, RunRecord)
    assert record.model_dump()["colour"] == "blue"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (json.dumps(RUN)[:40], "is cut off or damaged"),
        ("", "is cut off or damaged"),
        (json.dumps({**RUN, "status": "odd"}), "is not a RunRecord: 'status' input should be 'running', 'finished'"),
        (json.dumps({key: value for key, value in RUN.items() if key != "seed"}), "is not a RunRecord: 'seed' field required"),
        ("[]", "is not a RunRecord"),
    ],
)
def test_damaged_record_is_told(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(StudioError, match=sentence):
        read_record(write(tmp_path, text), RunRecord)


def test_missing_record(tmp_path: Path):
    with pytest.raises(StudioError, match=r"is not whole: it has no run\.json\. Make the artefact again\.$"):
        read_record(tmp_path / "run.json", RunRecord)
