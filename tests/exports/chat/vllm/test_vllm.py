"""A chat with smaller numbers in vLLM itself, and what is refused before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.environments import find_python
from studio.core.errors import StudioError, UserError
from studio.exports.chat.vllm import making
from studio.exports.chat.vllm.environment import QUANTIZE
from studio.models.exported import read_export, read_exports
from studio.models.vllm_environment import find_environment
from tests.conftest import Project, Result

LLAMA = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9}


@pytest.fixture
def vllm() -> None:
    """Both environments; a test that needs them is skipped where one is not installed."""
    try:
        find_python(QUANTIZE)
        find_environment()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both environments as if they were there, on a machine without a GPU."""
    monkeypatch.setattr(making, "find_python", lambda _wanted: Path("python"))
    monkeypatch.setattr(making, "find_environment", lambda: None)
    monkeypatch.setattr(making, "wanted_build", lambda: "cpu")


@pytest.mark.export
@pytest.mark.long
@pytest.mark.usefixtures("vllm")
@pytest.mark.parametrize("quant", ["w8a8", *(pytest.param(quant, marks=pytest.mark.soak) for quant in ("gptq", "awq"))])
def test_smaller_numbers_are_asked_in_vllm_and_measured_like_a_run(wide: Project, studio: Callable[..., Result], quant: str):
    done = studio("export", "doors", "--to", "vllm", "--quant", quant)
    assert done.code == 0, done.err
    folder = wide.run / "vllm" / quant
    record = read_export(folder)
    proof = record.proof["vllm"]
    assert record.runtime.startswith("vLLM ") and record.versions["llmcompressor"]
    assert 0 < proof["divergence"] < (1e-4 if quant == "w8a8" else 0.05) and proof["greedy_tokens"] > 100
    assert record.extra["calibration_rows"] == (0 if quant == "w8a8" else 30)  # the training rows, and all of them
    config = json.loads((folder / "config.json").read_text())
    assert (
        config["quantization_config"]["quant_method"] == "compressed-tensors"
        and "lm_head" in config["quantization_config"]["ignore"]
    )
    assert not (folder / "work").exists() and [line.quant for line in read_exports(wide.run)] == [quant]
    if quant == "w8a8":
        done = studio("eval", "chatbot", "--model", folder, "--baseline", "doors", "--json")
        assert done.code == 0, done.err
        (report,) = done.json.get("reports", [done.json])
        scores = {label: {item["metric"]: item["value"] for item in items} for label, items in report["scores"].items()}
        assert scores["tuned"]["perplexity"] == pytest.approx(scores["base"]["perplexity"], rel=1e-2)
        assert report["models"]["tuned"]["runtime"].startswith("vLLM")


def test_what_no_gpu_can_prove_is_refused(wide: Project, studio: Callable[..., Result], here: None):
    done = studio("export", "doors", "--to", "vllm", "--quant", "fp8")
    assert done.code == 2 and "--quant fp8 is written only where a GPU can prove it, and this machine has none" in done.err
    assert not (wide.run / "vllm").exists()


def test_heads_that_vllm_does_not_compute_here_are_refused(project: Project, studio: Callable[..., Result], here: None):
    done = studio("export", "doors", "--to", "vllm")
    assert done.code == 2 and "its heads are 16 wide, and vLLM on a CPU computes those of 32, 64, 80" in done.err


def test_what_is_not_installed_is_one_command(
    wide: Project, studio: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv(QUANTIZE.variable, raising=False)
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "empty-cache"))
    done = studio("export", "doors", "--to", "vllm")
    assert done.code == 2 and "needs an environment of its own, which is not installed yet" in done.err
    assert done.err.rstrip().endswith("Install it: studio export --install quantize")


@pytest.mark.parametrize(
    ("config", "group"),
    [(LLAMA, 64), ({**LLAMA, "hidden_size": 1024, "head_dim": 128}, 128), ({**LLAMA, "hidden_size": 96, "head_dim": 32}, 32)],
)
def test_the_largest_group_that_divides_every_row(config: dict[str, Any], group: int):
    assert making.group_of(config, "tiny", "gptq") == group


def test_rows_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match=r"^--quant awq cannot hold tiny: its intermediate_size 100 does not divide into groups"):
        making.group_of({**LLAMA, "intermediate_size": 100}, "tiny", "awq")


def test_calibration_reads_training_rows_only(wide: Project):
    import torch

    from studio.adapters.chat.loading import load_run
    from studio.data.chat.rows import read_split

    run = load_run(wide.run, dtype=torch.float32, quantization="none")
    texts = [run.tokenizer.decode(ids) for ids in making.calibration_rows(run)]
    asked = {
        split: [row.messages[0]["content"] for row in read_split(wide.dataset, split)]
        for split in ("train", "test", "validation")
    }
    assert len(texts) == len(asked["train"]) and all(any(question in text for text in texts) for question in asked["train"])
    assert not any(question in text for text in texts for question in [*asked["test"], *asked["validation"]])


def test_nothing_is_left_of_what_lost_too_much(wide: Project, monkeypatch: pytest.MonkeyPatch, here: None):
    def spoilt(run: Any, work: Path, target: Path, quant: str) -> dict[str, Any]:
        raise StudioError("quantise.py failed (1)")

    monkeypatch.setattr(making, "_quantised", spoilt)
    with pytest.raises(StudioError, match=r"^quantise.py failed"):
        making.export_vllm(wide.run, wide.run / "vllm" / "w8a8", "w8a8")
    assert not list((wide.run / "vllm").glob("*")) and not (wide.run / "exports.json").exists()
    with pytest.raises(StudioError, match=r"^the vllm \(w8a8\) export is not the model that was trained: the Kullback-Leibler"):
        making._limits("vllm (w8a8)", "w8a8", 0.5, 0.99)
    assert making._limits("vllm (awq)", "awq", 0.5, 0.5) == {}
