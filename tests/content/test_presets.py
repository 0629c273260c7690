"""Every preset in ``adapters/`` is read, found by its name, and says why it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.content import find_content, list_content
from studio.train.kinds import load_preset

ADAPTERS = Path(__file__).resolve().parents[2] / "adapters"
PRESETS = sorted(path.relative_to(ADAPTERS).with_suffix("").as_posix() for path in ADAPTERS.rglob("*.yaml"))


def test_presets_are_all_found_by_name():
    assert PRESETS
    assert set(PRESETS) <= set(list_content("adapters"))
    assert not list(ADAPTERS.rglob("*.yml")), "presets end in .yaml"


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_valid_and_explained(name: str):
    preset = load_preset(find_content("adapters", name))
    assert preset.description.endswith(".")
    assert len(preset.description) <= 100, "one line in a list"
    assert len(preset.why.split()) >= 10, "say when it is the right one, and what its values rest on"


def test_no_two_presets_are_the_same():
    seen: dict[str, str] = {}
    for name in PRESETS:
        preset = load_preset(find_content("adapters", name))
        text = preset.model_dump_json(exclude={"description", "why"})
        assert text not in seen, f"{name} is {seen.get(text)}"
        seen[text] = name
