"""The notebook is what its cells say, and every cell of it runs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "notebooks" / "make_quickstart.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_quickstart", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_the_cells_say():
    made = script()
    assert made.NOTEBOOK.read_text(encoding="utf-8") == made.text(), "run python notebooks/make_quickstart.py"
    cells = json.loads(made.text())["cells"]
    assert cells[0]["cell_type"] == "markdown" and len({cell["id"] for cell in cells}) == len(cells)
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")


def test_its_command_lines_are_the_studios():
    from studio.cli.deploy import parse_line

    lines = [
        line
        for kind, source, _ in script().CELLS
        if kind == "code"
        for line in source.splitlines()
        if line.startswith("!studio ")
    ]
    assert len(lines) >= 6 and [parse_line(line.split()[1:]) for line in lines] == [None] * len(lines)


@pytest.mark.soak
@pytest.mark.starter
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a notebook runs them: ``!`` in a shell, everything else in one namespace; what installs is left out."""
    made, shown = script(), list[Any]()
    program = tmp_path / "bin" / "studio"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m studio.cli.main "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("STUDIO_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    display = SimpleNamespace(HTML=lambda text: text, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    names: dict[str, Any] = {}
    for kind, source, tags in made.CELLS:
        if kind != "code" or made.INSTALL in tags:
            continue
        if source.startswith("!"):
            for line in source.splitlines():
                done = subprocess.run(line.removeprefix("!"), shell=True, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        else:
            exec(compile(source, "cell", "exec"), names)
    assert len(shown) == 1 and "<iframe srcdoc=" in shown[0] and "perplexity" in shown[0]
    assert (tmp_path / "quickstart-space" / "app.py").is_file()
