"""What only a GPU can show: the tighter forms, packing and compiled layers in bfloat16 on CUDA. Skipped without one."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from studio.models.chat.architecture import rounding
from studio.models.chat.encoding import EncodedRow
from studio.train.chat.fast import target_nll
from studio.train.chat.lora_layers import fuse_lora
from studio.train.chat.packing import prove_isolation

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


def adapted(base, dtype):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, device_map={"": "cuda"})
    model.requires_grad_(False)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(model, config).train()


def test_fused_lora_equals_peft_under_autocast(tiny_base):
    ids = torch.arange(64, device="cuda").reshape(2, 32)
    plain, fused = adapted(tiny_base, torch.bfloat16), adapted(tiny_base, torch.bfloat16)
    assert fuse_lora(fused) == 14
    outputs, norms = [], []
    for model in (plain, fused):
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(input_ids=ids).logits.float()
        logits.square().mean().backward()
        outputs.append(logits.detach())
        norms.append({name: p.grad.float().norm().item() for name, p in model.named_parameters() if p.grad is not None})
    assert (outputs[0] - outputs[1]).abs().max() <= 0.02 * outputs[0].abs().max()  # bfloat16 keeps 8 bits
    assert norms[0].keys() == norms[1].keys()
    for name, norm in norms[0].items():
        assert norms[1][name] == pytest.approx(norm, rel=0.05, abs=1e-6), name


def test_target_nll_equals_cross_entropy_and_keeps_one_buffer():
    count, vocabulary = 2048, 32_000
    targets = torch.randint(vocabulary, (count,), device="cuda")
    logits = torch.randn(count, vocabulary, device="cuda", requires_grad=True)
    plain = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (expected,) = torch.autograd.grad(plain, logits)
    own = logits.detach().clone().requires_grad_()
    buffer = own * 1.0
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    value = target_nll(buffer, targets)
    (gradient,) = torch.autograd.grad(value, buffer)
    assert torch.cuda.max_memory_allocated() - before < 0.2 * buffer.numel() * 4
    assert value.item() == pytest.approx(plain.item(), rel=1e-5)
    assert torch.allclose(gradient, expected, atol=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_rows_are_isolated(tiny_base, attention):
    model = AutoModelForCausalLM.from_pretrained(
        tiny_base, dtype=torch.bfloat16, attn_implementation=attention, device_map={"": "cuda"}
    )
    rows = [EncodedRow(list(range(3, 3 + size)), [True] * size, [size - 1], 1, size) for size in (20, 33, 47)]
    assert prove_isolation(model, rows, 0) <= rounding(model.dtype)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_packed_and_compiled_training_learns(studio, project, tiny_base, quantization):
    # compile: auto compiles packed rows on a GPU; eager and compiled layers must see the same losses.
    losses = {}
    for compiled in ("off", "auto"):
        settings = ["dtype=bfloat16", "packing=true", "batch_size=2", f"compile={compiled}", f"quantization={quantization}"]
        chosen = [part for setting in settings for part in ("--set", setting)]
        done = studio("train", project.preset, "--data", "doors", "--model", tiny_base, *chosen, "--json")
        assert done.code == 0, done.err
        assert done.json["machine"]["device"] == "cuda"
        result = done.json["result"]
        assert result["final_loss"] < result["first_loss"]
        losses[compiled] = result["final_loss"]
    assert losses["auto"] == pytest.approx(losses["off"], rel=0.02)
