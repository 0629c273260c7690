"""The tighter loss against the plain one."""

from __future__ import annotations

import pytest
import torch

from studio.train.chat.fast import target_nll


def test_target_nll_equals_cross_entropy():
    torch.manual_seed(0)
    logits = torch.randn(7, 50, requires_grad=True)
    targets = torch.randint(50, (7,))
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (expected,) = torch.autograd.grad(plain / 3, logits)
    own = logits.detach().clone().requires_grad_()
    value = target_nll(own * 1.0, targets).sum()
    (value / 3).backward()
    assert value.item() == pytest.approx(plain.item(), rel=1e-6)
    assert torch.allclose(own.grad, expected, atol=1e-6)
    weights = torch.rand(7)
    (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, targets, reduction="none") @ weights, logits)
    own.grad = None
    (target_nll(own * 1.0, targets) @ weights).backward()
    assert torch.allclose(own.grad, expected, atol=1e-6), "each target has a gradient of its own"


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_target_nll_in_slices_is_the_same(kind, monkeypatch):
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(7, 50).to(kind), torch.randint(50, (7,)), torch.rand(7)
    found = []
    for numbers in (1 << 20, 100):  # all rows at once; two at a time
        monkeypatch.setattr("studio.train.chat.fast._SLICE_ON_CPU", numbers)
        own = logits.clone().requires_grad_()
        value = target_nll(own * 1.0, targets)
        (value @ weights).backward()
        assert value.dtype == torch.float32
        assert own.grad.dtype == kind
        found.append((value.detach(), own.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
