"""What llama.cpp itself makes of an export: the same tokens, the same logits, and a sentence where it crashes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.core.errors import StudioError
from studio.exports.chat.gguf.architectures import ARCHITECTURES, architecture_of
from studio.exports.chat.gguf.vocabulary import read_vocabulary
from studio.exports.chat.gguf.writer import Marks, read_config, write_gguf
from studio.exports.chat.measuring import ODD_TEXT
from studio.models.chat.runtimes.llama import LlamaRuntime
from studio.models.exported import read_export, read_exports
from tests.conftest import Project, Result, tiny_tokenizer, write_base
from tests.families import build_family

pytestmark = [pytest.mark.export, pytest.mark.usefixtures("llama")]
ROPE = {"rope_theta": 10000.0, "factor": 8.0}
LLAMA3 = {**ROPE, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
WINDOWS = {"sliding_window": 16}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama 3": ("llama", {"rope_parameters": LLAMA3}),
    "llama linear": ("llama", {"rope_parameters": {**ROPE, "rope_type": "linear"}}),
    "llama biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("mistral", {}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "gemma2": ("gemma2", {**WINDOWS, "num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2}),
    "gemma3_text": ("gemma3", {**WINDOWS, "num_hidden_layers": 6, "layer_types": ["sliding_attention"] * 5 + ["full_attention"]}),
}


def written(folder: Path) -> Path:
    """A model's folder as GGUF in float32."""
    config = read_config(folder)
    found, target = architecture_of(config, "tiny"), folder / "model.gguf"
    words = read_vocabulary(folder, config["vocab_size"], "tiny")
    write_gguf(folder, target, "f32", found=found, words=words, marks=Marks("", 1, False, (2,), 0, 0), about={"name": "tiny"})
    return target


def test_every_architecture_has_a_case():
    assert {name.partition(" ")[0] for name in CASES} == set(ARCHITECTURES)


@pytest.mark.parametrize("case", CASES)
def test_every_architecture_has_the_logits_of_transformers(tmp_path: Path, case: str):
    from transformers import AutoModelForCausalLM

    family, changes = CASES[case]
    folder = build_family(tmp_path / "base", family, **changes)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:  # norms of one and biases of nothing would hide what is done to them
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(len(name))) * 0.1)
    model.save_pretrained(folder)
    ids = torch.randint(5, 380, (1, 90), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(ids).logits[0].numpy()
    with LlamaRuntime(written(folder), exact=True) as llama:
        whole = llama.logits(ids[0].tolist(), 90, fresh=True)
        assert np.abs(whole - wanted).max() < (1e-3 if not ARCHITECTURES[case.partition(" ")[0]].exact else 1e-5)
        llama.logits(ids[0, :50].tolist())
        assert np.abs(llama.logits(ids[0].tolist(), 3) - wanted[-3:]).max() < 1e-3  # what was read before is kept


def spm_tokenizer() -> Any:
    """A tokenizer as SentencePiece's look in tokenizer.json: pairs, bytes for what is unknown, a blank before words."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    from tests.conftest import TINY_TEXT

    rules = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = rules
    special = ["<unk>", "<|im_start|>", "<|im_end|>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(TINY_TEXT * 4, trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False))
    saved = json.loads(tokenizer.to_str())
    saved["added_tokens"] = saved["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    tokenizer.decoder = decoders.ByteFallback()
    marks = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


@pytest.mark.parametrize("kind", ["bytes", "sentencepiece"])
def test_text_becomes_the_same_tokens(tmp_path: Path, kind: str):
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer() if kind == "bytes" else spm_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 3, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    folder = write_base(tmp_path / "base", LlamaForCausalLM(config), tokenizer)
    with LlamaRuntime(written(folder)) as llama:
        for text in (
            ODD_TEXT,
            "<|im_start|>user\nHow wide must a door be?<|im_end|>\n<|im_start|>assistant\n",
            "a",
            " two  words\n",
        ):
            assert llama.tokens(text) == tokenizer(text, add_special_tokens=False)["input_ids"], text
        assert not llama.adds_bos and 2 in llama.ends()


def test_a_run_is_proven_and_measured_like_one(project: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "gguf", "--quant", "f32")
    assert done.code == 0, done.err
    record = read_export(project.run / "gguf" / "f32")
    assert record.runtime.startswith("llama.cpp b") and record.proof["llama.cpp"]["max_logit_difference"] < 1e-4
    assert record.proof["llama.cpp"]["perplexity"] == pytest.approx(record.proof["llama.cpp"]["perplexity_of_run"], rel=1e-4)
    done = studio("eval", "chatbot", "--model", project.run / "gguf" / "f32", "--baseline", "doors", "--json")
    assert done.code == 0, done.err
    (report,) = done.json.get("reports", [done.json])
    scores = {label: {item["metric"]: item["value"] for item in items} for label, items in report["scores"].items()}
    assert scores["tuned"]["perplexity"] == pytest.approx(scores["base"]["perplexity"], rel=1e-3)
    assert report["models"]["tuned"]["runtime"].startswith("llama.cpp") and report["models"]["tuned"]["kind"] == "export"
    (project.run / "gguf" / "f32" / "doors-f32.gguf").write_bytes(b"other")
    done = studio("eval", "chatbot", "--model", project.run / "gguf" / "f32")
    assert done.code == 2 and "is not the file that was proven. Export anew" in done.err


def test_llama_cpp_makes_the_small_forms(project: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "gguf", "--quant", "q6_k")
    assert done.code == 0, done.err
    types = read_export(project.run / "gguf" / "q6_k").extra["types"]
    assert "q6_k" not in types and types["q8_0"] == 15  # rows of 64 do not divide by 256
    assert "q8_0 15" in done.out


def test_an_adapter_alone_stands_on_a_base_that_others_share(project: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "gguf-lora", "--quant", "f32")
    assert done.code == 0, done.err
    folder = project.run / "gguf-lora" / "f32"
    assert read_export(folder).proof["llama.cpp"]["max_logit_difference"] < 1e-4
    assert (folder / "base-f32.gguf").stat().st_nlink == 2 and (folder / "doors-lora.gguf").stat().st_size < 50_000
    assert (folder / "Modelfile").read_text().startswith("FROM ./base-f32.gguf\nADAPTER ./doors-lora.gguf\nTEMPLATE")
    done = studio("export", "doors", "--to", "gguf-lora", "--quant", "f32", "--out", project.folder / "again")
    assert done.code == 0 and (project.folder / "again" / "base-f32.gguf").stat().st_nlink == 3
    done = studio("export", "doors", "--compare", "--json")
    assert done.code == 0, done.err
    rows = {row["form"]: row for row in done.json["exports"]}
    assert rows["the run itself"]["speed"] > 0 and rows["gguf-lora f32"]["speed"] > 0 and rows["gguf-lora f32"]["peak"] > 1e6
    assert rows["gguf-lora f32"]["agreement"] == 1.0 and len(read_exports(project.run)) == 2


def test_a_crash_of_llama_cpp_is_a_sentence(tmp_path: Path):
    folder = build_family(tmp_path / "base", "llama")
    with LlamaRuntime(written(folder)) as llama:
        os.kill(llama._process._process.pid, signal.SIGSEGV)
        with pytest.raises(
            StudioError, match=r"^llama.cpp was ended by signal 11 while it was asked\. The end of what it said: "
        ):
            llama.logits([5, 6])


def test_what_cannot_be_loaded_is_a_sentence(tmp_path: Path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(StudioError, match=r"^llama.cpp cannot load broken.gguf: "):
        LlamaRuntime(broken)
    with LlamaRuntime(written(build_family(tmp_path / "base", "llama"))) as llama:
        with pytest.raises(StudioError, match=r"^600 tokens are more than the context of 512 holds.$"):
            llama.logits([5] * 600)
        assert llama.logits([5, 6]).shape == (1, 384)  # it goes on
