"""A language model is loaded as it is, or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.core.errors import StudioError, UserError
from studio.models.bases import resolve_base
from studio.models.chat.loading import load_causal_lm, load_tokenizer, quantization_config

CPU = torch.device("cpu")


def test_a_local_folder_loads(tiny_base: Path):
    base = resolve_base(str(tiny_base))
    model = load_causal_lm(base, dtype=torch.float32, device=CPU)
    assert not model.training and model.dtype == torch.float32
    assert load_tokenizer(base).is_fast


def test_safetensors_beside_pickles_are_used(copy: Path):
    (copy / "pytorch_model.bin").write_bytes(b"not opened")
    load_causal_lm(resolve_base(str(copy)), dtype=torch.float32, device=CPU)


def test_an_architecture_transformers_does_not_carry_is_one_sentence(copy: Path):
    config = copy / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "never-heard-of", "architectures": ["Nobody"]}))
    with pytest.raises(UserError, match="cannot be loaded"):
        load_causal_lm(resolve_base(str(copy)), dtype=torch.float32, device=CPU)


def test_missing_tensors_are_not_filled_with_random_numbers(copy: Path):
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StudioError, match=r"1 tensors are missing .*up_proj"):
        load_causal_lm(resolve_base(str(copy)), dtype=torch.float32, device=CPU)


def test_a_device_without_kernels_for_it_is_not_quantised_on():
    with pytest.raises(UserError, match="needs a CUDA GPU or a CPU"):
        quantization_config("int8", torch.float32, torch.device("mps"))


@pytest.mark.starter
def test_the_starter_answers():
    base = resolve_base("smollm2-135m-instruct")
    tokenizer, model = load_tokenizer(base), load_causal_lm(base, dtype=torch.float32, device=CPU)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt"
    )
    answer = model.generate(**chat, max_new_tokens=12, do_sample=False)[0, chat["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == "The capital of France is Paris.<|im_end|>"
