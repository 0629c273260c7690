"""Mixtures of experts go the whole road: trained, saved, loaded, merged."""

from __future__ import annotations

import json

import pytest
import torch

from studio.adapters.chat.loading import load_run
from studio.adapters.chat.merge import export_merged
from studio.core.errors import UserError
from studio.models.bases import resolve_base
from studio.models.chat.loading import load_causal_lm, load_tokenizer
from studio.train.chat.run import train_run
from tests.conftest import tiny_tokenizer
from tests.families import build_family
from tests.soak import taking_turns

MOE = ["mixtral", "qwen3_moe"]


def answers(model, words):
    """A padded pass with a cache, as answers begin."""
    ids = torch.tensor([[words[0]] * 2 + words[:6], words[:8]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1], [1] * 8])
    past = model(input_ids=ids, attention_mask=mask, use_cache=True).past_key_values
    longer = torch.cat([mask, torch.ones(2, 1, dtype=torch.int64)], dim=1)
    return model(input_ids=ids[:, :1], attention_mask=longer, past_key_values=past, use_cache=True).logits


@pytest.mark.parametrize("family", MOE)
def test_a_fully_tuned_mixture_can_be_asked(trainer, tmp_path, family):
    trainer.base = build_family(tmp_path / family, family, output_router_logits=True, router_aux_loss_coef=0.02)
    run, _ = trainer.train(method="full", max_steps=2)
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["output_router_logits"] is False and config["router_aux_loss_coef"] == 0.02
    assert config["use_cache"] is True
    assert answers(load_run(run).model, list(range(5, 20))).isfinite().all()


@pytest.mark.parametrize("family", taking_turns([*MOE, "jamba", "deepseek_v3"], {MOE[0], "deepseek_v3"}))
def test_an_adapter_on_a_mixture_is_merged_to_the_same_model(trainer, tmp_path, family):
    trainer.base = build_family(tmp_path / family, family)
    run, _ = trainer.train(max_steps=2, **{"lora.dropout": 0})
    assert export_merged(run, tmp_path / "merged").max_difference < 1e-3


def test_a_mixture_without_router_loss_can_be_asked_whatever_its_base_says(tmp_path):
    folder = build_family(tmp_path / "base", "mixtral", output_router_logits=True)
    assert answers(load_causal_lm(resolve_base(str(folder)), dtype=torch.float32), list(range(5, 20))).isfinite().all()


def test_experts_in_sixteen_bits_are_told(trainer, tmp_path):
    trainer.base = build_family(tmp_path / "base", "mixtral")
    run = trainer.open(max_steps=1, quantization="nf4", **{"lora.dropout": 0})
    said = []
    train_run(run, resume=False, say=said.append)
    assert "trains: attention 100%, experts 100%; left as they are: router, embeddings, output layer, norms and biases" in said
    assert any("nf4 packs linear layers only: stacked experts, 73% of the weights" in line for line in said)


def test_more_tokens_than_embeddings_are_refused(trainer, tmp_path):
    trainer.base = build_family(tmp_path / "base", "llama")
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<|new_pad|>"})
    tokenizer.save_pretrained(trainer.base)
    assert load_tokenizer(resolve_base(str(trainer.base))).pad_token_id == 384
    with pytest.raises(UserError, match=r"gives token 384 \('<\|new_pad\|>'\), and the model's embeddings have only 384 rows"):
        trainer.train(max_steps=1)
