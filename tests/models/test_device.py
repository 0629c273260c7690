"""The number type that is fast on this machine."""

from __future__ import annotations

import pytest
import torch

from studio.models.device import pick_device, pick_dtype

CPU = torch.device("cpu")


def test_number_types(monkeypatch: pytest.MonkeyPatch):
    for faster, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("studio.models.device.cpu_prefers_bfloat16", lambda faster=faster: faster)
        assert pick_dtype("auto", CPU) == expected, "what this processor has instructions for"
    assert pick_dtype("bfloat16", CPU) == torch.bfloat16
    assert pick_device().type in {"cpu", "cuda", "mps"}
