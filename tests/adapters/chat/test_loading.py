"""A run opens as it was left, gives its base back untouched, and refuses what changed since."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from studio.adapters.chat.loading import load_run
from studio.core.errors import StudioError, UserError
from studio.models.bases import resolve_base
from studio.models.chat.loading import load_causal_lm
from tests.adapters.conftest import CPU, MakeRun
from tests.conftest import build_tiny_base

TOKENS = torch.arange(3, 43).reshape(2, 20)


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=TOKENS).logits


def flip_byte(path: Path) -> None:
    """Change the last byte and put the modification time back, as a failing disk would leave it."""
    import os

    times = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(
    "settings", [{}, {"method": "full"}, {"bias": "all"}, {"modules_to_save": ["lm_head"]}, {"init": "pissa"}], ids=str
)
def test_the_base_of_a_run_is_the_base(settings: dict, make_run: MakeRun, tiny_base: Path):
    run = load_run(make_run(**settings), device=CPU)
    base = load_causal_lm(resolve_base(str(tiny_base)), dtype=torch.float32, device=CPU)
    tuned = logits(run.model)
    assert (tuned - logits(base)).abs().max() > 1e-2
    with run.base() as model:
        assert torch.equal(logits(model), logits(base))
    assert torch.equal(logits(run.model), tuned)


def test_template_and_tokenizer_come_from_the_run(make_run: MakeRun):
    folder = make_run()
    run = load_run(folder, device=CPU)
    assert run.template.text.encode() == (folder / "chat_template.jinja").read_bytes()
    assert run.tokenizer.chat_template == run.template.text
    assert (folder / "adapter" / "tokenizer.json").is_file()


def test_quantisation_and_number_type_are_those_of_the_training_unless_asked_otherwise(make_run: MakeRun):
    folder = make_run(quantization="nf4")
    assert load_run(folder, device=CPU).model.config.quantization_config.load_in_4bit
    plain = load_run(folder, device=CPU, quantization="none", dtype=torch.bfloat16)
    assert getattr(plain.model.config, "quantization_config", None) is None
    assert plain.model.get_input_embeddings().weight.dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["adapter/adapter_model.safetensors", "adapter/adapter_config.json", "chat_template.jinja"])
def test_a_flipped_byte_is_refused(name: str, make_run: MakeRun):
    folder = make_run()
    flip_byte(folder / name)
    with pytest.raises(StudioError, match=r"is not the file that was written: its sha256 is .*expected"):
        load_run(folder, device=CPU)


def test_a_flipped_byte_in_a_fully_tuned_model_is_refused(make_run: MakeRun):
    folder = make_run(method="full")
    flip_byte(folder / "model" / "model.safetensors")
    with pytest.raises(StudioError, match="is not the file that was written"):
        load_run(folder, device=CPU)
    with pytest.raises(StudioError, match="is not the file that was written"):
        resolve_base(str(folder))


def test_a_base_that_changed_is_refused(make_run: MakeRun, tmp_path: Path):
    folder = make_run()
    record = json.loads((folder / "run.json").read_text())
    record["base"]["path"] = str(build_tiny_base(tmp_path / "other", seed=1))
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(StudioError, match="is not the one the run abc123 was trained on"):
        load_run(folder, device=CPU)


def test_a_run_without_an_adapter_says_how_to_go_on(make_run: MakeRun):
    import shutil

    folder = make_run()
    shutil.rmtree(folder / "adapter")
    with pytest.raises(UserError, match=r"has no adapter/ yet .*studio train --resume"):
        load_run(folder, device=CPU)


def test_pickled_adapters_are_never_opened(make_run: MakeRun):
    folder = make_run()
    weights = folder / "adapter" / "adapter_model.safetensors"
    weights.rename(weights.with_name("adapter_model.bin"))
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"files": {}}))
    with pytest.raises(UserError, match="are pickles and are never loaded"):
        load_run(folder, device=CPU)


def test_a_run_is_no_base_but_a_fully_tuned_one_is(make_run: MakeRun):
    with pytest.raises(UserError, match="is a run with an adapter"):
        resolve_base(str(make_run()))
    full = make_run(method="full")
    assert resolve_base(str(full)).folder == full / "model"
