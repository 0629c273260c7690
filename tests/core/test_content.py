"""Finding YAML by name: the person's folder first, then the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.content import content_roots, find_content, list_content
from studio.core.errors import UserError


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "adapters" / "chat"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("kind: chat")
    (folder / "lora.yaml").write_text("kind: chat")
    monkeypatch.chdir(tmp_path)
    return folder


def test_own_folder_comes_first(mine: Path):
    assert find_content("adapters", "chat/lora").resolve() == mine / "lora.yaml"
    assert content_roots("adapters")[0].resolve() == mine.parent
    assert find_content("adapters", "mine").resolve() == mine / "mine.yaml"


@pytest.mark.parametrize("name", ["chat/lora", "lora", "adapters/chat/lora.yaml"])
def test_the_ways_to_name_a_preset(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert find_content("adapters", name) == list_content("adapters")["chat/lora"]


def test_path_wins_and_a_run_folder_has_its_config(mine: Path, tmp_path: Path):
    assert find_content("adapters", str(mine / "mine.yaml")) == mine / "mine.yaml"
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("kind: chat")
    assert find_content("adapters", str(run)) == run / "config.yaml"


def test_unknown_names_offer_the_nearest(mine: Path):
    with pytest.raises(UserError, match=r"^unknown preset 'mini'\. Did you mean 'mine'\? Known: "):
        find_content("adapters", "mini")
    with pytest.raises(UserError, match=r"^there is no preset file chat/lorra\.yaml\. Did you mean 'chat/lora'\? Known: "):
        find_content("adapters", "chat/lorra.yaml")


def test_data_given_for_a_recipe_is_told_what_proposes_one(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"{rows} is data, and a recipe is asked for.*studio data look {rows} --to my.yaml"):
        find_content("data_recipes", str(rows))
    with pytest.raises(UserError, match="unknown preset"):
        find_content("adapters", str(rows))


def test_a_short_name_of_several_asks_which() -> None:
    with pytest.raises(UserError, match=r"2 presets are called 'boosting'. Say which: classify/boosting, regress/boosting"):
        find_content("adapters", "boosting")
