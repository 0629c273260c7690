"""Adapters attach where the preset says, train only what it says, and load with plain PEFT on the untouched base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from studio.adapters.chat.attach import attach_lora, lora_config, save_adapter, target_modules
from studio.core.errors import StudioError, UserError
from studio.models.bases import resolve_base
from studio.models.chat.loading import load_causal_lm
from studio.schema.adapter import LoraSettings
from tests.adapters.conftest import CPU, nudge

TOKENS = torch.arange(3, 43).reshape(2, 20)


def base_model(folder: Path, **arguments):
    return load_causal_lm(resolve_base(str(folder)), dtype=torch.float32, device=CPU, **arguments)


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=TOKENS).logits


VARIANTS = {
    "plain": {},
    "rslora": {"rslora": True},
    "dora": {"dora": True},
    "gaussian": {"init": "gaussian"},
    "attention": {"target_modules": "attention"},
    "names": {"target_modules": ["gate_proj", "down_proj"]},
    "head saved whole": {"modules_to_save": ["lm_head"]},
    "pissa": {"init": "pissa"},
    "pissa, rslora": {"init": "pissa", "rslora": True},
    "pissa, random vectors": {"init": "pissa_niter_16"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_plain_peft_gives_the_trained_model_on_the_untouched_base(name: str, tiny_base: Path, tmp_path: Path):
    lora = LoraSettings(rank=4, alpha=8, **VARIANTS[name])
    torch.manual_seed(0)
    model = base_model(tiny_base)
    before = logits(model)
    tuned = attach_lora(model, lora, quantized=False, gradient_checkpointing=False)
    assert torch.allclose(logits(tuned), before, atol=1e-4), "a fresh adapter changes the model"
    nudge(tuned)
    trained = logits(tuned)
    assert (trained - before).abs().max() > 1e-2
    save_adapter(tuned, tmp_path / "adapter", lora)

    # Everything of ours is out of the way here: transformers and peft alone.
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), str(tmp_path / "adapter")).eval()
    assert torch.allclose(logits(plain), trained, atol=1e-4)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["init_lora_weights"] in {True, "gaussian"}
    assert config["r"] == (8 if lora.init.startswith("pissa") else 4)
    assert not (tmp_path / "adapter" / "README.md").exists()


def test_only_the_adapter_trains(tiny_base: Path):
    tuned = attach_lora(base_model(tiny_base), LoraSettings(rank=4), quantized=False, gradient_checkpointing=False)
    names = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
    assert names and all("lora_" in name for name in names)
    # Two matrices on each of 7 linear layers of 2 blocks; the head has none.
    assert len(names) == 2 * 7 * 2


def test_pissa_goes_on_after_an_interruption_with_the_same_base_and_saves_the_same(tiny_base: Path, tmp_path: Path):
    lora = LoraSettings(rank=4, alpha=8, init="pissa_niter_16")
    start = tmp_path / "checkpoints" / "pissa.safetensors"
    torch.manual_seed(1)
    first = attach_lora(base_model(tiny_base), lora, quantized=False, gradient_checkpointing=False, start_values=start)
    residual = {name: value.clone() for name, value in first.state_dict().items() if "base_layer" in name}
    nudge(first)
    save_adapter(first, tmp_path / "first", lora)
    adapter = {name: value.clone() for name, value in first.state_dict().items() if "lora_" in name}

    torch.manual_seed(2)  # other random vectors: without the stored values the base would be split differently
    second = attach_lora(base_model(tiny_base), lora, quantized=False, gradient_checkpointing=False, start_values=start)
    for name, value in second.state_dict().items():
        if "base_layer" in name:
            assert torch.equal(value, residual[name]), name
    second.load_state_dict(adapter, strict=False)
    save_adapter(second, tmp_path / "second", lora)
    assert (tmp_path / "first" / "adapter_model.safetensors").read_bytes() == (
        tmp_path / "second" / "adapter_model.safetensors"
    ).read_bytes()


def test_damaged_pissa_start_values_are_told(tiny_base: Path, tmp_path: Path):
    lora = LoraSettings(rank=4, init="pissa")
    start = tmp_path / "pissa.safetensors"
    attach_lora(base_model(tiny_base), lora, quantized=False, gradient_checkpointing=False, start_values=start)
    start.write_bytes(start.read_bytes()[:100])
    with pytest.raises(StudioError, match="is damaged"):
        attach_lora(base_model(tiny_base), lora, quantized=False, gradient_checkpointing=False, start_values=start)
    other = LoraSettings(rank=2, init="pissa")
    start.unlink()
    attach_lora(base_model(tiny_base), lora, quantized=False, gradient_checkpointing=False, start_values=start)
    with pytest.raises(StudioError, match="do not fit this model and rank"):
        attach_lora(base_model(tiny_base), other, quantized=False, gradient_checkpointing=False, start_values=start)


def test_unknown_layer_names_are_refused_with_the_nearest(tiny_base: Path):
    model = base_model(tiny_base)
    with pytest.raises(UserError, match=r"'qproj'\. Did you mean 'q_proj'\? Allowed: all-linear, attention, or of"):
        lora_config(LoraSettings(target_modules=["qproj"]), model)
    with pytest.raises(UserError, match=r"modules_to_save: no layer of the model is named 'lmhead'\. Did you mean 'lm_head'"):
        lora_config(LoraSettings(modules_to_save=["lmhead"]), model)


def test_attention_means_attention_only_also_where_names_repeat(tiny_base: Path):
    assert target_modules("attention", base_model(tiny_base)) == ["k_proj", "o_proj", "q_proj", "v_proj"]
    gpt2 = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=50))
    # c_proj is a name in the attention and in the MLP.
    assert target_modules("attention", gpt2) == ["attn.c_proj", "c_attn"]
    with pytest.raises(UserError, match="finds no layer"):
        target_modules("attention", torch.nn.Sequential(torch.nn.Linear(2, 2)))


def test_checkpointing_gives_the_same_gradients(tiny_base: Path):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        tuned = attach_lora(base_model(tiny_base), LoraSettings(rank=4), quantized=False, gradient_checkpointing=checkpointing)
        tuned.train()
        tuned(input_ids=TOKENS, labels=TOKENS).loss.backward()
        gradients.append({name: value.grad for name, value in tuned.named_parameters() if value.grad is not None})
        assert tuned.base_model.model.is_gradient_checkpointing is checkpointing
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-6) for name in gradients[0])


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_base_trains_on_this_device(quantization: str, tiny_base: Path):
    model = base_model(tiny_base, quantization=quantization)
    kinds = {type(module).__name__ for name, module in model.named_modules() if name.endswith("q_proj")}
    assert kinds == {"Linear4bit" if quantization == "nf4" else "Linear8bitLt"}
    if quantization == "nf4":
        assert model.model.layers[0].self_attn.q_proj.weight.quant_state.nested, "double quantisation is off"
    tuned = attach_lora(model, LoraSettings(rank=4), quantized=True, gradient_checkpointing=True)
    before = logits(tuned)
    nudge(tuned)
    assert (logits(tuned) - before).abs().max() > 1e-2
    with pytest.raises(UserError, match="cannot be used on a quantised base"):
        attach_lora(model, LoraSettings(init="pissa"), quantized=True, gradient_checkpointing=False)


def test_nf4_gradients_are_those_of_the_dequantised_base_also_after_a_validation(tiny_base: Path):
    from bitsandbytes import functional
    from bitsandbytes.nn import Linear4bit

    lora = LoraSettings(rank=4)
    quantised = base_model(tiny_base, quantization="nf4")
    plain = base_model(tiny_base)
    for name, module in quantised.named_modules():
        if isinstance(module, Linear4bit):
            weight = functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.get_submodule(name).weight.data = weight.float()
    gradients = []
    for model, quantized in ((quantised, True), (plain, False)):
        torch.manual_seed(0)
        tuned = attach_lora(model, lora, quantized=quantized, gradient_checkpointing=False)
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        tuned.eval()
        logits(tuned)  # bitsandbytes repacks weights here on some CPUs, into a layout without gradients
        tuned.train()
        tuned(input_ids=TOKENS, labels=TOKENS).loss.backward()
        gradients.append({name: value.grad for name, value in tuned.named_parameters() if value.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, value in gradients[0].items():
        assert torch.allclose(value, gradients[1][name], atol=1e-5), name


def test_a_failed_save_leaves_the_old_adapter(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lora = LoraSettings(rank=4)
    tuned = attach_lora(base_model(tiny_base), lora, quantized=False, gradient_checkpointing=False)
    save_adapter(tuned, tmp_path / "adapter", lora)
    old = (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()
    nudge(tuned)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tuned, "save_pretrained", full)
        with pytest.raises(StudioError, match="the disk is full"):
            save_adapter(tuned, tmp_path / "adapter", lora)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() == old
    save_adapter(tuned, tmp_path / "adapter", lora)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() != old
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
