"""The tighter forms against the plain ones."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from studio.train.chat.fast import fuse_lora, target_nll


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


def test_fused_lora_in_bfloat16_is_as_near_to_float32_as_peft(tiny_base):
    def gradients(kind, fused):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=kind)
        model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)).float()
        for name, parameter in model.named_parameters():
            if "lora_" not in name:
                parameter.data = parameter.data.to(kind)
        if fused:
            assert fuse_lora(model) == 14
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            loss = model(input_ids=torch.arange(24).reshape(2, 12)).logits.float().square().mean()
        loss.backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    exact = gradients(torch.float32, False)
    far = []
    for fused in (False, True):
        found = gradients(torch.bfloat16, fused)
        assert found.keys() == exact.keys()
        assert all(gradient.dtype == torch.float32 for gradient in found.values())
        far.append(sum(float((found[name] - exact[name]).norm() / exact[name].norm()) for name in exact) / len(exact))
    assert far[1] < 1.2 * far[0], far


def test_fused_lora_respects_a_switched_off_adapter(tiny_base):
    base = AutoModelForCausalLM.from_pretrained(tiny_base)
    ids = torch.arange(12)[None]
    expected = base(ids).logits.detach()
    model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    fuse_lora(model)
    assert not torch.allclose(model(input_ids=ids).logits, expected)
    with model.disable_adapter():
        assert torch.allclose(model(input_ids=ids).logits, expected)
