"""What is said of a LoRA in kohya's layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.adapters.images.kohya_export import KohyaResult
from studio.core.telling import Pairs
from studio.exports.forms import Wishes
from studio.exports.images.plain import Kohya


def test_the_proof_is_told(monkeypatch: pytest.MonkeyPatch):
    result = KohyaResult(Path("door.safetensors"), 1_500_000, "sd15", 32, 1.2e-7, 3.4e-6, "diffusers")
    monkeypatch.setattr("studio.adapters.images.kohya_export.export_kohya", lambda *_: result)
    answer = Kohya().write(Path("run"), Path("door.safetensors"), Wishes())
    assert answer.document is result
    assert answer.blocks == (
        "LoRA of 32 layers written to door.safetensors (1.5 MB, sd15).",
        Pairs(
            [
                ("read back by", "diffusers"),
                ("largest difference of an update", "1.2e-07 of its size"),
                ("largest difference of a prediction", "3.4e-06 of its size"),
            ]
        ),
    )
