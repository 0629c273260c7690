"""A small Dataset and presets for training tests on the tiny base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run
from studio.data.chat.rows import ChatRow, rows_to_table
from studio.data.parquet import write_table

TOPICS = ("balcony", "door", "window", "stair", "roof", "wall", "exit", "floor", "cellar", "chimney", "garage", "attic")


def chat_rows(count: int, *, long: int | None = None) -> list[ChatRow]:
    """Conversations of different lengths; row ``long`` is far longer than the rest."""
    rows = []
    for index in range(count):
        topic = TOPICS[index % len(TOPICS)]
        words = " ".join([f"The {topic} must be {index} centimetres wide."] * (1 + index % 4 if index != long else 60))
        messages = [{"role": "user", "content": f"How wide must {topic} {index} be?"}, {"role": "assistant", "content": words}]
        if index % 5 == 0:
            messages += [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": f"Rule {index} says so."}]
        rows.append(ChatRow(f"row-{index}", messages, "test"))
    return rows


def write_dataset(workspace: Workspace, train: list[ChatRow], validation: list[ChatRow], name: str = "tiny") -> Path:
    """A Dataset folder as ``studio data build`` leaves it."""
    from studio.core.files import sha256_file, write_json
    from studio.core.records import DatasetRecord

    folder = workspace.datasets / name / f"f{len(train):05d}{len(validation):05d}"
    folder.mkdir(parents=True)
    splits = {"train": train, "validation": validation, "test": validation}
    files = {}
    for split, rows in splits.items():
        if rows:
            write_table(rows_to_table(rows), folder / f"{split}.parquet")
            files[f"{split}.parquet"] = sha256_file(folder / f"{split}.parquet")
    record = DatasetRecord(
        kind="chat",
        name=name,
        fingerprint=folder.name,
        created="2026-01-01T00:00:00+00:00",
        recipe={},
        sources=[],
        steps=[],
        splits={split: len(rows) for split, rows in splits.items()},
        rows_read=len(train) + 2 * len(validation),
        rows_removed=0,
        files=files,
        studio_version="0",
    )
    write_json(folder / "dataset.json", record.model_dump(mode="json"))
    return folder


class Trainer:
    """Trains the tiny base through the same functions as the command line."""

    def __init__(self, workspace: Workspace, base: Path, preset: Path) -> None:
        self.workspace, self.base, self.preset = workspace, base, preset

    def open(self, data: str = "tiny", **settings: Any) -> Path:
        """A new Run that is not trained yet."""
        from studio.cli.train import new_run

        pairs = [
            f"{key}={yaml.safe_dump(value, default_flow_style=True).removesuffix(chr(10) + '...' + chr(10)).strip()}"
            for key, value in settings.items()
        ]
        return new_run(self.workspace, str(self.preset), data=data, model=str(self.base), settings=pairs)

    def train(self, **settings: Any) -> tuple[Path, RunRecord]:
        """A finished Run."""
        from studio.train.chat.run import train_run

        folder = self.open(**settings)
        train_run(folder, resume=False, say=lambda text: None)
        return folder, read_run(folder)


PRESET = {
    "kind": "chat",
    "method": "lora",
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1},
    "max_length": 256,
    "batch_size": 8,
    "micro_batch_size": 4,
    "epochs": 2,
    "learning_rate": 0.005,
    "dtype": "float32",
    "eval_every": 3,
}


@pytest.fixture
def trainer(workspace: Workspace, tiny_base: Path, tmp_path: Path) -> Trainer:
    """Trainer over 43 rows (a last window of 3) and 8 validation rows."""
    rows = chat_rows(51)
    write_dataset(workspace, rows[:43], rows[43:])
    preset = tmp_path / "preset.yaml"
    preset.write_text(yaml.safe_dump(PRESET))
    return Trainer(workspace, tiny_base, preset)
