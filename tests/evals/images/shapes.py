"""Pictures with a category that a small network can learn: coloured discs, squares and crosses on pale grounds."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from studio.core.files import sha256_file, write_json
from studio.core.records import DatasetRecord
from studio.core.workspace import Workspace
from studio.data.images.rows import ImageRow, rows_to_table

LABELS = ("disc", "square", "cross")
COLOURS = {"red": "#d22f27", "blue": "#1e50a0", "green": "#5c9e31"}


def draw(label: str, colour: str, seed: int, side: int = 40) -> Image.Image:
    """One shape; place, size and ground come from the seed."""
    generator = np.random.default_rng(seed)
    ground = tuple(int(value) for value in generator.integers(215, 256, 3))
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)
    half = int(generator.integers(side // 5, side // 3))
    x, y = (int(value) for value in generator.integers(half + 1, side - half - 1, 2))
    if label == "disc":
        pen.ellipse((x - half, y - half, x + half, y + half), fill=COLOURS[colour])
    elif label == "square":
        pen.rectangle((x - half, y - half, x + half, y + half), fill=COLOURS[colour])
    else:
        pen.line((x - half, y - half, x + half, y + half), fill=COLOURS[colour], width=4)
        pen.line((x - half, y + half, x + half, y - half), fill=COLOURS[colour], width=4)
    return picture


def parts(index: int) -> tuple[str, str]:
    """Label and colour of the picture of that number."""
    return LABELS[index % 3], tuple(COLOURS)[index // 3 % 3]


def write_shapes(workspace: Workspace, sizes: dict[str, int], *, name: str = "shapes", labelled: bool = True) -> Path:
    """A finished Dataset of shapes by the written contract."""
    folder = workspace.datasets / name / f"{name}00000000"
    (folder / "images").mkdir(parents=True)
    splits: dict[str, list[ImageRow]] = {}
    number = 0
    for split, count in sizes.items():
        splits[split] = []
        for _ in range(count):
            label, colour = parts(number)
            buffer = io.BytesIO()
            draw(label, colour, number).save(buffer, "PNG")
            digest = hashlib.sha256(buffer.getvalue()).hexdigest()
            file = f"images/{digest[:2]}/{digest[:16]}.png"
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(buffer.getvalue())
            splits[split].append(
                ImageRow(f"shape-{number}", file, f"a {colour} {label}", label if labelled else None, None, 40, 40, None, digest)
            )
            number += 1
        pq.write_table(rows_to_table(splits[split]), folder / f"{split}.parquet")
    record = DatasetRecord(
        kind="image",
        name=name,
        fingerprint=f"{name}00000000",
        created="2026-01-01T00:00:00+00:00",
        recipe={},
        sources=[],
        steps=[],
        splits=sizes,
        rows_read=number,
        rows_removed=0,
        files={f"{split}.parquet": sha256_file(folder / f"{split}.parquet") for split in sizes},
        studio_version="0",
    )
    write_json(folder / "dataset.json", json.loads(record.model_dump_json()))
    return folder


def train_shapes(workspace: Workspace, dataset: Path, *, steps: int = 8) -> tuple[Path, Path]:
    """Two real runs: a tiny diffusion model from scratch, and a LoRA tuned on it. They see too little to paint well."""
    from studio.core.workspace import read_dataset
    from studio.models.images.bases import resolve_image_base
    from studio.schema.diffusion import DiffusionAdapter
    from studio.schema.loading import validate
    from studio.train.images.run import train_image_run
    from studio.train.record import open_run

    shared = {"kind": "diffusion", "resolution": 32, "steps": steps, "batch_size": 8, "dtype": "float32", "keep": "last"}
    shared |= {"sample": {"count": 2, "steps": 2}}
    network = {"width": 32, "depth": 1, "heads": 2, "patch": 8, "channels": 8}
    ways = {
        "scratch": {"method": "scratch", "family": "pixel", "network": network, "learning_rate": 3e-3},
        "tuned": {"method": "lora", "lora": {"rank": 4, "target_modules": "all-linear"}, "learning_rate": 0.05},
    }
    runs: list[Path] = []
    for name, way in ways.items():
        base = {"model": str(runs[0])} if runs else {}
        adapter = validate(shared | way | base, DiffusionAdapter)
        run = open_run(
            adapter,
            workspace,
            name=name,
            dataset_folder=dataset,
            dataset=read_dataset(dataset),
            base=resolve_image_base(str(runs[0])).record() if runs else {"source": "scratch"},
            processes=1,
            method=adapter.method,
        )
        train_image_run(run, resume=False, say=lambda _: None)
        runs.append(run)
    return runs[0], runs[1]
