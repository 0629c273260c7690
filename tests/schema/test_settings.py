"""Reading a person's YAML: the exact sentence for every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from studio.core.errors import ConfigError
from studio.schema.loading import Settings, load_yaml


class Inner(Settings):
    """A group of settings."""

    rank: Annotated[int, Field(gt=0)] = 16
    targets: Literal["all", "attention"] | list[str] = "all"


class Cut(Settings):
    """One kind of step."""

    step: Literal["cut"]
    at: int


class Drop(Settings):
    """Another kind of step."""

    step: Literal["drop"]
    reason: str = ""


class Outer(Settings):
    """A file."""

    kind: Literal["chat"]
    rate: float = 1e-3
    on: Literal["on", "off"] = "off"
    text: str | None = None
    sure: bool = False
    given: dict[str, bool | int | str] = {}
    inner: Inner = Inner()
    steps: list[Annotated[Cut | Drop, Field(discriminator="step")]] = []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def load(file: Path, text: str | bytes, *overrides: str) -> Outer:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_yaml(file, Outer, overrides)


MISTAKES = {
    "misspelt key": ("kind: chat\nrat: 1", "{file}:2: unknown field 'rat'. Did you mean 'rate'?"),
    "misspelt inner key": ("kind: chat\ninner:\n  rnak: 1", "{file}:3: unknown field 'rnak' in 'inner'. Did you mean 'rank'?"),
    "key of another level": ("kind: chat\ntargets: all", "{file}:2: unknown field 'targets'. Did you mean 'inner.targets'?"),
    "key of an item": (
        "kind: chat\nreason: x",
        "{file}:2: unknown field 'reason'. Allowed: given, inner, kind, on, rate, steps, sure, text.",
    ),
    "unlike anything": (
        "kind: chat\nzzz: 1",
        "{file}:2: unknown field 'zzz'. Allowed: given, inner, kind, on, rate, steps, sure, text.",
    ),
    "wrong type": (
        "kind: chat\ninner:\n  rank: three",
        "{file}:3: 'inner.rank' is 'three', but input should be a valid integer, unable to parse string as an integer.",
    ),
    "impossible value": (
        "kind: chat\ninner:\n  rank: 0",
        "{file}:3: 'inner.rank' is 0, but input should be greater than 0.",
    ),
    "literal": ("kind: chta", "{file}:1: 'kind' is 'chta'. Did you mean 'chat'? Allowed: chat."),
    "number for text": (
        "kind: chat\ntext: 1234567",
        "{file}:2: 'text' is 1234567, but should be text. Put it in quotes if it is meant as text.",
    ),
    "word for a group": (
        "kind: chat\ninner: big",
        "{file}:2: 'inner' is 'big', but holds settings of its own. Write them below it, as 'key: value'.",
    ),
    "wrong item of a list": (
        "kind: chat\ninner:\n  targets:\n    - 5",
        "{file}:4: 'inner.targets.0' is 5, but should be text. Put it in quotes if it is meant as text.",
    ),
    "missing": ("rate: 1", "{file}:1: the field 'kind' is missing. Add it."),
    "missing in a step": ("kind: chat\nsteps:\n- step: cut", "{file}:3: the field 'steps.0.at' is missing. Add it."),
    "unknown step": (
        "kind: chat\nsteps:\n- step: cutt",
        "{file}:3: 'steps.0.step' is 'cutt'. Did you mean 'cut'? Allowed: cut, drop.",
    ),
    "step without a name": ("kind: chat\nsteps:\n- at: 1", "{file}:3: 'steps.0' needs 'step'. Allowed: cut, drop."),
    "unknown key in a step": (
        "kind: chat\nsteps:\n- step: drop\n  reasn: x",
        "{file}:4: unknown field 'reasn' in 'steps.0'. Did you mean 'reason'?",
    ),
    "repeated key": ("kind: chat\nrate: 1\nrate: 2", "{file}:3: 'rate' is given twice (first on line 2). Keep one."),
    "empty": ("", "{file}:1: the file is empty. Begin with a copy of one that works (docs/reference.md)."),
    "only a comment": ("# nothing\n", "{file}:1: the file is empty. Begin with a copy of one that works (docs/reference.md)."),
    "a list": ("- a", "{file}:1: expected 'key: value' lines, found list."),
    "not UTF-8": (b"kind: ch\xe5t", "{file}: is not UTF-8 text (byte 8). Save it as UTF-8."),
    "bad YAML": ("kind: chat\nsteps: [a", "{file}:2: not valid YAML: expected ',' or ']', but got '<stream end>'."),
    "two documents": ("kind: chat\n---\nkind: chat", "{file}:2: not valid YAML: but found another document."),
    "control character": ("kind: chat\ntext: a\x00b", "{file}:2: the character U+0000 may not stand in YAML. Remove it."),
    "a list as key": ("kind: chat\n? [a]\n: 1", "{file}:2: a key must be a plain word."),
    "too deep": ("[" * 5000, "{file}: is nested too deeply to be read."),
    "python object": (
        "kind: !!python/object/apply:os.system ['true']",
        "{file}:1: not valid YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_exact_sentence(name: str, file: Path):
    text, sentence = MISTAKES[name]
    with pytest.raises(ConfigError) as caught:
        load(file, text)
    assert str(caught.value) == sentence.format(file=file)
    assert caught.value.exit_code == 2


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read \(No such file or directory\)\.$"):
        load_yaml(tmp_path / "nowhere.yaml", Outer)
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)\.$"):
        load_yaml(tmp_path, Outer)


@pytest.mark.parametrize(
    ("written", "value"), [("3e-4", 3e-4), ("1E5", 1e5), ("1_000.5", 1000.5), (".5", 0.5), ("3", 3.0), ("-2e+3", -2000.0)]
)
def test_numbers_are_numbers(file: Path, written: str, value: float):
    assert load(file, f"kind: chat\nrate: {written}").rate == value


@pytest.mark.parametrize("written", ["yes", "on", "off", "2026-01-31", "12:30:00", "010", "1.2.3", "0o17"])
def test_words_stay_words(file: Path, written: str):
    assert load(file, f"kind: chat\ntext: {written}").text == written


def test_on_is_a_word_for_a_literal(file: Path):
    assert load(file, "kind: chat\non: on").on == "on"


def test_byte_order_mark_and_aliases_are_understood(file: Path):
    loaded = load(file, "\ufeffkind: chat\nsteps:\n- &a {step: drop, reason: x}\n- *a".encode())
    assert [step.reason for step in loaded.steps] == ["x", "x"]


def test_many_nested_aliases_do_not_explode(file: Path):
    # Each level names the one before ten times: written out it would be 10**9 items.
    text = "kind: chat\na0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    with pytest.raises(ConfigError, match="unknown field 'a0'"):
        load(file, text)


def test_set_changes_values_at_every_depth(file: Path):
    loaded = load(
        file,
        "kind: chat\nsteps:\n- {step: cut, at: 1}",
        "rate=3e-4",
        "inner.rank=32",
        "inner.targets=[q_proj, v_proj]",
        "inner.targets.1=k_proj",
        "steps.0.at=7",
        "text='5'",
    )
    assert (loaded.rate, loaded.inner.rank, loaded.inner.targets) == (3e-4, 32, ["q_proj", "k_proj"])
    assert loaded.steps[0].at == 7
    assert loaded.text == "5"


SET_MISTAKES = {
    "inner.rnak=1": "--set inner.rnak=1: unknown field 'rnak' in 'inner'. Did you mean 'rank'?",
    "iner.rank=1": "--set iner.rank=1: unknown field 'iner'. Did you mean 'inner'?",
    "rate=fast": ("--set rate=fast: 'rate' is 'fast', but input should be a valid number, unable to parse string as a number."),
    "steps=cut": "--set steps=cut: 'steps' is 'cut', but should be a list. Write it as [a, b].",
    "sure=perhaps": "--set sure=perhaps: 'sure' is 'perhaps'. Allowed: true, false.",
    "given.day=[1]": "--set given.day=[1]: 'given.day' is [1]. Give a single value.",
    "rate": "--set rate: expected key=value, for example --set learning_rate=3e-4.",
    "=3": "--set =3: expected key=value, for example --set learning_rate=3e-4.",
    "kind.x=1": "--set kind.x=1: 'kind' holds no settings of its own.",
    "steps.3=x": "--set steps.3=x: 'steps' is a list of 1; give an index below that.",
    "rate=[1": "--set rate=[1: the value is not valid YAML (expected ',' or ']', but got '<stream end>').",
}


@pytest.mark.parametrize("override", SET_MISTAKES)
def test_set_mistake_names_the_option(file: Path, override: str):
    with pytest.raises(ConfigError) as caught:
        load(file, "kind: chat\nsteps:\n- {step: cut, at: 1}", override)
    assert str(caught.value) == SET_MISTAKES[override]


def test_mistake_in_a_replaced_group_is_blamed_on_set(file: Path):
    with pytest.raises(ConfigError, match=r"^--set inner=\{rank: -1\}: 'inner.rank' is -1"):
        load(file, "kind: chat\ninner:\n  rank: 5", "inner={rank: -1}")


def test_long_values_are_cut_in_the_sentence(file: Path):
    with pytest.raises(ConfigError) as caught:
        load(file, f"kind: chat\nrate: {'x' * 1000}")
    assert len(str(caught.value)) < 300
