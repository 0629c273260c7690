"""The GPU benchmark on a tiny shape, so that it cannot rot where there is no GPU; its figures mean nothing here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        specification = importlib.util.spec_from_file_location("gpu_llama", BENCHMARKS / "gpu_llama.py")
        module = importlib.util.module_from_spec(specification)
        patch.setitem(sys.modules, "gpu_llama", module)
        specification.loader.exec_module(module)
        yield module


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_it_trains_with_the_studios_trainer(benchmark, method):
    shape = benchmark.LLAMA_3_8B | {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    measured = benchmark.measure(method, benchmark.plain_tokenizer(), shape=shape, length=64, sequences=2, steps=4)
    assert len(measured.losses) == benchmark.WARM_UP + 4
    assert measured.losses[-1] < measured.losses[0]
    assert measured.tokens_per_second == pytest.approx(128 / measured.step)
    # 7 linear layers in each of 2 blocks carry rank 16: r * (inputs + outputs), attention with 2 key-value heads of 16.
    adapters = 2 * 16 * ((64 + 64) * 2 + (64 + 32) * 2 + (64 + 128) * 3)
    assert measured.parameters == benchmark.shape_parameters(shape) + adapters


def test_the_shape_is_llama_3_8b(benchmark):
    assert benchmark.shape_parameters(benchmark.LLAMA_3_8B) == 8_030_261_248  # as Meta's checkpoint


def test_the_figure_to_beat_is_counted_as_its_owner_does(benchmark):
    # 12,473 tokens/s are given as 402 TFLOP/s and 40.6% of an H100's peak.
    measured = benchmark.Measured("lora", 8_030_261_248 + 41_943_040, 12_473, 1.0, 0, [])
    assert measured.flops == pytest.approx(402e12, rel=0.01)
    assert measured.flops / benchmark.peak_of("NVIDIA H100 80GB HBM3") == pytest.approx(0.406, abs=0.003)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what it does where there is no GPU")
def test_without_a_gpu_it_says_so_and_succeeds():
    command = [sys.executable, str(BENCHMARKS / "gpu_llama.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"measured": False, "reason": "no CUDA GPU"}
