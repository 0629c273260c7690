"""The quickstart's run, shortened, as GGUF, as ONNX and with smaller numbers for vLLM, each proven where people use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.environments import find_python
from studio.core.errors import UserError
from studio.core.extras import available
from studio.core.workspace import Workspace
from studio.exports.chat.vllm.environment import QUANTIZE
from studio.models.chat.runtimes.llama import LLAMA
from studio.models.exported import read_export, read_exports
from studio.models.vllm_environment import find_environment
from tests.conftest import Result, call_studio

pytestmark = [pytest.mark.export, pytest.mark.starter]
RECIPE, PRESET = "chat/construction-faq-en", "chat/quickstart"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with the quickstart's corpus and a run of two steps on the starter."""
    try:
        find_python(QUANTIZE)
        find_python(LLAMA)
        find_environment()
    except UserError as error:
        pytest.skip(f"{error} (make test-export does it)")
    if not available("onnxruntime_genai"):
        pytest.skip("the extra onnx is not installed (make test-export does it)")
    folder = tmp_path_factory.mktemp("quickstart") / "workspace"
    # A third of the rows that are held out: each is read by the run and by three programs.
    assert call_studio("data", "build", RECIPE, "--set", "split.test=16", "--workspace", folder) == 0
    training = ["train", PRESET, "--data", RECIPE.partition("/")[2], "--name", "quickstart", "--workspace", folder]
    assert call_studio(*training, "--set", "max_steps=2", "--set", "eval_every=2") == 0
    return Workspace(folder)


@pytest.mark.parametrize(
    ("form", "quant", "runtime", "divergence", "agreement"),
    [
        ("gguf", "q8_0", "llama.cpp", 0.02, 0.9),
        ("onnx", "float32", "onnxruntime-genai", 1e-6, 1.0),
        ("vllm", "w8a8", "vLLM", 0.15, 0.7),
    ],
)
def test_the_quickstarts_run_answers_elsewhere_as_it_does_here(
    form: str, quant: str, runtime: str, divergence: float, agreement: float, space: Workspace, studio: Callable[..., Result]
) -> None:
    chosen = ["--quant", quant] if quant != "float32" else []
    done = studio("export", "quickstart", "--to", form, *chosen, "--workspace", space.root)
    assert done.code == 0, done.err
    (line,) = [line for line in read_exports(space.find_run("quickstart")) if line.form.startswith(form)]
    record = read_export(Path(line.path))
    assert runtime in record.runtime
    proof = record.proof[runtime if runtime in record.proof else runtime.lower()]
    # The questions, answers and held-out rows of the corpus.
    assert proof["prompts_from"] == "dataset" and proof["positions"] > 1000 and proof["held_out_rows"] == 16
    assert proof["divergence"] < divergence and proof["agreement"] >= agreement
    assert proof["max_logit_difference"] < 1e-3 or quant != "float32"
    low, high = proof["perplexity_change_interval"]
    assert low <= proof["perplexity_change"] <= high
