"""What a training process holds before it holds a model."""

from __future__ import annotations

import pytest
import torch

from studio.train.plan_baseline import ASSUMED_CUDA_CONTEXT, baseline_bytes


def test_the_baseline_is_what_this_process_holds_with_everything_imported():
    import psutil

    measured = baseline_bytes("cpu", "studio.train.chat.run")
    assert measured == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert measured > 300_000_000


def test_a_card_that_is_not_here_or_not_looked_at_takes_what_is_assumed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert baseline_bytes("cuda", "no.such.module") == ASSUMED_CUDA_CONTEXT
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert baseline_bytes("cuda", "no.such.module", measure_context=False) == ASSUMED_CUDA_CONTEXT
