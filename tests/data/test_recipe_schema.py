"""Mistakes in a recipe: one sentence with file, line, value, what is allowed, and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import ConfigError
from studio.data.chat.steps import STEPS
from studio.schema.loading import load_yaml
from studio.schema.recipe import ChatRecipe, LengthStep, Step

GOOD = """kind: chat
sources:
- type: local
  path: rows.csv
  licence: own data
  columns: {question: q, answer: a}
steps:
- step: near_duplicates
  threshold: 0.8
split:
  test: 50
"""

MISTAKES = {
    "misspelt field of a step": (
        ("threshold: 0.8", "treshold: 0.8"),
        "{file}:9: unknown field 'treshold' in 'steps.0'. Did you mean 'threshold'?",
    ),
    "misspelt field of columns": (
        ("answer: a}", "anser: a}"),
        "{file}:6: unknown field 'anser' in 'sources.0.columns'. Did you mean 'answer'?",
    ),
    "unknown step": (
        ("step: near_duplicates", "step: near_duplicate"),
        "{file}:8: 'steps.0.step' is 'near_duplicate'. Did you mean 'near_duplicates'? Allowed: unicode, whitespace, drop_empty, "
        "missing, roles, length, exact_duplicates, near_duplicates, decontaminate, semantic_duplicates, language, scrub, "
        "outliers, stitch, turns, boilerplate, refusals, repetition, gibberish, score, filter.",
    ),
    "unknown source": (
        ("type: local", "type: locl"),
        "{file}:3: 'sources.0.type' is 'locl'. Did you mean 'local'? Allowed: local, wheel, hub, sqlite, duckdb, url, feedback, "
        "documents, web, synthetic, dataset.",
    ),
    "no licence": (("  licence: own data\n", ""), "{file}:3: the field 'sources.0.licence' is missing. Add it."),
    "no source type": (
        ("- type: local\n  path", "- path"),
        "{file}:3: 'sources.0' needs 'type'. Allowed: local, wheel, hub, sqlite, duckdb, url, feedback, documents, web, "
        "synthetic, dataset.",
    ),
    "wrong type": (
        ("threshold: 0.8", "threshold: high"),
        "{file}:9: 'steps.0.threshold' is 'high', but input should be a valid number, unable to parse string as a number.",
    ),
    "impossible value": (
        ("threshold: 0.8", "threshold: 1.8"),
        "{file}:9: 'steps.0.threshold' is 1.8, but input should be less than or equal to 1.",
    ),
    "neither rows nor share": (
        ("test: 50", "test: 1.5"),
        "{file}:11: 'split.test': 1.5 is neither a whole number of rows nor a share between 0 and 1.",
    ),
    "a value of few": (
        ("licence: own data", "licence: own data\n  damaged: ignore"),
        "{file}:6: 'sources.0.damaged' is 'ignore'. Allowed: refuse, keep.",
    ),
}


def test_the_good_one_is_read(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    recipe = load_yaml(file, ChatRecipe, ["sources.0.path=other.csv", "split.test=0.25"])
    assert recipe.sources[0].path == "other.csv" and recipe.split.test == 0.25  # type: ignore[union-attr]


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(tmp_path: Path, name: str) -> None:
    (old, new), sentence = MISTAKES[name]
    assert old in GOOD
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as error:
        load_yaml(file, ChatRecipe)
    assert str(error.value) == sentence.format(file=file)


def test_a_length_step_has_to_limit_something(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.replace("step: near_duplicates\n  threshold: 0.8", "step: length"))
    with pytest.raises(ConfigError, match="it limits nothing. Give min, max, min_turns or max_turns"):
        load_yaml(file, ChatRecipe)
    with pytest.raises(ValueError, match="the lower limit 5 is above the upper limit 2"):
        LengthStep(step="length", min=5, max=2)


def test_schema_and_registry_know_the_same_steps() -> None:
    models = Step.__origin__.__args__  # type: ignore[attr-defined]
    assert sorted(model.model_fields["step"].annotation.__args__[0] for model in models) == list(STEPS)
