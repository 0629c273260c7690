"""A run as GGUF: written, read back, proven, and never left half there. What llama.cpp says is in test_llama.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

from studio.adapters.chat.loading import load_run
from studio.core.errors import StudioError, UserError
from studio.core.workspace import Workspace
from studio.exports.chat.gguf import making, writer
from studio.exports.chat.gguf.making import marks_of
from studio.exports.forms import form_for
from studio.models.exported import read_export, read_exports
from tests.conftest import Project, Result, build_tiny_base, make_project


@pytest.mark.usefixtures("no_llama")
def test_without_llama_cpp_the_weights_are_proven_in_transformers(project: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "gguf", "--quant", "f32")
    assert done.code == 0, done.err
    assert (
        "llama.cpp is not installed, so it did not run the file. Install it and export anew: studio export --install llama"
        in done.out
    )
    folder = project.run / "gguf" / "f32"
    assert sorted(path.name for path in folder.iterdir()) == [
        "Modelfile",
        "README.md",
        "doors-f32.gguf",
        "export.json",
        "tokenizer",
    ]
    record = read_export(folder)
    assert record.runtime.startswith("transformers") and record.limits == {"max_logit_difference": 1e-3}
    assert record.proof["transformers"]["max_logit_difference"] < 1e-5 and record.proof["transformers"]["held_out_rows"] == 6
    assert [(line.form, line.quant) for line in read_exports(project.run)] == [("gguf", "f32")]
    file = gguf.GGUFReader(str(folder / "doors-f32.gguf"))
    said = {name: file.fields[name].contents() for name in file.fields if name.startswith(("tokenizer.ggml.", "tokenizer.chat"))}
    assert said["tokenizer.chat_template"] == (project.run / "chat_template.jinja").read_text()
    assert (said["tokenizer.ggml.eos_token_id"], said["tokenizer.ggml.add_bos_token"], said["tokenizer.ggml.pre"]) == (
        2,
        False,
        "gpt-2",
    )
    again = studio("export", "doors", "--to", "gguf", "--quant", "f32")
    assert again.code == 2 and "exists already and is not overwritten" in again.err


@pytest.mark.usefixtures("no_llama")
def test_fewer_bits_are_measured_and_said(project: Project, studio: Callable[..., Result]):
    done = studio("export", "doors", "--to", "gguf", "--quant", "q4_0", "--out", project.folder / "small")
    assert done.code == 0, done.err
    record = read_export(project.folder / "small")
    assert record.extra["types"] == {"q4_0": 14, "f32": 5, "q8_0": 1} and record.limits == {}
    assert 0 < record.proof["transformers"]["divergence"] < 1e-3
    assert "types of the tensors" in done.out and "q4_0 14, f32 5, q8_0 1" in done.out


def test_a_model_that_the_form_cannot_hold_is_refused_before_work(tmp_path: Path, studio: Callable[..., Result]):
    from tests.families import build_family

    base = build_family(tmp_path / "gpt2", "gpt2")
    folder = make_project(tmp_path / "project", base, "epochs=1")
    space = ["--workspace", folder / "workspace"]
    done = studio("export", "doors", "--to", "gguf", *space)
    assert done.code == 2 and "its architecture 'gpt2' has not been proven" in done.err
    assert not (Workspace.open(folder / "workspace").find_run("doors") / "gguf").exists()


@pytest.mark.usefixtures("no_llama")
def test_what_needs_llama_cpp_says_how_to_get_it(project: Project, studio: Callable[..., Result]):
    for arguments in (["--to", "gguf", "--quant", "q4_k_m"], ["--to", "gguf-lora"]):
        done = studio("export", "doors", *arguments)
        assert done.code == 2 and done.err.endswith("Install it: studio export --install llama\n"), done.err
    done = studio("export", "doors", "--to", "gguf", "--quant", "q8")
    assert "--quant is 'q8'. Did you mean 'q8_0'?" in done.err


def test_a_base_that_is_gone_is_one_sentence(project: Project, tiny_base: Path, studio: Callable[..., Result]):
    record = json.loads((project.run / "run.json").read_text())
    record["base"] |= {"name": "/gone/base", "path": "/gone/base"}
    (project.run / "run.json").write_text(json.dumps(record))
    done = studio("export", "doors", "--to", "gguf")
    assert done.code == 2 and "the base model of the run" in done.err and "cannot be opened" in done.err


@pytest.mark.usefixtures("no_llama")
@pytest.mark.parametrize("error", [KeyboardInterrupt, StudioError("no")])
@pytest.mark.parametrize("place", ["export_merged", "write_gguf", "prove", "finish_export"])
def test_nothing_is_left_of_one_that_was_broken_off(
    project: Project, monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException
):
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(making, place, broken)
    with pytest.raises(type(error) if isinstance(error, Exception) else KeyboardInterrupt):
        making.export_gguf(project.run, project.run / "gguf" / "f32", "f32")
    assert list((project.run / "gguf").iterdir()) == [] and read_exports(project.run) == []


@pytest.mark.usefixtures("no_llama")
def test_a_full_disk_is_one_sentence(project: Project, small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    said = (
        r"small has \d+\.\d kB free, and --to gguf needs about \d\.\d MB there while it works. Make room, or give another place"
    )
    with pytest.raises(StudioError, match=said):
        making.export_gguf(project.run, small_disk / "f32", "f32")
    monkeypatch.setattr(making, "check_room", lambda *_: None)  # another program takes the room meanwhile
    with pytest.raises(StudioError, match="the disk is full"):
        making.export_gguf(project.run, small_disk / "f32", "f32")
    assert list(small_disk.iterdir()) == []


@pytest.mark.usefixtures("no_llama")
def test_other_weights_than_the_run_s_are_never_shipped(project: Project, monkeypatch: pytest.MonkeyPatch):
    def as_they_are(weight: Any, heads: int) -> Any:
        return weight

    monkeypatch.setattr("studio.exports.chat.gguf.architectures.interleave", as_they_are)
    with pytest.raises(
        StudioError, match=r"the gguf \(f32\) export is not the model that was trained: the largest logit difference"
    ):
        making.export_gguf(project.run, project.run / "gguf" / "f32", "f32")
    assert list((project.run / "gguf").iterdir()) == []


def test_a_number_too_large_for_f16_is_told():
    with pytest.raises(StudioError, match=r"^x has a number beyond 65,504, the largest of f16. Take --quant bf16 or f32.$"):
        writer._smaller(torch.full((2, 32), 1e6).numpy(), writer.Type.F16, "x")


def test_rows_that_make_no_blocks_stay_in_16_bits():
    assert writer.type_of("blk.0.attn_q.weight", (8, 48), writer.Type.Q8_0) == writer.Type.F16
    assert writer.type_of("blk.0.attn_norm.weight", (64,), writer.Type.Q8_0) == writer.Type.F32
    assert writer.type_of("token_embd.weight", (384, 64), writer.Type.Q4_0) == writer.Type.Q8_0


def test_the_first_mark_is_left_to_a_program_only_where_both_write_it(project: Project):
    run = load_run(project.run)
    assert not marks_of(run).adds  # the template writes <|im_start|>, the tokenizer by itself does not
    run.tokenizer._tokenizer.post_processor = _with_bos(run.tokenizer)
    assert marks_of(run).adds


def _with_bos(tokenizer: Any) -> Any:
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.bos_token_id)])


def test_a_reward_model_writes_nothing(project: Project):
    config = project.run / "config.yaml"
    config.write_text(config.read_text() + "\nobjective: reward\n")
    with pytest.raises(UserError, match="is a reward model: it scores answers and writes none"):
        making.check(project.run, "f32")


def test_a_tokenizer_without_its_file_is_refused_before_work(tmp_path: Path, project: Project, monkeypatch: pytest.MonkeyPatch):
    build_tiny_base(tmp_path / "other")
    monkeypatch.setattr(making, "read_vocabulary", lambda *_: (_ for _ in ()).throw(UserError("no such tokenizer")))
    with pytest.raises(UserError, match="no such tokenizer"):
        form_for("gguf", project.run).check(project.run, making_wishes())
    assert not (project.run / "gguf").exists()


def making_wishes() -> Any:
    from studio.exports.forms import Wishes

    return Wishes(quant="f32")
