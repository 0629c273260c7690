"""From rewards to advantages and shares: the papers' formulas on a step that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch

from studio.train.chat.policy import advantages, shares, surrogate, without_difference

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]])


def test_advantages_compare_within_the_group():
    apart = torch.tensor([[0.5, -0.5, -0.5, 0.5], [0.0] * 4])
    assert torch.equal(advantages(REWARDS, "none"), apart)
    assert torch.allclose(advantages(REWARDS, "group")[0], apart[0] / (1 / 3) ** 0.5, atol=1e-3)
    assert torch.allclose(advantages(REWARDS, "batch"), apart / REWARDS.std(), atol=1e-3)
    assert without_difference(REWARDS).tolist() == [False, True]


def test_what_a_token_weighs():
    lengths = torch.tensor([2.0, 6.0, 0.0])  # the last answer was cut off and carries no loss
    assert shares(lengths, "dapo", 10).tolist() == pytest.approx([1 / 8] * 3)
    assert shares(lengths, "grpo", 10)[:2].tolist() == pytest.approx([1 / 6, 1 / 18])
    assert shares(lengths, "dr_grpo", 10).tolist() == pytest.approx([1 / 30] * 3)


def test_a_token_that_has_moved_far_enough_learns_nothing_more():
    now = torch.log(torch.tensor([0.5, 0.5, 0.2, 0.2])).requires_grad_()
    before = torch.log(torch.tensor([0.3, 0.3, 0.4, 0.4]))
    found = surrogate(now, before, torch.tensor([1.0, -1.0, 1.0, -1.0]), low=0.2, high=0.28)
    assert found.clipped.tolist() == [True, False, False, True]
    found.losses.sum().backward()
    assert (now.grad != 0).tolist() == [False, True, True, False]
