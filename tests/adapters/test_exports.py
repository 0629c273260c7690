"""A run is written in any form that the table names, and the help is made of the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from studio.adapters import exports
from studio.adapters.exports import EXPORTS, Export, forms
from studio.core.errors import UserError
from studio.core.telling import Told

RUN = Path("runs") / "bot" / "20260101-000000-abc123"


class Letters(Export):
    """A form that somebody else added."""

    models, what, place = "toys", "a letter", "letters/NAME.txt"

    def write(self, run_folder: Path, target: Path, *, dtype: exports.NumberType) -> Told:
        target.write_text(f"{run_folder.name} {dtype}")
        return Told((f"Written to {target}.",), {"file": target})


def test_the_default_comes_first_and_one_from_outside_joins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(EXPORTS, "_targets", dict(EXPORTS._targets))
    assert list(forms()) == ["merged", "kohya", "lora"]
    EXPORTS.add("letters", f"{__name__}:Letters")
    assert list(forms()) == ["merged", "kohya", "letters", "lora"] and forms()["letters"].what == "a letter"


@pytest.mark.parametrize(
    ("name", "out", "expected"),
    [
        ("merged", None, RUN / "merged"),
        ("merged", Path("there"), Path("there")),
        ("kohya", None, RUN / "kohya" / "bot.safetensors"),
        ("kohya", Path("there"), Path("there/bot.safetensors")),
        ("kohya", Path("there/door.safetensors"), Path("there/door.safetensors")),
    ],
)
def test_where_it_goes(name: str, out: Path | None, expected: Path):
    assert forms()[name].target(RUN, out) == expected


def test_what_is_there_is_not_overwritten(tmp_path: Path):
    run = tmp_path / RUN
    (run / "merged").mkdir(parents=True)
    (run / "kohya").mkdir()
    (run / "kohya" / "bot.safetensors").touch()
    with pytest.raises(UserError, match=r"merged exists already and is not overwritten. .* give another folder with --out."):
        forms()["merged"].target(run, None)
    with pytest.raises(UserError, match=r"bot.safetensors exists already and is not overwritten. .* another file with --out."):
        forms()["kohya"].target(run, None)


def test_the_help_imports_nothing_heavy():
    code = "import sys, studio.cli.export; print(sorted({'torch', 'transformers', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
