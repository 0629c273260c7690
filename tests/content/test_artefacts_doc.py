"""``docs/artefacts.md`` names every field of every record, and nothing that a Dataset lacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studio.core import records
from studio.data.chat.rows import REMOVED_SCHEMA, ROW_SCHEMA
from studio.data.images import rows as image_rows
from studio.jobs.records import JobRecord

DOC = (Path(__file__).resolve().parents[2] / "docs" / "artefacts.md").read_text(encoding="utf-8")
MODELS = [
    value
    for value in vars(records).values()
    if isinstance(value, type) and issubclass(value, records.Record) and value is not records.Record
] + [JobRecord]


def part(name: str) -> str:
    """What the document says about one record: from its name to the next heading or record."""
    start = DOC.index(f"({name})") if f"({name})" in DOC else DOC.index(f"**{name}**")
    rest = DOC[start + len(name) + 2 :]
    return re.split(r"\n## |\n### |\n\*\*[A-Z]", rest)[0]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_described(model: type[records.Record]) -> None:
    described = set(re.findall(r"`(\w+)`", part(model.__name__)))
    assert set(model.model_fields) <= described, set(model.model_fields) - described


def test_every_parquet_column_is_described() -> None:
    described = set(re.findall(r"`(\w+)`", DOC))
    assert {*ROW_SCHEMA.names, *REMOVED_SCHEMA.names} <= described
    pictures = set(re.findall(r"`(\w+)`", DOC.partition("### A Dataset of pictures")[2].partition("\n### ")[0]))
    assert {*image_rows.ROW_SCHEMA.names, *image_rows.REMOVED_SCHEMA.names} <= pictures


def test_every_step_and_format_is_in_the_recipe_docs() -> None:
    from studio.data.chat.formats import FORMATS
    from studio.data.chat.steps import STEPS

    text = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    missing = [name for name in [*STEPS, *FORMATS] if f"| {name} |" not in text]
    assert not missing


def test_every_step_for_pictures_and_place_of_captions_is_in_its_page() -> None:
    from typing import get_args

    from studio.data.images.steps import IMAGE_STEPS
    from studio.schema.image_recipe import Captions

    text = (Path(__file__).resolve().parents[2] / "docs" / "images-data.md").read_text(encoding="utf-8")
    rows = " ".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| "))
    known = {*IMAGE_STEPS, "augment", "caption_dropout", *get_args(Captions)} - {"auto"}
    assert known <= set(re.findall(r"\w+", rows)), known - set(re.findall(r"\w+", rows))
    for path in (Path(__file__).resolve().parents[2] / "data_recipes" / "image").glob("*.yaml"):
        assert f"`image/{path.stem}`" in text


def test_a_table_is_described_with_its_steps_and_recipes() -> None:
    from studio.data.tables import rows
    from studio.data.tables.steps import TABLE_STEPS

    described = set(re.findall(r"`(\w+)`", DOC.partition("### A Dataset of a table")[2].partition("\n### ")[0]))
    assert {rows.ID, rows.SOURCE, *rows.REMOVED_SCHEMA.names} <= described
    text = (Path(__file__).resolve().parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    assert not [name for name in TABLE_STEPS if f"| {name} |" not in text]
    for path in (Path(__file__).resolve().parents[2] / "data_recipes" / "table").glob("*.yaml"):
        assert f"`table/{path.stem}`" in text
