"""Storages are counted from their making to their end."""

from __future__ import annotations

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from studio.train.storage import StorageTracker, materialise


def test_nothing_is_left_when_a_pass_is_over():
    tracker = StorageTracker()
    with tracker:
        first = torch.ones(1000)
        second = first.view(10, 100)  # the same storage counts once
        assert tracker.now == 4032
        third = first + 1
        assert tracker.now == 8064
        del first, third
        assert tracker.now == 4032
        del second
    assert (tracker.now, tracker.peak) == (0, 8064)


def test_weights_without_contents_stay_tied():
    with torch.device("meta"):
        model = nn.ModuleList([nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)])
    model[1].weight = model[0].weight
    model[0].weight.requires_grad_(False)
    with FakeTensorMode():
        materialise(model)
    assert model[0].weight is model[1].weight and model[0].weight.device.type == "cpu" and not model[0].weight.requires_grad
