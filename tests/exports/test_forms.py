"""A run is written in any form that the table names, and the help is made of the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.telling import Told
from studio.exports.forms import EXPORTS, Export, Wishes, checked, form_for, forms
from studio.train.record import save_record

RUN = Path("runs") / "bot" / "20260101-000000-abc123"


class Letters(Export):
    """A form that somebody else added."""

    models, kinds, what, place = "toys", ("toy",), "a letter", "letters/NAME-QUANT.txt"
    takes, quants = frozenset({"quant"}), ("small", "tiny")

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:
        target.write_text(f"{run_folder.name} {wishes.quant}")
        return Told((f"Written to {target}.",), {"file": target})


def test_the_default_comes_first_and_one_from_outside_joins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(EXPORTS, "_targets", dict(EXPORTS._targets))
    before = list(forms())
    assert before[0] == "merged" and before[1:] == sorted(before[1:])
    EXPORTS.add("letters", f"{__name__}:Letters")
    EXPORTS.add("merged@toys", f"{__name__}:Letters")
    assert sorted(forms()) == sorted([*before, "letters"]) and forms()["letters"][0].what == "a letter"
    assert [form.models for form in forms()["merged"]] == ["chat", "toys"]
    run = tmp_path / RUN
    run.mkdir(parents=True)
    record = RunRecord(
        kind="toy", name="bot", id="abc123", status="finished", created="2026-01-01T00:00:00+00:00", method="scratch",
        base={}, dataset={}, seed=0, versions={}, git_commit=None, machine={},
    )  # fmt: skip
    save_record(run, record)
    assert form_for("merged", run).models == "toys"
    assert form_for("letters", run).target(run, None, "tiny") == run / "letters" / "bot-tiny.txt"
    assert form_for("letters", run).target(run, None) == run / "letters" / "bot-small.txt"
    refused = r"^--to kohya is for images, and bot is a run of kind 'toy'. Allowed for it: merged, letters.$"
    with pytest.raises(UserError, match=refused):
        form_for("kohya", run)
    with pytest.raises(UserError, match=r"^cannot export to 'letter'. Did you mean 'letters'\? Allowed: "):
        form_for("letter", run)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("coreml", "Core ML runs on macOS only, so nothing that is written elsewhere could be proven"),
        ("litert-lm", "LiteRT-LM cannot write the turns of common chat templates"),
        ("gptq", "--to vllm --quant gptq"),
        ("safetensors", "--to single-file a whole Stable Diffusion"),
    ],
)
def test_what_is_not_offered_says_why(name: str, said: str):
    with pytest.raises(UserError, match=f"^cannot export to {name}. .*{said}"):
        form_for(name, RUN)
    assert name not in forms()


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (Wishes(rank=4), r"^--rank has no meaning with --to letters for toys. Leave it out.$"),
        (Wishes(quant="tini"), r"^--quant is 'tini'. Did you mean 'tiny'\? Allowed: small, tiny.$"),
    ],
)
def test_a_wish_without_a_meaning_is_refused(wishes: Wishes, said: str):
    with pytest.raises(UserError, match=said):
        checked(Letters(), "letters", wishes)
    assert checked(Letters(), "letters", Wishes(quant="tiny")).quant == "tiny"


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
    assert forms()[name][0].target(RUN, out) == expected


def test_what_is_there_is_not_overwritten(tmp_path: Path):
    run = tmp_path / RUN
    (run / "merged").mkdir(parents=True)
    (run / "kohya").mkdir()
    (run / "kohya" / "bot.safetensors").touch()
    with pytest.raises(UserError, match=r"merged exists already and is not overwritten. .* give another folder with --out."):
        forms()["merged"][0].target(run, None)
    with pytest.raises(UserError, match=r"bot.safetensors exists already and is not overwritten. .* another file with --out."):
        forms()["kohya"][0].target(run, None)


def test_the_help_imports_nothing_heavy():
    code = "import sys, studio.cli.export; print(sorted({'torch', 'transformers', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
