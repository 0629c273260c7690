"""The studio's own image: linted, pinned, not root, and made of what the wheel is made of."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from studio.deploy.checking import _tool

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker" / "Dockerfile"


def test_it_has_both_targets_and_runs_as_nobody_in_particular():
    text = FILE.read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert {"cpu", "cuda"} <= {stage.split()[2] for stage in stages}
    assert all(re.search(r"^USER 10001:10001$", stage, re.MULTILINE) for stage in stages if stage.split()[2] in {"cpu", "cuda"})
    assert not re.search(r"^FROM \S+:latest|^FROM [^\s:]+ AS (?!cpu|cuda)", text, re.MULTILINE)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for folder in (*wheel["packages"], *wheel["force-include"]):
        assert f"COPY {folder}/ {folder}/" in text, "the wheel is built of it"
        assert f"!{folder}/" in (ROOT / "docker" / "Dockerfile.dockerignore").read_text()


def test_hadolint_finds_nothing():
    done = _tool("hadolint", "--no-color", str(FILE))
    if done is None:
        pytest.skip("hadolint is not installed: pip install 'finetuning-studio[deploy]'")
    assert done.returncode == 0, done.stdout
