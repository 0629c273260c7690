"""A merged export is the same model, or it is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from studio.adapters.chat import merge
from studio.adapters.chat.loading import load_run
from studio.adapters.chat.merge import export_merged
from studio.core.errors import StudioError, UserError
from studio.models.bases import resolve_base
from tests.adapters.conftest import CPU, MakeRun

TOKENS = torch.arange(3, 43).reshape(2, 20)


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=TOKENS).logits


@pytest.mark.parametrize(
    "settings", [{}, {"dora": True}, {"init": "pissa"}, {"method": "full"}, {"modules_to_save": ["lm_head"]}], ids=str
)
def test_transformers_alone_loads_the_same_model(settings: dict, make_run: MakeRun, tmp_path: Path):
    folder = make_run(**settings)
    run = load_run(folder, device=CPU)
    result = export_merged(folder, tmp_path / "merged", device=CPU)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert torch.allclose(logits(plain), logits(run.model), atol=1e-3)
    assert result.max_difference <= 1e-3 and result.prompts == 16 and result.prompts_from == "built-in"
    assert result.quantized_difference is None and result.rounding_difference is None
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert tokenizer.chat_template.encode() == (folder / "chat_template.jinja").read_bytes()
    assert (tmp_path / "merged" / "chat_template.jinja").read_bytes() == (folder / "chat_template.jinja").read_bytes()
    # It stops at the token that ended the trained turns, and carries no path of this machine.
    assert plain.generation_config.eos_token_id == tokenizer.eos_token_id
    assert str(tmp_path.parent) not in (tmp_path / "merged" / "config.json").read_text()
    assert resolve_base(str(tmp_path / "merged")).source == "local"


def test_bfloat16_is_proven_before_rounding_and_reports_the_rounding(make_run: MakeRun, tmp_path: Path):
    full = export_merged(make_run(), tmp_path / "full", device=CPU)
    half = export_merged(make_run(), tmp_path / "half", dtype="bfloat16", device=CPU)
    assert half.max_difference <= 1e-3 < half.rounding_difference
    assert half.bytes < 0.8 * full.bytes
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "half").dtype == torch.bfloat16


def test_qlora_merges_into_the_unquantised_base_and_says_how_far_that_is(make_run: MakeRun, tmp_path: Path):
    folder = make_run(quantization="nf4")
    result = export_merged(folder, tmp_path / "merged", device=CPU)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert not hasattr(plain.config, "quantization_config")
    unquantised = load_run(folder, device=CPU, quantization="none")
    assert torch.allclose(logits(plain), logits(unquantised.model), atol=1e-3)
    assert result.max_difference <= 1e-3 < result.quantized_difference
    assert 0 < result.quantized_agreement <= 1


def test_a_merge_that_differs_fails_and_leaves_nothing(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from peft import PeftModel

    def forgets_the_adapter(self):
        return self.unload()

    monkeypatch.setattr(PeftModel, "merge_and_unload", forgets_the_adapter, raising=False)
    before = sorted(tmp_path.iterdir())
    folder = make_run()
    with pytest.raises(StudioError, match=r"the merged model is not the same: a logit differs by .*at most 1e-03"):
        export_merged(folder, tmp_path / "out" / "merged", device=CPU)
    assert list((tmp_path / "out").iterdir()) == [] and before == []


def test_nothing_is_overwritten(make_run: MakeRun, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="exists already and is not overwritten"):
        export_merged(make_run(), tmp_path / "mine", device=CPU)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_prompts_come_from_the_test_split_of_the_dataset(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from studio.data.chat.rows import ChatRow

    folder = make_run()
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "dataset.json").write_text("{}")
    record = json.loads((folder / "run.json").read_text())
    record["dataset"]["path"] = str(dataset)
    (folder / "run.json").write_text(json.dumps(record))
    turns = [{"role": "user", "content": "How wide is a door?"}, {"role": "assistant", "content": "Eighty centimetres."}]
    monkeypatch.setattr(merge, "read_split", lambda *_: [ChatRow("1", turns, "faq", None, {})])
    run = load_run(folder, device=CPU)
    prompts, source = merge.comparison_prompts(run)
    text = run.tokenizer.decode(prompts[0])
    assert "How wide is a door?" in text and text.endswith("<|im_start|>assistant\n")
    assert len(prompts) == 16 and source == "dataset and built-in"


def test_a_flipped_byte_in_an_export_is_refused(make_run: MakeRun, tmp_path: Path):
    export_merged(make_run(), tmp_path / "merged", device=CPU)
    path = tmp_path / "merged" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StudioError, match="is not the file that was written"):
        resolve_base(str(tmp_path / "merged"))
