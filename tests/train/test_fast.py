"""The tighter forms against the plain ones."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from studio.train.fast import fuse_lora, target_nll


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


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_dropout": 0.5}])
def test_fused_lora_equals_peft(tiny_base, options):
    def build():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(tiny_base)
        model = get_peft_model(
            model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, **options)
        )
        return model.train()

    ids = torch.arange(24).reshape(2, 12)
    plain, fused = build(), build()
    changed = fuse_lora(fused)
    assert changed == (0 if options.get("use_dora") else 14)  # 7 linear layers in each of 2 blocks
    outputs, gradients = [], []
    for model in (plain, fused):
        torch.manual_seed(1)
        logits = model(input_ids=ids).logits
        logits.square().mean().backward()
        outputs.append(logits.detach())
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert torch.allclose(outputs[0], outputs[1], atol=1e-6)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-4, atol=1e-8), name


def test_fused_lora_respects_a_switched_off_adapter(tiny_base):
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    ids = torch.arange(12)[None]
    expected = base(ids).logits.detach()
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    fuse_lora(model)
    assert not torch.allclose(model(input_ids=ids).logits, expected)
    with model.disable_adapter():
        assert torch.allclose(model(input_ids=ids).logits, expected)
