"""The GPU benchmark of image models on tiny shapes, so that it cannot rot without a GPU; its figures mean nothing here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.soak import taking_turns

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

SMALL = {
    "sdxl": {
        "sample_size": 8, "block_out_channels": (8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4,
        "transformer_layers_per_block": (1, 1, 2), "attention_head_dim": (2, 2, 2), "cross_attention_dim": 32,
        "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 6 * 8 + 16,
    },
    "flux": {
        "in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2,
        "joint_attention_dim": 16, "pooled_projection_dim": 16, "axes_dims_rope": (4, 4, 8),
    },
}  # fmt: skip
TEXT = {"sdxl": {"embeds": (5, 32), "pooled": (16,)}, "flux": {"embeds": (5, 16), "pooled": (16,)}}


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        specification = importlib.util.spec_from_file_location("gpu_images", BENCHMARKS / "gpu_images.py")
        module = importlib.util.module_from_spec(specification)
        patch.setitem(sys.modules, "gpu_images", module)
        specification.loader.exec_module(module)
        yield module


@pytest.mark.parametrize("family", taking_turns(["sdxl", "flux"], {"flux"}))
@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_it_trains_with_the_studios_loop(benchmark, family, quantization):
    real = benchmark.SHAPES[family]
    shape = replace(real, tuned=real.tuned | SMALL[family], vae=real.vae | {"latent_channels": 4}, text=TEXT[family])
    case = benchmark.Case(family, 64, 2, quantization)
    measured = benchmark.measure(case, shape=shape, steps=2, device="cpu", dtype=torch.float32)
    assert len(measured.losses) == benchmark.WARM_UP + 2 and measured.step > 0
    assert f"| {family} |" in benchmark.table([measured], "a card")


def test_the_real_shapes_are_the_real_sizes(benchmark):
    """Parameters as published: 2.57 billion for SDXL's UNet, 11.90 for FLUX.1-dev's transformer."""
    expected = {"sdxl": ("UNet2DConditionModel", 2.567e9), "flux": ("FluxTransformer2DModel", 11.901e9)}
    for family, (name, count) in expected.items():
        network = benchmark.build(f"diffusers:{name}", benchmark.SHAPES[family].tuned, "meta", torch.float32)
        assert sum(value.numel() for value in network.parameters()) == pytest.approx(count, rel=1e-3)


def test_without_a_gpu_it_says_so_and_succeeds():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu_images.py", "--json"], capture_output=True, text=True, check=True, cwd=BENCHMARKS
    )
    assert json.loads(done.stdout) == {"measured": False, "reason": "no CUDA GPU"}


@pytest.mark.gpu
def test_one_real_step_on_a_gpu(benchmark):
    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA GPU")
    measured = benchmark.measure(benchmark.CASES[0], shape=benchmark.SHAPES["sdxl"], steps=1)
    assert all(loss > 0 for loss in measured.losses) and measured.memory > 5e9
