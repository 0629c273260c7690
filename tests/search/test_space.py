"""What a search tries: ranges and lists, read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.content import find_content, list_content
from studio.core.errors import ConfigError
from studio.core.runs import flatten
from studio.schema.loading import load_yaml
from studio.schema.search import KnownSpaces, SearchFile
from studio.search.known import TABLE, known_space, matching_space
from studio.search.space import Choices, Range, Space, read_space
from studio.train.kinds import load_preset, preset_kind

LOGISTIC = find_content("adapters", "classify/logistic")
FOREST = find_content("adapters", "classify/forest")


def space_of(*settings: str, preset: Path = LOGISTIC) -> Space:
    return read_space(preset, preset_kind(preset).schema, settings)


def test_ranges_lists_and_fixed_values_are_told_apart() -> None:
    found = space_of("estimator.C=0.01..100:log", "estimator.penalty=[l1, l2]", "target=category", "features=[a, b]")
    assert found.dimensions == (Range("estimator.C", 0.01, 100.0, log=True), Choices("estimator.penalty", ("l1", "l2")))
    # A list that the setting itself takes is a value.
    assert found.fixed == ("target=category", "features=[a, b]")


def test_whole_numbers_stay_whole_where_the_setting_takes_no_others() -> None:
    trees, rate = space_of("estimator.trees=50..500", preset=FOREST), space_of("estimator.C=1..10")
    assert trees.dimensions[0].whole and not rate.dimensions[0].whole  # type: ignore[union-attr]
    assert trees.grid() == [{"estimator.trees": value} for value in (50, 162, 275, 388, 500)]


def test_a_grid_is_every_combination_once() -> None:
    found = space_of("estimator.C=0.01..100:log:points=3", "estimator.penalty=[l1, l2]")
    assert [tuple(values.values()) for values in found.grid()] == [
        (0.01, "l1"), (0.01, "l2"), (1.0, "l1"), (1.0, "l2"), (100.0, "l1"), (100.0, "l2"),
    ]  # fmt: skip
    assert [values["estimator.C"] for values in space_of("estimator.C=1..2:step=0.4").grid()] == [1.0, 1.4, 1.8]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("estimator.CC=1..2", "--set estimator.CC=1..2: unknown field 'CC' in 'estimator'. Did you mean 'C'?"),
        (
            "estimator.C=3..2",
            "--set estimator.C=3..2: the range 3..2 ends before it begins. Write the smaller number first, then the larger.",
        ),
        (
            "estimator.C=2..2",
            "--set estimator.C=2..2: the range 2..2 has one value. Write the smaller number first, then the larger.",
        ),
        (
            "estimator.C=0..2:log",
            "--set estimator.C=0..2:log: a log range has to begin above 0, and this begins at 0. Begin at 0.0002.",
        ),
        (
            "estimator.C=1..2:lgo",
            "--set estimator.C=1..2:lgo: unknown ':lgo' after a range. Did you mean 'log'? Allowed: :log, :step=…, :points=….",
        ),
        (
            "estimator.C=1..x",
            "--set estimator.C=1..x: the range ends in 'x', which is no number. Write low..high, for example 1e-5..1e-3:log.",
        ),
        ("estimator.C=-1..3", "--set estimator.C=-1..3: 'estimator.C' is -1, but input should be greater than 0."),
        ("estimator.penalty=[l1, l3]", "--set estimator.penalty=[l1, l3]: 'estimator.penalty' is 'l3'. Allowed: l2, l1, none."),
        (
            "estimator.C=[1]",
            "--set estimator.C=[1]: a list to try needs at least two values, and this has 1. Add one, or fix it.",
        ),
        ("estimator.C=[1, 1]", "--set estimator.C=[1, 1]: 1 stands twice in the list. Leave one out."),
        ("estimator.C=1..2:points=1", "--set estimator.C=1..2:points=1: ':points=1' should be a whole number from 2 on."),
        ("estimator.C=1..2:step=3", "--set estimator.C=1..2:step=3: the step 3 is wider than the range 1..2."),
        (
            "estimator.max_iter=10..99:step=0.5",
            "--set estimator.max_iter=10..99:step=0.5: estimator.max_iter takes whole numbers, and the step is 0.5. "
            "Give a whole step.",
        ),
    ],
)  # fmt: skip
def test_a_slip_is_one_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        space_of(setting)
    assert str(error.value) == sentence


def test_initials_find_their_setting() -> None:
    lora = find_content("adapters", "chat/lora")
    with pytest.raises(ConfigError, match="unknown field 'lr'. Did you mean 'learning_rate'?"):
        space_of("lr=1e-5..1e-3:log", preset=lora)


def test_a_file_says_the_same_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("trials: 5\nspace:\n  estimator.C: {low: 0.01, high: 100, log: true}\n  estimator.penalty: [l1, l2]\n")
    written = load_yaml(file, SearchFile)
    schema = preset_kind(LOGISTIC).schema
    found = read_space(LOGISTIC, schema, [], written.space, str(file))
    assert found == space_of("estimator.C=0.01..100:log", "estimator.penalty=[l1, l2]")
    assert read_space(LOGISTIC, schema, ["estimator.C=2"], written.space, str(file)).fixed == ("estimator.C=2",)
    file.write_text("space:\n  estimator.C: 5..1\n")
    with pytest.raises(ConfigError, match=f"^{file}: space.estimator.C: the range 5..1 ends before it begins"):
        read_space(LOGISTIC, schema, [], load_yaml(file, SearchFile).space, str(file))
    file.write_text("space:\n  estimator.C: much\n")
    with pytest.raises(ConfigError, match="'much' is neither a range nor a list"):
        read_space(LOGISTIC, schema, [], load_yaml(file, SearchFile).space, str(file))


@pytest.mark.parametrize("name", sorted(list_content("adapters")))
def test_what_is_known_of_a_preset_fits_it(name: str) -> None:
    path = find_content("adapters", name)
    settings = flatten(load_preset(path).model_dump(mode="json"))
    if matching_space(settings) is None:
        pytest.skip("no space is known")
    found = known_space(path, preset_kind(path).schema, [], settings, name)
    assert found.dimensions


def test_every_known_space_says_why() -> None:
    table = load_yaml(TABLE, KnownSpaces)
    assert all(entry.why for entry in table.spaces)
