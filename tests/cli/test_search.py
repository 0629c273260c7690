"""``studio search``, ``compare`` and ``advise`` on the command line: quick to ask, refused before anything heavy is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "sklearn", "optuna", "transformers", "scipy.stats", "ray")


@pytest.mark.parametrize("arguments", [["search", "--help"], ["compare", "--help"], ["advise", "--help"], ["--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom studio.cli.main import run\n"
        f"code = run({arguments!r})\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    if arguments != ["--help"]:
        assert "--json" in done.stdout and f"studio {arguments[0]}" in done.stdout


def test_a_slip_in_a_space_is_told_before_anything_heavy_is_loaded(tmp_path: object) -> None:
    program = (
        "import sys\nfrom studio.cli.main import run\n"
        "code = run(['search', 'classify/logistic', '--data', 'x', '--set', 'estimator.CC=1..2', "
        f"'--workspace', {str(tmp_path)!r}])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: --set estimator.CC=1..2: unknown field 'CC' in 'estimator'. Did you mean 'C'?",
        "[]",
    ]
