"""Where adapters go in today's architectures, and what is said about it."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from studio.adapters.chat.attach import attach_lora
from studio.adapters.chat.layers import coverage, told, unpacked
from studio.core.errors import UserError
from studio.schema.adapter import LoraSettings
from tests.families import build_family


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")

    def load(family):
        folder = root / family if (root / family).is_dir() else build_family(root / family, family)
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    return load


def adapted(model, **lora):
    return attach_lora(model, LoraSettings(rank=4, **lora), quantized=False, gradient_checkpointing=False)


def shares(model):
    return {each.kind: round(each.adapted / each.weights, 2) for each in coverage(model)}


REST = {"embeddings": 0, "output layer": 0, "norms and biases": 0}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("llama", {"attention": 1, "MLP": 1}),
        ("gemma3_mm", {"attention": 1, "MLP": 1, "vision": 0}),
        ("mixtral", {"attention": 1, "experts": 1, "router": 0}),
        ("qwen3_moe", {"attention": 1, "experts": 1, "router": 0}),
        ("deepseek_v3", {"attention": 1, "MLP": 1, "experts": 1, "router": 0}),
        ("gpt_oss", {"attention": 1, "experts": 0, "router": 0}),
        ("modernbert_decoder", {"attention": 1, "MLP": 1}),
    ],
)
def test_all_linear_is_the_language_part_without_routers(model_of, family, expected):
    model = adapted(model_of(family))
    found = shares(model)
    found = {kind: share for kind, share in found.items() if kind not in REST}
    assert found == expected
    assert not any("vision" in name for name, weight in model.named_parameters() if weight.requires_grad)


def test_every_adapter_of_all_linear_gets_a_gradient(model_of):
    for family in ("gemma3_mm", "jamba", "mamba", "mamba2", "deepseek_v3"):
        model = adapted(model_of(family), init="gaussian")
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.data.normal_()
        model.train()
        model(input_ids=torch.arange(3, 15)[None], use_cache=False).logits.float().logsumexp(-1).sum().backward()
        silent = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
        assert not silent, f"{family}: {silent[:3]}"


@pytest.mark.parametrize("setting", [{"dropout": 0.1}, {"dora": True}, {"init": "pissa"}])
def test_what_stacked_experts_cannot_do_is_refused_in_a_sentence(model_of, setting):
    with pytest.raises(UserError, match=r"cannot be used on the experts of mixtral, which are stacked in one tensor"):
        adapted(model_of("mixtral"), **setting)
    adapted(model_of("mixtral"), target_modules="attention", **setting)


def test_half_of_what_experts_keep_in_one_tensor_is_refused(model_of):
    with pytest.raises(UserError, match=r"gate_proj, o_proj leaves out one of gate_proj and up_proj.* Name both or neither"):
        adapted(model_of("deepseek_v3"), target_modules=["o_proj", "gate_proj"])
    assert shares(adapted(model_of("deepseek_v3"), target_modules=["o_proj"]))["experts"] == 0


def test_names_that_would_be_of_no_use_are_refused(model_of, tiny_base):
    with pytest.raises(UserError, match="lm_head is the output layer, which cannot carry an adapter"):
        adapted(model_of("llama"), target_modules=["q_proj", "lm_head"])
    tied = AutoModelForCausalLM.from_pretrained(tiny_base)
    with pytest.raises(UserError, match="embed_tokens shares its weights with the output layer in llama"):
        adapted(tied, target_modules=["q_proj", "embed_tokens"])
    adapted(model_of("llama"), target_modules=["q_proj", "embed_tokens"])
    with pytest.raises(UserError, match="out_proj is never called in mamba2, whose kernels read its weight themselves"):
        adapted(model_of("mamba2"), target_modules=["in_proj", "out_proj"])
    with pytest.raises(UserError, match=r"named 'lmhead'\..*or of down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj"):
        adapted(tied, target_modules=["q_proj", "lmhead"])


def test_layers_that_train_whole_are_told_by_what_they_are(model_of, tiny_base):
    found = shares(adapted(model_of("llama"), modules_to_save=["lm_head"]))
    assert found == {"attention": 1, "MLP": 1, "embeddings": 0, "output layer": 1, "norms and biases": 0}
    tied = AutoModelForCausalLM.from_pretrained(tiny_base)
    found = shares(adapted(tied, modules_to_save=["embed_tokens"]))
    assert found["MLP"] == 1 and "vision" not in found
    assert shares(adapted(model_of("nemotron_h")))["attention"] == 1


def test_it_is_told_in_one_line(model_of):
    covered = coverage(adapted(model_of("mixtral")))
    assert told(covered) == (
        "trains: attention 100%, experts 100%; left as they are: router, embeddings, output layer, norms and biases"
    )
    assert "stacked experts, 73% of the weights" in (unpacked(covered, "nf4") or "")
    assert unpacked(covered, "none") is None
    assert told(coverage(model_of("llama").requires_grad_(True))).startswith("trains: attention 100%, MLP 100%, embeddings 100%")
