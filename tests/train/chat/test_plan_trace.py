"""The trace without contents against a real pass with contents."""

from __future__ import annotations

import pytest
import torch

from studio.schema.adapter import ChatAdapter
from studio.train.chat.attention import use_short_attention
from studio.train.chat.lora_layers import fuse_lora
from studio.train.chat.plan_model import build_skeleton
from studio.train.chat.plan_trace import trace_step
from tests.passes import SHAPE, real_inputs, real_peak


def preset(tiny_base, **values):
    return ChatAdapter(kind="chat", model=str(tiny_base), **values)


def real_model(adapter, tiny_base):
    from transformers import AutoModelForCausalLM

    from studio.adapters.chat.attach import attach_lora

    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16 if adapter.dtype == "bfloat16" else torch.float32)
    if adapter.method == "full":
        use_short_attention(base)
        return base.train(), base
    model = attach_lora(base, adapter.lora, quantized=False, gradient_checkpointing=adapter.gradient_checkpointing)
    fuse_lora(model)
    use_short_attention(model)
    return model.train(), base


@pytest.mark.parametrize("values", [{}, {"lora": {"rank": 4, "target_modules": "attention"}}, {"method": "full"}])
def test_activations_are_those_that_a_real_pass_saves(tiny_base, values):
    """The storages autograd saves in a real forward pass, weights excepted, are the plan's activations within 2%."""
    adapter = preset(tiny_base, **values)
    traced = trace_step(build_skeleton(adapter, tiny_base, dtype=torch.float32), SHAPE)
    model, base = real_model(adapter, tiny_base)
    inputs = real_inputs()
    weights = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers(), *inputs.values()]}
    saved = {}
    kept = []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = base.model(**inputs, use_cache=False).last_hidden_state
    saved[hidden.untyped_storage().data_ptr()] = hidden.untyped_storage().nbytes()
    assert traced.activations == pytest.approx(sum(saved.values()), rel=0.02)


@pytest.mark.parametrize("values", [{}, {"dtype": "bfloat16"}, {"gradient_checkpointing": True}, {"method": "full"}])
def test_the_peak_is_that_of_a_real_pass_under_the_same_tracker(tiny_base, values):
    """Counting real storages while the trainer's loss is computed gives the traced peak and gradients."""
    adapter = preset(tiny_base, **values)
    half = adapter.dtype == "bfloat16"
    traced = trace_step(build_skeleton(adapter, tiny_base, dtype=torch.bfloat16 if half else torch.float32), SHAPE)
    model, base = real_model(adapter, tiny_base)
    if adapter.gradient_checkpointing:
        model.enable_input_require_grads()
    peak = real_peak(model, base, half=half)
    assert traced.peak == pytest.approx(peak, rel=0.02)
    assert traced.gradients == sum(
        parameter.numel() * 4 for parameter in model.parameters() if parameter.requires_grad and parameter.grad is not None
    )
