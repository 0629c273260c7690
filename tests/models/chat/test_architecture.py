"""Which architectures can be chat models, and with which attention, told before anything is trained."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, LlavaConfig, T5Config

from studio.core.errors import StudioError, UserError
from studio.evals.chat.likelihood import score_rows
from studio.models.bases import ResolvedBase
from studio.models.chat.architecture import attention_for, refuse_other_kinds, refuse_seeing_ahead
from studio.models.chat.encoding import EncodedRow
from studio.models.chat.generation import Decoding, stream_tokens, write_answers
from studio.models.chat.loading import load_causal_lm, refuse_quantising
from tests.families import FAMILIES, build_family

ENCODERS = ("bert",)


def base_of(folder):
    return ResolvedBase(folder.name, folder, None, "", None, "local")


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return lambda family: root / family if (root / family).is_dir() else build_family(root / family, family)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ENCODERS])
def test_families_that_write_from_left_to_right_are_taken(folder_of, family):
    model = load_causal_lm(base_of(folder_of(family)), dtype=torch.float32)
    refuse_seeing_ahead(model, family)
    assert not model.training


def test_an_encoder_is_refused_by_its_class_and_by_what_it_does(folder_of):
    base = base_of(folder_of("bert"))
    with pytest.raises(UserError, match=r"bert \(bert\) looks at later tokens when it predicts one"):
        load_causal_lm(base, dtype=torch.float32)
    with pytest.raises(UserError, match="looks at later tokens"):
        refuse_seeing_ahead(AutoModelForCausalLM.from_pretrained(base.folder), "bert")
    causal = AutoModelForCausalLM.from_config(BertConfig(**{**vars(AutoConfig.from_pretrained(base.folder)), "is_decoder": True}))
    refuse_seeing_ahead(causal.eval(), "bert as a decoder")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (T5Config(), r"x is an encoder-decoder \(t5\)"),
        (LlavaConfig(), r"x is a model for pictures and text \(llava\) .* text-only model of the same family"),
        (AutoConfig.for_model("qwen2_5_vl"), r"x is a model for pictures and text \(qwen2_5_vl\)"),
        (AutoConfig.for_model("xlnet"), r"x \(xlnet\) looks at later tokens"),
        (AutoConfig.for_model("vit"), r"x is of a kind \(vit\) that does not write text"),
    ],
)
def test_other_kinds_are_called_what_they_are(config, said):
    with pytest.raises(UserError, match=said):
        refuse_other_kinds(config, "x")


def test_soft_capping_is_computed(folder_of):
    folder = folder_of("gemma2")
    model = load_causal_lm(base_of(folder), dtype=torch.float32)
    assert model.config._attn_implementation == "eager"
    for name, parameter in model.named_parameters():  # as large scores as those of a trained model
        if "q_proj" in name or "k_proj" in name:
            parameter.data *= 40
    ids = torch.arange(5, 69)[None]
    with torch.no_grad():
        capped = model(input_ids=ids).logits
        model.set_attn_implementation("sdpa")
        assert float((capped - model(input_ids=ids).logits).abs().max()) > 0.01  # what sdpa leaves out
    with pytest.raises(UserError, match=r"sdpa would leave out the soft-capping .* \(at 50\)"):
        load_causal_lm(base_of(folder), dtype=torch.float32, attention="sdpa")


def test_attention_that_is_not_there_is_named(folder_of):
    config = AutoConfig.from_pretrained(folder_of("gpt_oss"))
    assert attention_for(config, "auto", "x") is None
    with pytest.raises(UserError, match=r"attention: sdpa does not exist for x \(gpt_oss\). Use auto or eager."):
        attention_for(config, "sdpa", "x")


def test_weights_that_the_configuration_does_not_count_are_refused(folder_of, tmp_path):
    folder = shutil.copytree(folder_of("llama"), tmp_path / "short")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    with pytest.raises(StudioError, match=r"layers that its configuration does not count \(9 tensors, such as model.layers.1"):
        load_causal_lm(base_of(folder), dtype=torch.float32)
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    with pytest.raises(StudioError, match="tensors have other shapes than config.json says. Fetch the model again."):
        load_causal_lm(base_of(folder), dtype=torch.float32)
    for packed in ("nf4", "int8"):
        with pytest.raises(StudioError, match=r"6 tensors .* have another shape \(model.layers.0.mlp.gate_proj.weight"):
            load_causal_lm(base_of(folder), dtype=torch.float32, quantization=packed)


def test_a_layer_with_parts_of_its_own_is_no_layer_too_many(folder_of, tmp_path):
    folder = shutil.copytree(folder_of("llama"), tmp_path / "several")
    held = load_file(folder / "model.safetensors")
    more = {name.replace(".1.", ".2."): value.clone() for name, value in held.items() if ".1." in name}
    save_file(
        {**held, **more, "model.layers.2.eh_proj.weight": torch.zeros(2, 2)}, folder / "model.safetensors", {"format": "pt"}
    )
    load_causal_lm(base_of(folder), dtype=torch.float32)


def test_a_base_that_is_packed_already_is_refused(folder_of):
    config = AutoConfig.from_pretrained(folder_of("llama"))
    refuse_quantising(config, "nf4", "x")
    config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    with pytest.raises(UserError, match="packed by bitsandbytes already"):
        refuse_quantising(config, "none", "x")
    config.quantization_config = {"quant_method": "gptq", "bits": 4}
    with pytest.raises(UserError, match="packed by gptq already"):
        refuse_quantising(config, "none", "x")
    config.quantization_config = {"quant_method": "mxfp4"}
    refuse_quantising(config, "none", "x")
    with pytest.raises(UserError, match="packed as mxfp4 already. Use quantization: none"):
        refuse_quantising(config, "nf4", "x")
    with pytest.raises(UserError, match=r"x \(rwkv\) rescales its weights in place"):
        refuse_quantising(AutoConfig.from_pretrained(folder_of("rwkv")), "nf4", "x")


@pytest.mark.parametrize("family", ["mamba", "mamba2", "rwkv", "recurrent_gemma"])
def test_a_model_that_keeps_its_memory_in_a_form_of_its_own_answers_as_transformers_does(family, folder_of):
    model = load_causal_lm(base_of(folder_of(family)), dtype=torch.float32)
    prompts, decoding = [[5, 6, 7], [9, 8, 7, 6, 5]], Decoding(max_new_tokens=6)
    asked = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, "use_cache": False}
    wanted = [
        model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), **asked)[0, len(prompt) :].tolist()
        for prompt in prompts
    ]
    assert [list(stream_tokens(model, prompt, decoding, ends=frozenset(), context=64)) for prompt in prompts] == wanted
    written = write_answers(model, prompts, decoding, ends=frozenset(wanted[1][3:4]), batch_size=2, context=64)
    assert written[0] is not None and written[0].ids == wanted[0][: len(written[0].ids)]
    assert written[1] is not None and written[1].ids == wanted[1][: wanted[1].index(wanted[1][3])] and not written[1].truncated


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"bert"}))
def test_rows_of_several_lengths_come_out_of_a_batch_as_alone(family, folder_of):
    model = load_causal_lm(base_of(folder_of(family)), dtype=torch.float32)
    texts = [list(range(5, 5 + length)) for length in (5, 17, 9)]
    rows = [EncodedRow(ids, [False, False, *[True] * (len(ids) - 2)], [], 1, len(ids)) for ids in texts]
    single = [score_rows(model, [row], batch_size=1)[0].nll for row in rows]
    assert [part.nll for part in score_rows(model, rows, batch_size=3)] == pytest.approx(single, abs=1e-3)
    asked = {"ends": frozenset(), "context": 64}
    written = write_answers(model, texts, Decoding(max_new_tokens=4), batch_size=3, **asked)
    assert written == [write_answers(model, [ids], Decoding(max_new_tokens=4), batch_size=1, **asked)[0] for ids in texts]
