"""Memory is counted from the model's own files: held against torch's own counting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from studio.core.errors import StudioError
from studio.deploy.figures import GIB, figures_of


def test_weights_and_cache_are_torchs(tiny_base: Path):
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    figures = figures_of(tiny_base, dtype="float32", build="cuda", cpu_cache_gib=1, max_model_len=None)
    assert figures.weights == sum(value.numel() for value in model.parameters()) * 4
    with torch.no_grad():
        past = model(input_ids=torch.ones(1, 10, dtype=torch.long), use_cache=True).past_key_values
    held = sum(layer.keys.numel() + layer.values.numel() for layer in past.layers) * 4
    assert figures.per_token * 10 == held and figures.context == model.config.max_position_embeddings
    half = figures_of(tiny_base, dtype="bfloat16", build="cuda", cpu_cache_gib=1, max_model_len=128)
    assert half.weights * 2 == figures.weights and half.per_token * 2 == figures.per_token and half.context == 128
    assert figures.gpu > figures.weights + held and figures.memory_gib >= 1


def test_the_cpu_builds_cache_is_part_of_its_memory(tiny_base: Path):
    small, large = (figures_of(tiny_base, dtype="float32", build="cpu", cpu_cache_gib=gib, max_model_len=None) for gib in (1, 9))
    assert large.memory - small.memory == 8 * GIB


def test_a_folder_that_is_no_model_is_told(tmp_path: Path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(StudioError, match=r"no readable config.json .* Export it again: studio export RUN --to merged"):
        figures_of(tmp_path, dtype="float32", build="cpu", cpu_cache_gib=1, max_model_len=None)
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"n_layer": 2, "n_head": 4, "n_embd": 32}}))
    assert figures_of(tmp_path, dtype="float32", build="cpu", cpu_cache_gib=1, max_model_len=None).per_token == 2 * 2 * 32 * 4
