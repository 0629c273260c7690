"""A program that writes an export elsewhere: its full disk is told like one here, its other faults with its last words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from studio.core.errors import StudioError
from studio.exports.chat.proving import written_by
from studio.exports.writing import new_export

FULL = "import os, errno\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"


def test_a_disk_that_fills_under_a_script_is_a_sentence(tmp_path: Path):
    script = tmp_path / "write.py"
    script.write_text(FULL)
    with pytest.raises(StudioError, match=r"^[^\n]*(full|room|space)[^\n]*$"), new_export(tmp_path / "made") as partial:
        written_by(Path(sys.executable), script, {}, partial)
    assert not (tmp_path / "made").exists() and [path.name for path in tmp_path.iterdir()] == ["write.py"]


def test_another_fault_is_told_with_its_last_words(tmp_path: Path):
    script = tmp_path / "write.py"
    script.write_text("raise ValueError('rows of 7')\n")
    with pytest.raises(StudioError, match=r"write.py failed \(1\) under (.|\n)*ValueError: rows of 7"):
        written_by(Path(sys.executable), script, {}, tmp_path)
