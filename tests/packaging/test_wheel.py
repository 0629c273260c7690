"""The built wheel carries the people's content and works outside a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("data_recipes", "adapters", "evals", "apps")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unzipped."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run_outside(unpacked: Path, tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the unzipped wheel, far from the checkout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STUDIO_")}
    return subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment | {"PYTHONPATH": str(unpacked)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_wheel_carries_every_yaml_and_template(unpacked: Path):
    for kind in KINDS:
        here = {path.relative_to(ROOT / kind).as_posix() for path in (ROOT / kind).rglob("*.yaml")}
        there = {path.relative_to(unpacked / "studio" / "_content" / kind).as_posix()
                 for path in (unpacked / "studio" / "_content" / kind).rglob("*.yaml")}  # fmt: skip
        assert here
        assert here == there
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "studio").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {path.relative_to(unpacked).as_posix() for path in (unpacked / "studio").rglob("*") if path.is_file()}
    assert ours - packed == set()


def test_wheel_has_nothing_but_the_studio(unpacked: Path):
    assert {path.name.split("-")[0] for path in unpacked.iterdir()} == {"studio", "finetuning_studio"}


def test_help_and_content_work_outside_a_checkout(unpacked: Path, tmp_path: Path):
    code = (
        "import studio, sys; from studio.core.content import find_content, list_content;"
        "print(studio.__file__); print(find_content('adapters', 'chat/lora'));"
        "print(sum(len(list_content(kind)) for kind in ('data_recipes', 'adapters', 'evals', 'apps')));"
        "from studio.cli.main import run; sys.exit(run(['--help']) or run(['init', 'mine']))"
    )
    done = run_outside(unpacked, tmp_path, code)
    assert done.returncode == 0, done.stderr
    module, preset, count, *rest = done.stdout.splitlines()
    assert module.startswith(str(unpacked))
    assert preset == str(unpacked / "studio" / "_content" / "adapters" / "chat" / "lora.yaml")
    shipped = [path for kind in KINDS for path in (ROOT / kind).rglob("*.yaml") if path.parent.name != "words"]
    assert int(count) == len(shipped)
    assert rest[0].startswith("Usage: studio")
    assert (tmp_path / "mine" / "project.yaml").is_file()


def test_entry_point_is_declared(unpacked: Path):
    [entry] = unpacked.glob("finetuning_studio-*.dist-info/entry_points.txt")
    assert "studio = studio.cli.main:main" in entry.read_text()
