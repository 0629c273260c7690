"""Adapters by name, start values from rows: planned and resumed exactly, merged equal, loaded by plain PEFT, as a LoRA."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from studio.adapters.chat.as_lora import RESIDUALS, export_lora
from studio.adapters.chat.data_driven import Sample
from studio.adapters.chat.layers import coverage
from studio.adapters.chat.loading import load_run
from studio.adapters.chat.merge import export_merged
from studio.adapters.chat.methods import adapter_config, attach_adapter
from studio.adapters.chat.vllm import serving_notes, stock_vllm_verdict
from studio.core.errors import UserError
from studio.models.bases import ResolvedBase
from studio.models.chat.encoding import EncodedRow
from studio.models.chat.loading import load_causal_lm
from studio.schema.adapter import ChatAdapter
from studio.train.chat.attention import use_short_attention
from studio.train.chat.lora_layers import fuse_lora
from studio.train.chat.plan_model import build_skeleton
from studio.train.chat.plan_trace import trace_step
from studio.train.chat.run import train_run
from tests.conftest import write_base
from tests.passes import SHAPE, real_peak
from tests.soak import taking_turns
from tests.train.chat.test_plan_peak import held
from tests.train.chat.test_run import losses

CPU = torch.device("cpu")
PLAIN = {"lora.rank": 16, "lora.alpha": 32, "lora.dropout": 0.0}  # what a preset of another adapter leaves alone
KINDS = {
    "oft": {"method": "oft", "oft": {"block_size": 16, "dropout": 0.1}, "learning_rate": 0.05},
    "loha": {"method": "loha", "loha": {"rank": 3, "dropout": 0.1}},
    "lokr": {"method": "lokr", "lokr": {"rank": 2, "factor": 4, "dropout": 0.1}},
    "vera": {"method": "vera", "vera": {"rank": 16, "dropout": 0.1}, "learning_rate": 0.05},
    "dora": {"lora": {"rank": 4, "dora": True}},
    "eva": {"lora": {"rank": 4, "init": "eva", "init_rows": 20, "dropout": 0.1}},
    "corda": {"lora": {"rank": 4, "init": "corda", "init_rows": 20, "dropout": 0.1}},
}
# Numbers that train in two layers of width 64, 32 for k and v, 128 inside; (outputs, inputs) of q, k, v, o, gate, up, down.
SHAPES = 2 * [(64, 64), (32, 64), (32, 64), (64, 64), (128, 64), (128, 64), (64, 128)]
TRAINED = {
    "oft": sum(i // 16 * (16 * 15 // 2) for _, i in SHAPES),
    "loha": sum(2 * 3 * (o + i) for o, i in SHAPES),
    "vera": sum(o + 16 for o, _ in SHAPES),
    "dora": sum(4 * (o + i) + o for o, i in SHAPES),
    "eva": sum(4 * (o + i) for o, i in SHAPES),
    "corda": sum(4 * (o + i) for o, i in SHAPES),
}


def flat(settings: dict) -> dict:
    """A preset's settings as ``--set`` takes them."""
    found = {} if "lora" in settings else dict(PLAIN)
    for key, value in settings.items():
        found |= {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
    return found


def preset(base, **settings) -> ChatAdapter:
    return ChatAdapter.model_validate({"kind": "chat", "model": str(base), "dtype": "float32", **settings})


@pytest.mark.parametrize("kind", taking_turns(KINDS, {"dora", "oft"}))
def test_the_whole_road(trainer, tiny_base, tmp_path, kind):
    settings = flat(KINDS[kind]) | {"eval_every": 4, "keep_checkpoints": 10, "epochs": 2}
    folder, _record = trainer.train(**settings)
    validation = losses(folder, "eval_loss")
    assert validation[12] < validation[4], "it learns"
    adapter = preset(tiny_base, **KINDS[kind])
    held = load_file(folder / "checkpoints" / "checkpoint-4" / "adapter_model.safetensors")
    skeleton = build_skeleton(adapter, tiny_base, dtype=torch.float32)
    trained = {key: value for key, value in held.items() if not key.endswith((".vera_A", ".vera_B"))}
    assert (
        skeleton.trained_parameters
        == sum(value.numel() for value in trained.values())
        == TRAINED.get(kind, skeleton.trained_parameters)
    )
    assert {each.kind for each in coverage(skeleton.model) if each.adapted} == {"attention", "MLP"}

    # Resumed, it is the same training: CorDA's start values and VeRA's random matrices too.
    again = trainer.open(**settings)
    for part in ("run.json", "metrics.jsonl", "chat_template.jinja"):
        shutil.copy(folder / part, again / part)
    shutil.copytree(folder / "checkpoints" / "checkpoint-4", again / "checkpoints" / "checkpoint-4")
    for start in (folder / "checkpoints").glob("*_start.safetensors"):
        shutil.copy(start, again / "checkpoints")
    train_run(again, resume=True, say=lambda text: None)
    one, two = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (folder, again))
    assert losses(again) == losses(folder)
    assert one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())

    # Merged it is equal (the export proves it), and PEFT alone loads the folder on the untouched base.
    assert export_merged(folder, tmp_path / "merged", device=CPU).max_difference < 1e-3
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), folder / "adapter").eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    tokens = torch.arange(3, 43)[None]
    with torch.inference_mode():
        assert torch.allclose(plain(tokens).logits, merged(tokens).logits, atol=1e-4)

    if kind in {"eva", "corda"}:
        with pytest.raises(UserError, match="is a plain LoRA already"):
            export_lora(folder, tmp_path / "lora", device=CPU)
        return
    result = export_lora(folder, tmp_path / "lora", rank=32, device=CPU)
    cut = export_lora(folder, tmp_path / "cut", rank=1, device=CPU)
    assert result.kind == kind and result.residual < cut.residual < 1 and result.max_difference < cut.max_difference
    assert result.rows == 8 and result.perplexity == pytest.approx(result.perplexity_before, rel=0.05)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), tmp_path / "lora").eval()
    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and not config["use_dora"] and config["r"] == 32 and config["init_lora_weights"] is True
    assert not [name for name in load_file(tmp_path / "lora" / "adapter_model.safetensors") if "lora_" not in name]
    with torch.inference_mode():
        assert float((loaded(tokens).logits - plain(tokens).logits).abs().max()) <= 4 * result.max_difference + 1e-4
    assert len(json.loads((tmp_path / "lora" / RESIDUALS).read_text())["layers"]) == 14


def test_the_residual_is_that_of_the_difference_of_weights(trainer, tmp_path, tiny_base):
    """Against numpy's own decomposition of what merging changes."""
    folder, _ = trainer.train(**flat(KINDS["dora"]) | {"epochs": 1})
    result = export_lora(folder, tmp_path / "lora", rank=5, device=CPU)
    base, run = AutoModelForCausalLM.from_pretrained(tiny_base), load_run(folder, dtype=torch.float32, device=CPU)
    merged = run.model.merge_and_unload()
    for each in result.layers:
        delta = merged.get_submodule(each.layer).weight.double() - base.get_submodule(each.layer).weight.double()
        values = torch.linalg.svdvals(delta)
        expected = float(values[5:].norm() / values.norm())
        assert each.residual == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert export_lora(folder, tmp_path / "whole", rank=64, device=CPU).max_difference < 1e-4, "k and v have 32 outputs"
    with pytest.raises(UserError, match="allow 1 to 64"):
        export_lora(folder, tmp_path / "more", rank=65, device=CPU)
    chosen = export_lora(folder, tmp_path / "chosen", device=CPU)
    assert chosen.rank in {8, 16, 32, 64} and chosen.residual**2 <= 0.01


@pytest.mark.parametrize("method", ["oft", "vera", "eva"])
def test_a_quantised_base_works(tiny_base, method):
    adapter = preset(
        tiny_base, quantization="nf4", **{key: value for key, value in KINDS[method].items() if key != "learning_rate"}
    )
    base = load_causal_lm(
        ResolvedBase("tiny", tiny_base, None, "", None, "local"), dtype=torch.float32, quantization="nf4", device=CPU
    )
    row = EncodedRow(list(range(3, 40)), [False] * 5 + [True] * 32, [36], 1, 37)
    model = attach_adapter(base, adapter, sample=Sample([row] * 4))
    tokens = torch.arange(3, 43)[None]
    model(tokens, labels=tokens).loss.backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert (
        sum(parameter.numel() for parameter in trained)
        == build_skeleton(adapter, tiny_base, dtype=torch.float32).trained_parameters
    )
    assert all(parameter.grad is not None for parameter in trained)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "oft", "lora": {"rank": 4}}, "'lora' has no meaning with 'method: oft'"),
        ({"oft": {"block_size": 8}}, "'oft' has no meaning with 'method: lora'"),
        ({"method": "loha", "quantization": "nf4"}, "cannot be used on a base in nf4"),
        ({"method": "vera", "loraplus_ratio": 4}, "needs 'method: lora'"),
        ({"lora": {"init": "corda"}, "quantization": "nf4"}, "splits the base's weights"),
        ({"lora": {"init": "corda", "dora": True}}, "Choose one"),
    ],
)
def test_what_cannot_go_together_is_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ValidationError, match=sentence):
        ChatAdapter.model_validate({"kind": "chat", **settings})


def test_blocks_that_do_not_fit_and_stacked_experts_are_refused(tiny_base, tmp_path):
    with pytest.raises(UserError, match=r"oft\.block_size 48 does not divide the 64 inputs of q_proj"):
        build_skeleton(preset(tiny_base, method="oft", oft={"block_size": 48}), tiny_base, dtype=torch.float32)
    from transformers import MixtralConfig, MixtralForCausalLM

    from tests.conftest import tiny_tokenizer

    config = MixtralConfig(vocab_size=384, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                           num_key_value_heads=2, num_local_experts=2, num_experts_per_tok=1)  # fmt: skip
    folder = write_base(tmp_path / "moe", MixtralForCausalLM(config), tiny_tokenizer())
    model = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(UserError, match=r"stacked in one tensor. Set vera\.target_modules=attention"):
        adapter_config(preset(folder, method="vera"), model)
    assert adapter_config(preset(folder, method="vera", vera={"target_modules": "attention"}), model).target_modules


def test_eva_asks_for_enough_tokens(trainer):
    with pytest.raises(UserError, match=r"lora\.init: eva needs 4000 trained tokens for rank 1000"):
        trainer.train(**{"lora.init": "eva", "lora.init_rows": 2, "lora.rank": 1000})


def test_vllm_is_told_to_take_the_lora(tiny_base):
    reasons = stock_vllm_verdict(preset(tiny_base, method="oft"))
    assert len(reasons) == 1 and "vLLM loads LoRA only" in reasons[0] and "--to lora" in reasons[0]
    assert serving_notes(preset(tiny_base, method="oft")) and stock_vllm_verdict(preset(tiny_base, lora={"init": "eva"})) == []
    assert "rank 32" in serving_notes(preset(tiny_base, lora={"init": "corda"}))[0]


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("kind", ["oft", "loha", "lokr", "vera"])
def test_the_planned_peak_is_what_a_pass_takes(tiny_base, kind, quantization):
    if quantization == "nf4" and kind in {"loha", "lokr"}:
        pytest.skip("refused")
    block = {name: value for name, value in KINDS[kind][kind].items() if name != "dropout"}
    adapter = preset(tiny_base, method=kind, quantization=quantization, **{kind: block})
    skeleton = build_skeleton(adapter, tiny_base, dtype=torch.float32)
    planned = skeleton.weights + skeleton.trained + trace_step(skeleton.copy(), SHAPE).peak
    base = load_causal_lm(
        ResolvedBase("tiny", tiny_base, None, "", None, "local"), dtype=torch.float32, quantization=quantization, device=CPU
    )
    model = attach_adapter(base, adapter)
    fuse_lora(model)
    use_short_attention(model)
    assert planned == pytest.approx(held(model) + real_peak(model.train(), base), rel=0.15)


def test_corda_finds_the_layers_of_gpt2_too():
    """GPT-2's layers keep their weights the other way round."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=384, n_positions=64, n_embd=32, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=2)
    model = GPT2LMHeadModel(config).eval()
    tokens = torch.arange(3, 40)[None]
    before = model(tokens).logits.detach()
    row = EncodedRow(tokens[0].tolist(), [True] * 37, [36], 1, 37)
    adapter = ChatAdapter.model_validate({"kind": "chat", "lora": {"init": "corda", "rank": 2}})
    tuned = attach_adapter(model, adapter, sample=Sample([row] * 3)).eval()
    assert torch.allclose(tuned(tokens).logits, before, atol=1e-4), "the start is the base"
    with tuned.disable_adapter():
        assert not torch.allclose(tuned(tokens).logits, before, atol=1e-4), "a part of it has moved into the adapter"
