"""What the tests of image training make for themselves: a Dataset of a few plain pictures, a run on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw

from studio.core.files import sha256_file, write_json
from studio.core.records import DatasetRecord
from studio.core.workspace import Workspace, read_dataset
from studio.data.images.rows import ImageRow, rows_to_table
from studio.data.parquet import write_table
from studio.schema.diffusion import DiffusionAdapter
from studio.schema.loading import validate
from studio.train.record import open_run

DOORS = [("red", "a red door"), ("blue", "a blue roof")]


def picture(colour: str, size: int, number: int) -> Image.Image:
    """A plain picture with a white bar, whose place tells the number."""
    drawn = Image.new("RGB", (size, size), colour)
    left = (number * 3) % (size - 3)
    ImageDraw.Draw(drawn).rectangle((left, 2, left + 2, size - 3), fill="white")
    return drawn


def make_dataset(
    folder: Path,
    things: Sequence[tuple[str, str]] = DOORS,
    *,
    size: int = 16,
    labels: Sequence[str | None] | None = None,
    validation: int = 0,
) -> Path:
    """A whole Dataset folder of pictures, the last ``validation`` of them held out."""
    rows = []
    for number, (colour, caption) in enumerate(things):
        path = folder / "images" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(colour, size, number).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        label = labels[number] if labels else None
        rows.append(ImageRow(f"p{number}", f"images/{number}.png", caption, label, None, size, size, None, digest))
    splits = {"train": rows[: len(rows) - validation], "validation": rows[len(rows) - validation :]}
    splits = {name: part for name, part in splits.items() if part}
    for name, part in splits.items():
        write_table(rows_to_table(part), folder / f"{name}.parquet")
    record = DatasetRecord(
        kind="image",
        name="made",
        fingerprint="0123456789abcdef",
        created="2026-01-01T00:00:00+00:00",
        recipe={},
        sources=[],
        steps=[],
        splits={name: len(part) for name, part in splits.items()},
        rows_read=len(rows),
        rows_removed=0,
        files={f"{name}.parquet": sha256_file(folder / f"{name}.parquet") for name in splits},
        studio_version="0",
    )
    write_json(folder / "dataset.json", record.model_dump(mode="json"))
    return folder


def open_image_run(workspace: Workspace, dataset: Path, settings: dict[str, Any], base: Path | None = None) -> Path:
    """A Run of kind diffusion, opened but not trained."""
    from studio.models.images.bases import resolve_image_base

    where = {"model": str(base)} if base else {}
    adapter = validate({"kind": "diffusion", **where, **settings}, DiffusionAdapter)
    return open_run(
        adapter,
        workspace,
        name="made",
        dataset_folder=dataset,
        dataset=read_dataset(dataset),
        base=resolve_image_base(str(base)).record() if base else {"source": "scratch"},
        processes=1,
        method=adapter.method,
    )


def settings_of(run: Path) -> dict[str, Any]:
    """The resolved preset of a run."""
    value: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    return value
