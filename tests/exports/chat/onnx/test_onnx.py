"""A chat as ONNX, run in onnxruntime-genai, and what is refused before any work."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.core.environments import run_script
from studio.core.errors import StudioError
from studio.core.extras import available
from studio.exports.chat.onnx import making
from studio.models.chat.runtimes.genai import open_onnx
from studio.models.exported import read_export
from tests.conftest import Project, Result
from tests.families import build_family

installed = pytest.mark.skipif(not available("onnxruntime_genai"), reason="the extra onnx is not installed")
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
    "granite": {},
    "smollm3": {},
    "phi3": {"original_max_position_embeddings": 512},
    "gemma2": {"sliding_window": 64},
}


def built(folder: Path, quant: str = "float32") -> Path:
    """A model's folder as the builder writes it."""
    precision, options = making.PRECISIONS[quant]
    target, work = folder.parent / quant, folder.parent / "work"
    work.mkdir()
    question = {
        "source": str(folder),
        "target": str(target),
        "cache": str(work),
        "precision": precision,
        "options": list(options),
    }
    run_script(Path(sys.executable), making.SCRIPT, question, folder=work)
    return target


def test_every_architecture_has_a_case(tmp_path: Path):
    folders = [build_family(tmp_path / family, family) for family in FAMILIES]
    found = {json.loads((folder / "config.json").read_text())["architectures"][0] for folder in folders}
    assert found == set(making.ARCHITECTURES)


@installed
@pytest.mark.export
@pytest.mark.parametrize(
    "family", ["llama", *(pytest.param(name, marks=pytest.mark.soak) for name in FAMILIES if name != "llama")]
)
def test_every_family_has_the_logits_of_transformers(tmp_path: Path, family: str):
    from transformers import AutoModelForCausalLM

    folder = build_family(tmp_path / "base", family, **FAMILIES[family])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(5, 380, (1, 90), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(ids).logits[0].numpy()
    with open_onnx(built(folder)) as runtime:
        whole = ids[0].tolist()
        assert np.abs(runtime.logits(whole, 90, fresh=True) - wanted).max() < 1e-3
        runtime.logits(whole[:50])
        assert np.abs(runtime.logits(whole, 3) - wanted[-3:]).max() < 1e-3  # what was read before is kept


@installed
@pytest.mark.export
def test_a_run_is_proven_and_measured_like_one(wide: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "onnx")
    assert done.code == 0, done.err
    folder = wide.run / "onnx" / "float32"
    record = read_export(folder)
    proof = record.proof["onnxruntime-genai"]
    assert proof["max_logit_difference"] < 1e-4 and proof["greedy_tokens_equal"] == proof["greedy_tokens"] > 100
    assert record.inputs["input_ids"] == {"dtype": "int64", "shape": ["batch_size", "sequence_length"]}
    assert record.outputs["logits"]["dtype"] == "float" and "past_key_values.1.key" in record.inputs
    done = studio("eval", "chatbot", "--model", folder, "--baseline", "doors", "--json")
    assert done.code == 0, done.err
    (report,) = done.json.get("reports", [done.json])
    scores = {label: {item["metric"]: item["value"] for item in items} for label, items in report["scores"].items()}
    assert scores["tuned"]["perplexity"] == pytest.approx(scores["base"]["perplexity"], rel=1e-3)
    done = studio("export", "doors", "--compare", "--json")
    row = next(row for row in done.json["exports"] if row["form"] == "onnx float32")
    assert row["speed"] > 0 and row["peak"] > 1e7 and row["agreement"] == 1.0


@installed
@pytest.mark.export
def test_what_4_bits_lose_is_said(wide: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "onnx", "--quant", "int4")
    assert done.code == 0, done.err
    proof = read_export(wide.run / "onnx" / "int4").proof["onnxruntime-genai"]
    assert proof["divergence"] > 1e-6
    assert ("Note: int4 answers otherwise than the run" in done.out) == (proof["agreement"] < 0.93 or proof["divergence"] > 0.02)


@installed
@pytest.mark.export
def test_what_cannot_be_loaded_is_a_sentence(tmp_path: Path):
    target = built(build_family(tmp_path / "base", "llama"))
    settings = json.loads((target / "genai_config.json").read_text())
    settings["model"]["decoder"]["filename"] = "other.onnx"
    (target / "genai_config.json").write_text(json.dumps(settings))
    with pytest.raises(StudioError, match=r"^onnxruntime-genai cannot load float32: "):
        open_onnx(target)


def test_an_architecture_that_the_builder_lacks_is_refused(
    project: Project, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(making, "need_genai", lambda _feature: None)
    monkeypatch.setattr(making, "require", lambda *_arguments, **_names: None)
    monkeypatch.setattr(making, "ARCHITECTURES", ("Qwen3ForCausalLM",))
    done = studio("export", "doors", "--to", "onnx")
    assert done.code == 2 and "LlamaForCausalLM has not been proven in onnxruntime-genai. Allowed: Qwen3ForCausalLM." in done.err
    assert not (project.run / "onnx").exists()


def test_what_is_not_installed_is_one_command(project: Project, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("studio.models.chat.runtimes.genai.available", lambda _module: False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = studio("export", "doors", "--to", "onnx")
    assert done.code == 2 and done.err.rstrip().endswith("pip install 'finetuning-studio[onnx]'")
