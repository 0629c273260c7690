"""A tiny dataset and a tiny run on disk, whole by the written contract, to be measured and talked to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from studio.core.files import sha256_file, write_json, write_text
from studio.core.records import DatasetRecord, RunRecord
from studio.core.workspace import Workspace
from studio.data.chat.rows import ChatRow, rows_to_table
from studio.data.parquet import write_table

if TYPE_CHECKING:
    from studio.evals.chat.subjects import LocalSubject

NOUNS = (
    "balcony",
    "door",
    "window",
    "stair",
    "roof",
    "wall",
    "exit",
    "rail",
    "fire exit",
    "building",
    "wide window",
    "high wall",
)


def chat_rows(prefix: str, count: int, start: int = 0) -> list[ChatRow]:
    """Rows that differ in question and answer."""
    return [
        ChatRow(
            f"{prefix}-{index}",
            [
                {"role": "user", "content": f"How wide must {NOUNS[index % len(NOUNS)]} number {index} be?"},
                {"role": "assistant", "content": f"The {NOUNS[index % len(NOUNS)]} must be at least {index + 1} metres wide."},
            ],
            "tiny",
        )
        for index in range(start, start + count)
    ]


def write_dataset(workspace: Workspace, name: str, splits: dict[str, list[ChatRow]]) -> Path:
    """A finished Dataset folder."""
    folder = workspace.datasets / name / f"{name}0000"
    folder.mkdir(parents=True)
    for split, rows in splits.items():
        write_table(rows_to_table(rows), folder / f"{split}.parquet")
    record = DatasetRecord(
        kind="chat",
        name=name,
        fingerprint=f"{name}0000",
        created="2026-01-01T00:00:00+00:00",
        recipe={},
        sources=[],
        steps=[],
        splits={split: len(rows) for split, rows in splits.items()},
        rows_read=sum(map(len, splits.values())),
        rows_removed=0,
        files={f"{split}.parquet": sha256_file(folder / f"{split}.parquet") for split in splits},
        studio_version="0",
    )
    write_json(folder / "dataset.json", record.model_dump(mode="json"))
    return folder


def write_run(workspace: Workspace, base_folder: Path, dataset: Path, name: str = "tiny", seed: int = 1) -> Path:
    """A finished Run whose adapter changes what the base says: B is random instead of zero."""
    import torch

    from studio.adapters.chat.attach import attach_lora, save_adapter
    from studio.models.bases import resolve_base
    from studio.models.chat.loading import load_causal_lm, load_tokenizer
    from studio.models.chat.templates import choose_template
    from studio.schema.adapter import LoraSettings

    base = resolve_base(str(base_folder))
    tokenizer = load_tokenizer(base)
    template = choose_template(tokenizer, None, base.name)
    lora = LoraSettings(rank=4)
    torch.manual_seed(seed)  # the A matrices are drawn from it; without, the answers depend on which tests ran before
    model = attach_lora(
        load_causal_lm(base, dtype=torch.float32, device=torch.device("cpu")), lora, quantized=False, gradient_checkpointing=False
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter_name, parameter in model.named_parameters():
        if ".lora_B." in parameter_name:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    folder = workspace.runs / name / f"20260101-000000-{name}0"
    folder.mkdir(parents=True)
    save_adapter(model, folder / "adapter", lora, tokenizer=tokenizer, template=template)
    write_text(folder / "chat_template.jinja", template.text)
    write_text(folder / "config.yaml", f"kind: chat\nmodel: {base_folder}\ndtype: float32\nlora:\n  rank: 4\n")
    record = RunRecord(
        kind="chat",
        name=name,
        id=f"{name}0",
        status="finished",
        created="2026-01-01T00:00:00+00:00",
        method="lora",
        base=base.record(),
        dataset={"path": str(dataset), "name": dataset.parent.name, "fingerprint": dataset.name},
        template={"name": template.name, "file": "chat_template.jinja", "sha256": template.sha256},
        seed=0,
    )
    write_json(folder / "run.json", record.model_dump(mode="json"))
    return folder


@dataclass(frozen=True)
class Tiny:
    """A workspace with one dataset and one run in it."""

    workspace: Workspace
    dataset: Path
    run: Path


@pytest.fixture
def studio(studio: Callable[..., Any], tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Call ``studio`` in this process, in the tiny workspace."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(tiny.workspace.root))
    return studio


@pytest.fixture(scope="session")
def tiny_built(lively_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace that tests copy."""
    workspace = Workspace.open(tmp_path_factory.mktemp("measured") / "workspace")
    splits = {"train": chat_rows("train", 12, 100), "validation": chat_rows("validation", 3, 200), "test": chat_rows("test", 8)}
    dataset = write_dataset(workspace, "tinyfaq", splits)
    write_run(workspace, lively_base, dataset)
    return workspace.root


@pytest.fixture
def tiny(tiny_built: Path, tmp_path: Path) -> Tiny:
    """A workspace of the test's own; the run finds its dataset by fingerprint, because the recorded path is another copy."""
    import json

    root = tmp_path / "workspace"
    shutil.copytree(tiny_built, root)
    workspace = Workspace.open(root)
    run = workspace.find_run("tiny")
    record = json.loads((run / "run.json").read_text())
    record["dataset"]["path"] = str(root / "no longer here")
    write_json(run / "run.json", record)
    return Tiny(workspace, workspace.find_dataset("tinyfaq"), run)


@pytest.fixture(scope="session")
def lively_base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base with larger weights: as it is it repeats one token for ever, which would try no batching."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("bases") / "lively-base"
    shutil.copytree(tiny_base, folder)
    weights = load_file(folder / "model.safetensors")
    scaled = {name: value * 12 if value.dim() == 2 and "embed" not in name else value for name, value in weights.items()}
    save_file(
        {name: torch.clone(value) for name, value in scaled.items()}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    return folder


@pytest.fixture(scope="session")
def subject(lively_base: Path) -> LocalSubject:
    """The lively base, ready to answer and to be scored."""
    import torch

    from studio.evals.chat.subjects import LocalSubject
    from studio.models.bases import resolve_base
    from studio.models.chat.loading import load_causal_lm, load_tokenizer
    from studio.models.chat.templates import choose_template

    base = resolve_base(str(lively_base))
    tokenizer = load_tokenizer(base)
    model = load_causal_lm(base, dtype=torch.float32, device=torch.device("cpu"))
    return LocalSubject("tuned", model, tokenizer, choose_template(tokenizer, None, base.name))
