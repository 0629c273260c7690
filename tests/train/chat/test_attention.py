"""Attention for short rows against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

import studio.train.chat.attention as attention
from studio.models.chat.architecture import rounding
from studio.models.chat.encoding import EncodedRow
from studio.train.chat.attention import LONGEST, NAME, short_attention, use_short_attention
from studio.train.chat.packing import prove_isolation

ROWS, HEADS, KEY_HEADS, SIZE = 3, 6, 2, 16


class Layer(torch.nn.Module):
    num_key_value_groups = HEADS // KEY_HEADS
    is_causal = True


def states(tokens, kind):
    torch.manual_seed(0)
    shapes = [(ROWS, tokens, HEADS, SIZE), (ROWS, tokens, KEY_HEADS, SIZE), (ROWS, tokens, KEY_HEADS, SIZE)]
    return [torch.randn(shape).to(kind).transpose(1, 2).requires_grad_() for shape in shapes]


def answer(function, kind, mask, tokens=20):
    inputs = states(tokens, kind)
    drawn, weights = function(Layer(), *inputs, mask)
    assert weights is None
    drawn.float().square().sum().backward()
    return [drawn.detach().float(), *(each.grad.float() for each in inputs)]


def ragged(tokens=20):
    """Causal; the second row has padding after 12 tokens, the third two packed rows."""
    mask = torch.ones(tokens, tokens, dtype=torch.bool).tril().expand(ROWS, 1, tokens, tokens).clone()
    mask[1, :, :, 12:] = False
    mask[2, :, 9:, :9] = False
    return mask


@pytest.mark.parametrize("mask", [None, ragged()])
def test_it_is_as_near_to_float32_as_the_fused_kernel(mask):
    exact = answer(sdpa_attention_forward, torch.float32, mask)
    for ours, theirs, true in zip(
        answer(short_attention, torch.bfloat16, mask), answer(sdpa_attention_forward, torch.bfloat16, mask), exact, strict=True
    ):
        assert float((ours - true).norm() / true.norm()) < max(0.01, 1.5 * float((theirs - true).norm() / true.norm()))


@pytest.mark.parametrize(("tokens", "kind"), [(LONGEST + 1, torch.bfloat16), (20, torch.float32)])
def test_long_rows_and_float32_go_through_the_fused_kernel(tokens, kind):
    found, expected = (answer(function, kind, None, tokens) for function in (short_attention, sdpa_attention_forward))
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_keys_that_heads_share_are_not_repeated_behind_a_mask(kind):
    tokens = LONGEST + 1
    mask = ragged(tokens)
    found, expected = (answer(function, kind, mask, tokens) for function in (short_attention, sdpa_attention_forward))
    assert torch.equal(found[0], expected[0])
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < (1e-5 if kind == torch.float32 else 0.01)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved) or saved, lambda saved: saved):
        short_attention(Layer(), *states(tokens, kind), mask)
    assert sum(saved.shape[1] == HEADS and saved.dim() == 4 for saved in kept) == 2, "the query and what was drawn"


def test_a_model_takes_it_and_packed_rows_stay_apart(tiny_base, monkeypatch):
    calls = []
    monkeypatch.setattr(attention, "short_attention", lambda *args, **more: calls.append(1) or short_attention(*args, **more))
    ids = torch.arange(3, 27).reshape(2, 12)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16)
    expected = model(input_ids=ids, attention_mask=mask).logits.float().detach()
    assert use_short_attention(model)
    found = model(input_ids=ids, attention_mask=mask).logits.float().detach()
    assert calls, "the layers never called it"
    assert torch.allclose(found[0], expected[0], atol=0.05 * float(expected.abs().max()))
    assert torch.allclose(found[1, :9], expected[1, :9], atol=0.05 * float(expected.abs().max()))
    rows = [EncodedRow(list(range(3, 3 + size)), [True] * size, [size - 1], 1, size) for size in (20, 33, 47)]
    assert prove_isolation(model, rows, 0) <= rounding(model.dtype)


def test_a_chosen_attention_is_left_alone(tiny_base):
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16, attn_implementation="eager")
    assert not use_short_attention(model)
    assert model.config._attn_implementation != NAME
