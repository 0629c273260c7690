"""The tested set and what pyproject.toml allows must agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_constraints_hold_names_and_exact_versions_only():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wrong = [line for line in lines if not line.startswith("#") and not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)]
    assert wrong == []
    names = [line.partition("==")[0] for line in lines[1:]]
    assert names == sorted(set(names))


def test_every_requirement_is_constrained_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pinned = constraints()
    required = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]]
    required += project["build-system"]["requires"]
    for text in required:
        requirement = Requirement(text)
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is missing: run .ci/constraints.py"
        assert requirement.specifier.contains(version), f"{text} does not admit {version}"


def test_public_files_name_no_machine():
    for name in ("constraints.txt", "Makefile", ".ci/run", ".ci/environment", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"/root/|/home/|/work/|find-links|index-url", text), name
