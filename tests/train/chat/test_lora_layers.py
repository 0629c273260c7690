"""The tighter LoRA and gated layers against PEFT's and transformers' own."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from studio.adapters.chat.reference import START, TRAINED, as_it_started, attach_start
from studio.train.chat.lora_layers import fuse_lora
from tests.families import build_family

IDS = torch.arange(24).reshape(2, 12)


def built(base, folder=None, **options):
    """A model in training with an adapter whose B is not zero; with ``folder``, on top of another."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, **options)
    model = get_peft_model(model, config)
    if folder is not None:
        if not folder.is_dir():
            get_peft_model(
                AutoModelForCausalLM.from_pretrained(base),
                LoraConfig(r=3, lora_alpha=1, target_modules="all-linear", init_lora_weights=False),
            ).save_pretrained(folder)
        attach_start(model, folder)
    return model.train()


def learnt(model):
    """Logits and the gradients of what trains."""
    torch.manual_seed(1)
    logits = model(input_ids=IDS).logits
    logits.square().mean().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def kept(model):
    """Shapes of what a pass keeps for the way back, each memory once, without the parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found = {}

    def note(saved):
        place = saved.untyped_storage().data_ptr()
        if place not in own:
            found[place] = saved  # held, so that its memory is not given to another
        return saved

    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        model(input_ids=IDS)
    return [tuple(saved.shape) for saved in found.values()]


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}, {"lora_dropout": 0.5}])
@pytest.mark.parametrize("from_run", [False, True])
def test_fused_lora_equals_peft(tiny_base, tmp_path, options, from_run):
    folder = tmp_path / "start" if from_run else None
    plain, fused = built(tiny_base, folder, **options), built(tiny_base, folder, **options)
    changed = fuse_lora(fused)
    assert changed == (0 if options.get("use_dora") else 14)  # 7 linear layers in each of 2 blocks
    (expected, gradients), (found, own) = learnt(plain), learnt(fused)
    assert torch.allclose(expected, found, atol=1e-6)
    assert gradients.keys() == own.keys()
    assert not any(START in name for name in own)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, own[name], rtol=1e-4, atol=1e-7), name


@pytest.mark.parametrize("family", ["gemma3", "qwen3", "gpt2", "phi3"])
def test_layers_with_and_without_a_gate_equal_transformers(tmp_path, family):
    folder = build_family(tmp_path / family, family)
    plain, fused = built(folder), built(folder)
    fuse_lora(fused)
    (expected, gradients), (found, own) = learnt(plain), learnt(fused)
    assert torch.allclose(expected, found, atol=1e-5 * float(expected.abs().max()))
    assert gradients.keys() == own.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, own[name], rtol=1e-3, atol=1e-5 * float(gradient.abs().max())), name


def test_what_the_gate_lets_through_and_copies_of_matrices_are_not_kept(tiny_base, tmp_path):
    plain, fused = built(tiny_base, tmp_path / "start"), built(tiny_base, tmp_path / "start")
    fuse_lora(fused)
    wide = plain.config.intermediate_size

    def of_width(shapes):
        return sum(shape[-1] == wide for shape in shapes)

    layers = plain.config.num_hidden_layers
    assert of_width(kept(plain)) >= 4 * layers, "gate, what it became, up, and their product"
    assert of_width(kept(fused)) == 2 * layers, "gate and up"
    rank = plain.peft_config[TRAINED].r + plain.peft_config[START].r
    assert not any(rank in shape for shape in kept(fused)), "no matrices of both adapters together"


def test_the_start_alone_goes_through_the_same_layers(tiny_base, tmp_path):
    plain, fused = built(tiny_base, tmp_path / "start"), built(tiny_base, tmp_path / "start")
    fuse_lora(fused)
    with torch.no_grad(), as_it_started(plain), as_it_started(fused):
        expected, found = plain(input_ids=IDS).logits, fused(input_ids=IDS).logits
    assert torch.allclose(expected, found, atol=1e-6)
    assert not torch.allclose(expected, plain(input_ids=IDS).logits, atol=1e-3)


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
