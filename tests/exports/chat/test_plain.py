"""Plain folders of a chat are written, noted and opened by the same road as the other forms."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.adapters.chat.merge import ExportResult
from studio.evals.targets import find_model
from studio.exports.chat import plain
from studio.exports.chat.plain import Merged, words_of_merging
from studio.exports.forms import Wishes
from studio.models.exported import read_export, read_exports
from tests.adapters.conftest import make_run  # noqa: F401 - a fixture
from tests.conftest import Project, Result


def words(*figures: float | None) -> list[tuple[str, str]]:
    return words_of_merging(ExportResult(Path("there"), "bfloat16", 16, "dataset", 1.5e-5, *figures, 270_000_000))


def test_rounding_and_quantisation_are_told_where_they_were():
    exact = [
        ("numbers", "bfloat16"),
        ("prompts compared", "16 (dataset)"),
        ("largest logit difference to base + adapter", "1.5e-05 (at most 1e-03)"),
    ]
    assert words(None, None, None) == exact
    assert words(0.02, 0.3, 0.987)[3:] == [
        ("after rounding to bfloat16", "2.0e-02"),
        ("to the quantised base + adapter it was trained as", "3.0e-01"),
        ("same next token as there", "98.7% of positions"),
    ]


def test_a_merged_model_is_noted_and_opened_as_a_base(project: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "merged")
    assert done.code == 0 and f"vllm serve {project.run / 'merged'}" in done.out, done.err
    folder = project.run / "merged"
    [line] = read_exports(project.run)
    assert (line.form, line.path) == ("merged", str(folder)) and line.runtime.startswith("transformers ")
    record = read_export(folder)
    assert record.proof["max_difference"] <= record.limits["max_difference"] and "model.safetensors" in record.files
    assert "vllm serve" in (folder / "README.md").read_text() and (folder / "TRAINING.md").is_file()
    assert "merged" in (project.run / "README.md").read_text()
    target = find_model(str(folder), project.workspace)
    assert target.base is not None and target.export is None
    shutil.rmtree(folder)
    assert studio("export", "doors", "--to", "merged").code == 0 and len(read_exports(project.run)) == 1


def test_an_adapter_cut_to_a_lora_is_noted(make_run: Callable[..., Path], tmp_path: Path):  # noqa: F811
    run = make_run(dora=True)
    plain.PlainLora().write(run, tmp_path / "lora", Wishes(rank=4))
    assert [line.form for line in read_exports(run)] == ["lora"]
    record = read_export(tmp_path / "lora")
    assert record.proof["rank"] == 4 and record.runtime.startswith("peft ")
    page = (tmp_path / "lora" / "README.md").read_text()
    assert "not the same model as the run" in page and "residuals.json" in page


def test_a_merged_model_that_is_another_leaves_nothing(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("studio.adapters.chat.merge.LIMIT", -1.0)
    with pytest.raises(Exception, match="so nothing was written"):
        Merged().write(project.run, project.run / "merged", Wishes())
    assert not list(project.run.glob("*merged*")) and not list(project.run.glob(".merged*")) and not read_exports(project.run)
