"""The loss of held-out rows, computed for many at once."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

import studio.adapters.chat.held_out as held_out
from studio.adapters.chat.held_out import held_out_loss
from studio.models.chat.encoding import EncodedRow

LENGTHS = (5, 40, 7, 23, 23, 40, 11)


def rows():
    """The last third of every row carries loss."""
    return [
        EncodedRow(list(range(3, 3 + size)), [False] * (size - size // 3) + [True] * (size // 3), [size - 1], 1, size)
        for size in LENGTHS
    ]


def test_rows_together_lose_what_each_loses_alone(tiny_base, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(tiny_base).eval()
    total = 0.0
    for row in rows():
        ids = torch.tensor(row.input_ids)
        nll = torch.nn.functional.cross_entropy(model(input_ids=ids[None]).logits[0, :-1], ids[1:], reduction="none")
        total += float(nll.detach()[torch.tensor(row.trained[1:])].sum())
    shapes = []
    model.register_forward_pre_hook(lambda _m, _a, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True)
    monkeypatch.setattr(held_out, "TOKENS", 80)
    assert held_out_loss(model, rows()) == pytest.approx(total / sum(size // 3 for size in LENGTHS), rel=1e-6)
    assert shapes == [(3, 11), (2, 23), (2, 40)], "of a length, at most 80 tokens with their padding"
    assert held_out_loss(model, []) is None
