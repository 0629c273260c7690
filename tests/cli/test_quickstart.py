"""``studio quickstart`` from end to end, on the tiny base and a small corpus instead of the starter ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.cli import quickstart
from tests.conftest import Project, Result

Studio = Callable[..., Result]


@pytest.fixture
def small(project: Project, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The quickstart's corpus and preset, replaced by those of the project."""
    from studio.core.errors import StudioError
    from studio.models.bases import resolve_base

    try:
        resolve_base("smollm2-135m-instruct")
    except StudioError as error:
        pytest.skip(f"the starter model is not in the cache: {error}")
    project.preset.write_text(project.preset.read_text() + f"model: {tiny_base}\n")
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(quickstart, "RECIPE", str(project.recipe))
    monkeypatch.setattr(quickstart, "PRESET", str(project.preset))
    return project


def test_it_ends_with_the_table_three_answers_and_the_next_commands(small: Project, studio: Studio) -> None:
    done = studio("quickstart", "--short")
    assert done.code == 0, done.err
    stages = [line[:5] for line in done.err.splitlines() if line.startswith("[")]
    assert stages == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert "peak memory" in done.err and "stock vLLM" in done.err, "the plan is told"
    table = [line.split()[0] for line in done.out.splitlines() if line.startswith(quickstart.SHOWN)]
    assert table == list(quickstart.SHOWN)
    assert done.out.count("\nQuestion: ") == 3 and done.out.count("\nReference: ") == 3
    assert done.out.count("| Tuned") == 3
    run = small.workspace.find_run("quickstart")
    assert f"studio chat {run.parent.name}/{run.name}" in done.out
    assert "Traceback" not in done.err


def test_as_json_it_is_one_document_and_the_second_time_finds_the_dataset(small: Project, studio: Studio) -> None:
    done = studio("quickstart", "--short", "--json")
    assert done.code == 0, done.err
    assert Path(done.json["report"]).is_file() and Path(done.json["run"], "run.json").is_file()
    assert done.json["short"] is True and {"base", "tuned"} == set(done.json["scores"])
    assert done.json["dataset"]["fingerprint"] == small.dataset.name, "what is built already is found again"


def test_in_chinese_the_same_is_told_in_chinese(small: Project, studio: Studio) -> None:
    from studio.core.translation import catalogue, set_language

    try:
        done = studio("quickstart", "--short", "--lang", "zh")
    finally:
        set_language(None)
    assert done.code == 0, done.err
    assert [line[:5] for line in done.err.splitlines() if line.startswith("[")] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert "[1/4] 底座模型和语料" in done.err and "内存峰值" in done.err
    assert "底座与微调后：" in done.out and done.out.count("\n问题：") == 3 and "接下来可以试试：" in done.out
    headings = next(line for line in done.out.splitlines() if line.startswith("指标")).split()
    assert headings == ["指标", "底座", "微调后", "差值", "95%", "区间", "结论"]
    english = {text for text in catalogue("zh") if len(text) > 12 and "{" not in text and text in done.out + done.err}
    assert english == set()
