"""Training for real, on the tiny base: every method, the record, the order, the loss."""

from __future__ import annotations

import json


def test_lora_run_is_whole(trainer):
    folder, record = trainer.train()
    assert record.status == "finished"
    assert record.result["steps"] == 12
    assert record.result["final_loss"] < record.result["first_loss"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 13))
    for name in ("adapter/adapter_model.safetensors", "loss.png", "README.md", "chat_template.jinja", "config.yaml"):
        assert (folder / name).is_file(), name
