"""``.ci/environment``, which `make` calls: makes, repairs, and does nothing when all is current. No network: pip is a stub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# A python that makes "virtual environments" holding itself, writes down what pip was asked for, and otherwise is the real one.
STUB = f"""#!/bin/sh
case "$*" in
    *"-m venv"*)
        for last; do :; done
        rm -rf "$last"; mkdir -p "$last/bin"; touch "$last/pyvenv.cfg"; cp "$0" "$last/bin/python"; echo "venv" >> "$STUB_LOG" ;;
    *"-m pip install"*)
        echo "pip $*" >> "$STUB_LOG"
        echo "Downloading torch-2.14.1-cp311-none-any.whl (900.1 MB)"
        echo "Downloading typer-0.29.2-py3-none-any.whl (0.1 MB)"
        echo "Installing collected packages: torch, typer"
        case "$*" in *constraints*) exit "${{STUB_PIP_EXIT:-0}}" ;; esac ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


class Checkout:
    """A folder with what ``.ci/environment`` reads."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        (folder / ".ci").mkdir(parents=True)
        shutil.copy(ROOT / ".ci" / "environment", folder / ".ci" / "environment")
        (folder / "pyproject.toml").write_text("[project]")
        (folder / "constraints.txt").write_text("torch==2.14.1")
        self.python = folder / "stub-python"
        self.python.write_text(STUB)
        self.python.chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
        return subprocess.run(
            [self.folder / ".ci" / "environment", *arguments], capture_output=True, text=True, check=False, timeout=60,
            env=clean | {"PYTHON": str(self.python), "STUB_LOG": str(self.log)} | environment,
        )  # fmt: skip

    def calls(self) -> list[str]:
        return [line.split(" --progress")[0] for line in self.log.read_text().splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "check out")


def test_first_run_makes_and_installs_the_second_does_nothing(checkout: Checkout):
    first = checkout.run()
    assert first.returncode == 0, first.stderr
    assert checkout.calls() == ["venv", "pip -m pip install"]
    assert "downloading torch-2.14.1-cp311-none-any.whl (900.1 MB)" in first.stdout
    assert "typer" not in first.stdout, "small files are not worth a line"
    assert "-c constraints.txt -e ." in checkout.log.read_text()
    second = checkout.run()
    assert (second.returncode, second.stdout, second.stderr, checkout.calls()) == (0, "", "", [])


def test_changed_requirements_install_again_into_the_same_environment(checkout: Checkout):
    checkout.run()
    (checkout.folder / ".venv" / "mine").touch()
    (checkout.folder / "constraints.txt").write_text("torch==2.14.2")
    assert checkout.run().returncode == 0
    assert checkout.calls() == ["pip -m pip install"]
    assert (checkout.folder / ".venv" / "mine").exists()


def test_development_extra_is_installed_beside_and_counts_for_both(checkout: Checkout):
    checkout.run()
    assert checkout.run("dev").returncode == 0
    assert "-e .[dev]" in checkout.log.read_text()
    for arguments in ((), ("dev",)):
        checkout.run(*arguments)
        assert checkout.calls() == []


def test_killed_installation_is_made_anew(checkout: Checkout):
    checkout.run()
    (checkout.folder / ".venv" / ".studio-installing").touch()
    (checkout.folder / ".venv" / "half").touch()
    again = checkout.run()
    assert "was interrupted, starting anew" in again.stdout
    assert checkout.calls() == ["venv", "pip -m pip install"]
    assert not (checkout.folder / ".venv" / "half").exists()


def test_broken_python_inside_is_made_anew(checkout: Checkout):
    checkout.run()
    (checkout.folder / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    assert checkout.run().returncode == 0
    assert checkout.calls() == ["venv", "pip -m pip install"]


def test_failed_installation_tells_why_and_is_tried_again(checkout: Checkout):
    failed = checkout.run(STUB_PIP_EXIT="1")
    assert failed.returncode == 1
    assert "error: pip could not install the studio; everything it said is in .venv/pip.log." in failed.stderr
    assert "Installing collected packages" in failed.stderr
    assert checkout.run().returncode == 0
    assert "pip -m pip install" in checkout.calls()


def test_constraints_of_the_user_win(checkout: Checkout):
    done = checkout.run(STUB_PIP_EXIT="1", PIP_CONSTRAINT="mine.txt")
    assert done.returncode == 0, done.stderr
    assert "installing by yours alone" in done.stdout
    assert len(checkout.calls()) == 3


def test_somebody_elses_folder_is_not_cleared(checkout: Checkout):
    (checkout.folder / ".venv").mkdir()
    (checkout.folder / ".venv" / "letters.txt").write_text("dear")
    refused = checkout.run()
    assert refused.returncode == 1
    assert "error: .venv is there and is not a virtual environment." in refused.stderr
    assert (checkout.folder / ".venv" / "letters.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("exit 1", "error: Python 3.11 or newer is needed, found Python 3.9.2. Install it, or name it"),
        ('case "$*" in *ensurepip*|*pip*) exit 1 ;; *) exit 0 ;; esac', "apt install python3-venv"),
    ],
)
def test_unfit_python_is_explained(checkout: Checkout, body: str, sentence: str):
    tools = checkout.folder / "tools"
    tools.mkdir()
    for name in ("cat", "cksum", "date", "dirname", "ls", "awk", "df", "touch", "rm"):
        (tools / name).symlink_to(str(shutil.which(name)))
    python = tools / "python3"
    python.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then echo Python 3.9.2; exit; fi\n{body}\n')
    python.chmod(0o755)
    done = checkout.run(PATH=str(tools), PYTHON="")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (checkout.folder / ".venv").exists()
