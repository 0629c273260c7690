"""The Dataset as its readers see it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas
import pytest

from studio.core.errors import StudioError, UserError
from studio.core.workspace import read_dataset
from studio.data.images.rows import ROW_SCHEMA, open_image, read_image_split, read_removed_images


def test_rows_and_pictures_are_what_the_contract_says(image_dataset: Path) -> None:
    record = read_dataset(image_dataset)
    assert (record.kind, record.splits) == ("image", {"train": 30, "validation": 4, "test": 6})
    assert record.sources[0].licence == "CC-BY-SA-4.0" and "OpenMoji" in record.sources[0].model_extra["attribution"]  # type: ignore[index]
    rows = read_image_split(image_dataset, "train")
    apple = next(row for split in record.splits for row in read_image_split(image_dataset, split) if row.caption == "red apple")
    assert (apple.label, apple.id, apple.width, apple.height) == ("food-fruit", "openmoji/1F34E", 32, 32)
    assert apple.image == f"images/{apple.sha256[:2]}/{apple.sha256[:16]}.png"
    picture = open_image(image_dataset, apple)
    assert (picture.mode, picture.size, picture.getpixel((0, 0))) == ("RGB", (32, 32), (255, 255, 255))
    red, green, blue = picture.getpixel((12, 18))  # type: ignore[misc]
    assert red > 150 > green and red > 150 > blue
    table = pandas.read_parquet(image_dataset / "train.parquet")
    assert list(table.columns) == ROW_SCHEMA.names and len(table) == len(rows)
    assert read_removed_images(image_dataset) == []


def test_reader_says_what_is_wrong(image_dataset: Path, project_made: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no split 'tset'. Did you mean 'test'\?"):
        read_image_split(image_dataset, "tset")
    with pytest.raises(UserError, match="is not a dataset"):
        read_image_split(tmp_path, "train")
    chat = next((project_made / "workspace" / "datasets").glob("doors/*"))
    with pytest.raises(UserError, match="holds conversations, not pictures"):
        read_image_split(chat, "train")


def test_a_picture_changed_afterwards_is_noticed(image_dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(image_dataset, tmp_path / "copy"))
    row = read_image_split(copy, "train")[0]
    (copy / row.image).write_bytes((copy / read_image_split(copy, "train")[1].image).read_bytes())
    with pytest.raises(StudioError, match="was changed since the dataset was built"):
        open_image(copy, row)
    (copy / row.image).unlink()
    with pytest.raises(StudioError, match="cannot be read"):
        open_image(copy, row)
