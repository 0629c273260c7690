"""The reference in docs/ is what the code says."""

from __future__ import annotations

from pathlib import Path

from studio.cli.main import COMMANDS, HIDDEN
from studio.cli.reference import render
from studio.schema.adapter import ChatAdapter
from studio.schema.project import Project
from studio.schema.recipe import ChatRecipe
from studio.schema.suite import Suite

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_reference_is_current():
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == render(), "run `make reference`"


def test_every_command_and_field_is_in_it():
    text = render()
    for name, entry in COMMANDS.items():
        assert f"### `studio {name}" in text or entry.section == HIDDEN
    for schema in (ChatAdapter, ChatRecipe, Suite, Project):
        for name, field in schema.model_fields.items():
            assert f"| `{name}` |" in text
            assert field.description, f"{schema.__name__}.{name} has no docstring"
    for name in ("rank", "target_modules", "at_least", "revision", "threshold"):
        assert f"| `{name}` |" in text
