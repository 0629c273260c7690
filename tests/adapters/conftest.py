"""A finished run on the tiny base, made with the project's own pieces: attached, trained a few steps, saved, recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from studio.adapters.chat.attach import attach_lora, save_adapter
from studio.core.files import sha256_file, write_json
from studio.core.records import RunRecord
from studio.models.bases import resolve_base
from studio.models.chat.loading import load_causal_lm, load_tokenizer
from studio.models.chat.templates import choose_template
from studio.schema.adapter import LoraSettings

CPU = torch.device("cpu")
MakeRun = Callable[..., Path]


def nudge(model: Any, steps: int = 3) -> None:
    """Train a few real steps, so that the adapter differs from its start values in every matrix."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    tokens = torch.randint(3, 380, (2, 24), generator=torch.Generator().manual_seed(1))
    model.train()
    for _ in range(steps):
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def write_run(folder: Path, base: Path, lora: LoraSettings, *, method: str = "lora", quantization: str = "none") -> Path:
    """Write a run folder as training leaves it."""
    resolved = resolve_base(str(base))
    tokenizer = load_tokenizer(resolved)
    template = choose_template(tokenizer, None, "tiny")
    model = load_causal_lm(resolved, dtype=torch.float32, device=CPU, quantization=quantization)
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    (folder / "chat_template.jinja").write_bytes(template.text.encode())
    if method == "full":
        nudge(model.train())
        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
    else:
        tuned = attach_lora(model, lora, quantized=quantization != "none", gradient_checkpointing=False)
        nudge(tuned)
        save_adapter(tuned, folder / "adapter", lora, tokenizer=tokenizer, template=template)
    config = {
        "kind": "chat",
        "model": str(base),
        "method": method,
        "quantization": quantization,
        "dtype": "float32",
        "lora": lora.model_dump(),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    files = {path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    record = RunRecord(
        kind="chat",
        name="tiny",
        id="abc123",
        status="finished",
        created="2026-11-22T05:00:00+00:00",
        finished="2026-11-22T05:01:00+00:00",
        method=method,
        base=resolved.record(),
        dataset={"path": str(folder / "no-such-dataset"), "name": "faq", "fingerprint": "f00d"},
        template={"name": template.name, "file": "chat_template.jinja", "sha256": template.sha256},
        seed=0,
        files=files,
    )
    write_json(folder / "run.json", record.model_dump())
    return folder


@pytest.fixture
def make_run(tiny_base: Path, tmp_path: Path) -> MakeRun:
    """Make a run on the tiny base: ``make_run(rank=4)``, ``make_run(method="full")``, ``make_run(quantization="nf4")``."""
    counter = iter(range(100))

    def make(*, method: str = "lora", quantization: str = "none", **lora: Any) -> Path:
        settings = LoraSettings(**({"rank": 4, "alpha": 8} | lora))
        folder = tmp_path / "runs" / "tiny" / f"2026-11-22-{next(counter)}"
        return write_run(folder, tiny_base, settings, method=method, quantization=quantization)

    return make
