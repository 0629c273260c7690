"""A chat for OpenVINO, run in openvino-genai, and what is refused before any work."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.core.environments import run_script
from studio.core.errors import StudioError
from studio.core.extras import available
from studio.exports.chat.openvino import making
from studio.models.chat.runtimes.openvino import open_openvino
from studio.models.exported import read_export
from tests.conftest import Project, Result
from tests.families import build_family

installed = pytest.mark.skipif(not available("openvino_genai"), reason="the extra openvino is not installed")
FAMILIES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "granite": {},
    "smollm3": {},
    "phi3": {"original_max_position_embeddings": 512},
}


def built(folder: Path, bits: int = 32) -> Path:
    """A model's folder as transformers' exporter writes it."""
    target = folder.parent / f"bits{bits}"
    target.mkdir()
    run_script(
        Path(sys.executable), making.SCRIPT, {"source": str(folder), "target": str(target), "bits": bits}, folder=folder.parent
    )
    return target


def test_every_architecture_has_a_case(tmp_path: Path):
    folders = [build_family(tmp_path / family, family) for family in FAMILIES]
    found = {json.loads((folder / "config.json").read_text())["architectures"][0] for folder in folders}
    assert found == set(making.ARCHITECTURES)


@installed
@pytest.mark.export
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_the_logits_of_transformers(tmp_path: Path, family: str):
    from transformers import AutoModelForCausalLM

    folder = build_family(tmp_path / "base", family, **FAMILIES[family])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(5, 380, (1, 90), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(ids).logits[0].numpy()
    with open_openvino(built(folder)) as runtime:
        whole = ids[0].tolist()
        assert np.abs(runtime.logits(whole, 90, fresh=True) - wanted).max() < 1e-3
        runtime.logits(whole[:50])
        assert np.abs(runtime.logits(whole, 3) - wanted[-3:]).max() < 1e-3  # what was read before is kept
        assert np.abs(runtime.logits(whole[:20], 3) - wanted[17:20]).max() < 1e-3  # and read anew where it is to go back


@installed
@pytest.mark.export
def test_a_run_is_proven_and_measured_like_one(wide: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "openvino")
    assert done.code == 0, done.err
    folder = wide.run / "openvino" / "float32"
    record = read_export(folder)
    proof = record.proof["openvino-genai"]
    assert proof["max_logit_difference"] < 1e-4 and proof["greedy_tokens_equal"] == proof["greedy_tokens"] > 100
    assert record.inputs["input_ids"] == {"dtype": "i64", "shape": [-1, -1]} and not list(folder.glob("*.safetensors"))
    done = studio("eval", "chatbot", "--model", folder, "--baseline", "doors", "--json")
    assert done.code == 0, done.err
    (report,) = done.json.get("reports", [done.json])
    scores = {label: {item["metric"]: item["value"] for item in items} for label, items in report["scores"].items()}
    assert scores["tuned"]["perplexity"] == pytest.approx(scores["base"]["perplexity"], rel=1e-3)
    done = studio("export", "doors", "--compare", "--json")
    row = next(row for row in done.json["exports"] if row["form"] == "openvino float32")
    assert row["speed"] > 0 and row["peak"] > 1e7 and row["agreement"] == 1.0


@installed
@pytest.mark.export
def test_8_bits_are_held_to_what_8_bits_lose(wide: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "openvino", "--quant", "int8")
    assert done.code == 0, done.err
    record = read_export(wide.run / "openvino" / "int8")
    assert 1e-9 < record.proof["openvino-genai"]["divergence"] <= record.limits["divergence"]


@installed
@pytest.mark.export
def test_what_cannot_be_loaded_is_a_sentence(tmp_path: Path):
    target = built(build_family(tmp_path / "base", "llama"))
    (target / "openvino_model.bin").write_bytes(b"")
    with pytest.raises(StudioError, match=r"^OpenVINO cannot load bits32: "):
        open_openvino(target)


def test_an_architecture_that_is_not_proven_is_refused(
    project: Project, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(making, "need_openvino", lambda *_: None)
    monkeypatch.setattr(making, "ARCHITECTURES", ("Qwen3ForCausalLM",))
    done = studio("export", "doors", "--to", "openvino")
    assert done.code == 2 and "LlamaForCausalLM has not been proven in openvino-genai. Allowed: Qwen3ForCausalLM." in done.err
    assert not (project.run / "openvino").exists()


def test_what_is_not_installed_is_one_command(project: Project, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("studio.models.chat.runtimes.openvino.available", lambda _module: False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    done = studio("export", "doors", "--to", "openvino")
    assert done.code == 2 and done.err.rstrip().endswith("pip install 'finetuning-studio[openvino]'")
