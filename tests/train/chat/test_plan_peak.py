"""The planned peak against a real pass, for every family: weights, what trains, and all that a pass adds at its fullest."""

from __future__ import annotations

import pytest
import torch

from studio.adapters.chat.attach import attach_lora
from studio.models.bases import ResolvedBase
from studio.models.chat.loading import load_causal_lm
from studio.schema.adapter import ChatAdapter
from studio.train.chat.attention import use_short_attention
from studio.train.chat.lora_layers import fuse_lora
from studio.train.chat.plan_model import build_skeleton
from studio.train.chat.plan_trace import trace_step
from tests.families import build_family
from tests.passes import SHAPE, real_peak
from tests.soak import taking_turns
from tests.support import NAMES

METHODS = {"LoRA": {}, "QLoRA": {"quantization": "nf4"}, "full": {"method": "full"}}
WITHIN = 0.15


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return lambda family: root / family if (root / family).is_dir() else build_family(root / family, family)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", taking_turns(NAMES, {"llama", "gpt2", "qwen3_moe", "mamba2", "gemma3_mm", "phi3"}))
def test_the_planned_peak_is_what_a_pass_takes(folder_of, family, method):
    folder = folder_of(family)
    lora = {"dropout": 0.0, "rank": 4}
    adapter = ChatAdapter.model_validate({"kind": "chat", "model": str(folder), "lora": lora, **METHODS[method]})
    skeleton = build_skeleton(adapter, folder, dtype=torch.float32)
    planned = skeleton.weights + skeleton.trained + trace_step(skeleton.copy(), SHAPE).peak
    model, base = real(adapter, folder)
    assert planned == pytest.approx(held(model) + real_peak(model, base), rel=WITHIN)


def real(adapter, folder):
    """The model as the trainer has it, and the transformers model inside."""
    base = load_causal_lm(
        ResolvedBase(folder.name, folder, None, "", None, "local"),
        dtype=torch.float32, quantization=adapter.quantization, device=torch.device("cpu"),
    )  # fmt: skip
    if adapter.method == "full":
        base.requires_grad_(True)
        use_short_attention(base)
        return base.train(), base
    model = attach_lora(base, adapter.lora, quantized=adapter.quantization != "none", gradient_checkpointing=False)
    fuse_lora(model)
    use_short_attention(model)
    return model.train(), base


def held(model) -> int:
    """Bytes of parameters, buffers and what bitsandbytes keeps beside packed weights."""
    tensors = [*model.parameters(), *model.buffers()]
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        while state is not None:
            tensors += [value for value in (state.absmax, state.code, state.offset) if isinstance(value, torch.Tensor)]
            state = state.state2
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
