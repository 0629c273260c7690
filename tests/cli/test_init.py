"""``studio init``: a project that is valid once it is filled in, and that never overwrites."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.evals.metrics import METRICS
from studio.schema.loading import load_yaml
from studio.schema.recipe import ChatRecipe
from studio.schema.suite import Suite

Studio = Callable[..., Any]
FILES = {"project.yaml", "README.md", "data_recipes/chat/rules.yaml", "evals/rules.yaml", "data/example.jsonl"}


@pytest.fixture
def project(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert studio("init", "rules").code == 0
    return tmp_path / "rules"


def test_makes_a_project_with_a_readable_recipe_and_suite(project: Path):
    assert {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()} == FILES
    recipe = load_yaml(project / "data_recipes/chat/rules.yaml", ChatRecipe)
    assert recipe.sources[0].path == "data"
    suite = load_yaml(project / "evals/rules.yaml", Suite)
    assert [name for name in suite.metrics if name not in METRICS] == []
    assert "studio train chat/lora --data rules" in (project / "README.md").read_text()


def test_the_readmes_first_command_builds_the_examples(studio: Studio, project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)
    built = studio("data", "build", "chat/rules", "--json")
    assert built.code == 0, built.err
    assert built.json["record"]["splits"] == {"train": 2, "validation": 1, "test": 1}
    assert built.json["record"]["name"] == "rules"


def test_check_wants_it_filled_in_first(studio: Studio, project: Path):
    result = studio("init", "rules", "--check")
    assert result.code == 2
    assert result.err.startswith("error: rules/project.yaml:")
    assert "'task' is still to be filled in (what shall the model do?)." in result.err
    fill_in(project)
    assert studio("init", "rules", "--check").out == "rules/project.yaml is complete: success metrics: 3, risks named: 1.\n"
    assert studio("init", "rules/project.yaml", "--check", "--json").json["complete"] is True


def test_check_works_inside_the_folder_as_its_readme_says(studio: Studio, project: Path, monkeypatch: pytest.MonkeyPatch):
    fill_in(project)
    monkeypatch.chdir(project)
    assert studio("init", "rules", "--check").out == "project.yaml is complete: success metrics: 3, risks named: 1.\n"


def fill_in(project: Path) -> None:
    """Answer every question of the starter file."""
    file = project / "project.yaml"
    file.write_text(file.read_text().replace("FILL IN: ", "Answered: "))


def test_check_finds_unknown_metrics_and_thresholds_that_nobody_checks(studio: Studio, project: Path):
    fill_in(project)
    file = project / "project.yaml"
    text = file.read_text()
    file.write_text(text.replace("metric: chrf", "metric: chrff"))
    result = studio("init", "rules", "--check")
    assert result.code == 2
    assert "unknown metric 'chrff' in 'success'. Did you mean 'chrf'?" in result.err
    file.write_text(text.replace("at_most: 20", "at_most: 15"))
    assert "has no threshold like the success metric 'perplexity'" in studio("init", "rules", "--check").err


def test_nothing_is_overwritten(studio: Studio, project: Path):
    (project / "project.yaml").write_text("mine")
    result = studio("init", "rules")
    assert result.code == 2
    assert result.err.startswith("error: rules exists already and is not overwritten.")
    assert (project / "project.yaml").read_text() == "mine"


@pytest.mark.parametrize("name", ["a b", "-x", ".hidden", "æ", ""])
def test_impossible_names(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    result = studio("init", "--", name)
    assert result.code == 2
    assert list(tmp_path.iterdir()) == []


def test_check_of_something_else(studio: Studio, tmp_path: Path):
    result = studio("init", tmp_path, "--check")
    assert result.code == 2
    assert "is not a project: it has no project.yaml" in result.err


def test_answers_with_odd_characters_stay_valid(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    answers = {"What shall the model do?": "Say: \"NAME\" # 'yes'", "Who will use it?": "FILL IN later: [a"}
    monkeypatch.setattr("studio.cli.init._ask", answers.__getitem__)
    assert studio("init", "rules", "--json").json["folder"] == "rules"
    result = studio("init", "rules", "--check")
    assert "'audience' is still to be filled in" in result.err
    assert 'task: "Say: \\"NAME\\" # \'yes\'"' in (tmp_path / "rules" / "project.yaml").read_text()


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of a person who reads Chinese."""
    from studio.core.translation import set_language

    set_language(None)
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    yield
    set_language(None)


def test_a_project_in_chinese_asks_and_builds_as_the_english_one(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chinese: None
):
    monkeypatch.chdir(tmp_path)
    made = studio("init", "rules")
    assert made.code == 0 and made.out.startswith("已建立 rules/，内有 project.yaml, README.md") and "下一步：填好" in made.out
    project = tmp_path / "rules"
    assert {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()} == FILES
    checked = studio("init", "rules", "--check")
    assert checked.code == 2 and "'task' is still to be filled in (模型要做什么？)." in checked.err
    fill_in(project)
    assert studio("init", "rules", "--check").out == "rules/project.yaml 已填完整：成功指标 3 个，已写明的风险 1 个。\n"
    monkeypatch.chdir(project)
    built = studio("data", "build", "chat/rules", "--json")
    assert built.code == 0 and built.json["record"]["splits"] == {"train": 2, "validation": 1, "test": 1}, built.err


@pytest.mark.parametrize("name", ["project.yaml", "recipe.yaml", "suite.yaml", "README.md"])
def test_starter_files_say_the_same_in_every_language(name: str):
    """Values and commands are equal; what is for people is not."""
    folder = resources.files("studio.cli").joinpath("starter")
    english, chinese = (folder.joinpath(*place, name).read_text(encoding="utf-8") for place in ((), ("zh",)))
    assert english != chinese
    if name == "README.md":
        commands = [re.findall(r"^studio [^#\n]+?(?=  |\n)|`studio [^`]+`", text, re.MULTILINE) for text in (english, chinese)]
        assert commands[0] == commands[1] and len(commands[0]) == 7
        return
    said = [yaml.safe_load(text) for text in (english, chinese)]
    for value in said:
        for words in ("not_for", "limits", "risks", "watch", "description"):
            value.pop(words, None)
        value.get("data", {}).pop("rights", None)
        for step in value.get("steps", []):
            step.pop("phone_region", None)
    assert said[0] == said[1]


def test_what_is_said_is_not_asked(studio: Studio, tmp_path: Path):
    made = studio("init", tmp_path / "bot", "--task", 'Answer "how wide"\nquestions.', "--audience", "Carpenters: all of them")
    assert made.code == 0, made.err
    text = (tmp_path / "bot/project.yaml").read_text(encoding="utf-8")
    assert 'task: "Answer \\"how wide\\" questions."' in text and 'audience: "Carpenters: all of them"' in text
    refused = studio("init", tmp_path / "bot", "--check", "--task", "another")
    assert refused.code == 2 and "--check looks at a project as it is." in refused.err
