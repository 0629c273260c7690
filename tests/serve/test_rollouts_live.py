"""GRPO with the real vLLM as the writer: what it draws, what the training makes of it, and a kill in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_run
from studio.models.vllm_environment import find_environment
from tests.train.chat.test_grpo import GRPO, prompts, told
from tests.train.chat.test_resume import assert_same, resume
from tests.train.chat.test_run import losses
from tests.train.conftest import PRESET, Trainer, write_dataset

pytestmark = [pytest.mark.serve, pytest.mark.soak]
VLLM = {"grpo.writer": "vllm"}


@pytest.fixture(scope="module")
def rewarded(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Trainer:
    """Trainer over 19 prompts on a base whose heads are as wide as vLLM's CPU build takes them."""
    try:
        find_environment("cpu")
    except UserError as missing:
        pytest.skip(f"{missing} (make test-serve does it)")
    folder = tmp_path_factory.mktemp("rollouts")
    base = folder / "base"
    subprocess.run(["cp", "-r", str(tiny_base), str(base)], check=True)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 32}
    torch.manual_seed(0)
    config = LlamaConfig.from_pretrained(tiny_base, num_key_value_heads=2, **sizes)
    LlamaForCausalLM(config).save_pretrained(base)
    workspace = Workspace.open(folder / "workspace")
    rows = prompts(23)
    write_dataset(workspace, rows[:19], rows[19:])
    preset = folder / "grpo.yaml"
    plain = {**PRESET, "objective": "grpo", "grpo": GRPO, "batch_size": 16, "micro_batch_size": 8}
    preset.write_text(yaml.safe_dump({**plain, "lora": {"rank": 4, "alpha": 8}, "learning_rate": 0.05, "eval_every": 4}))
    return Trainer(workspace, base, preset)


def test_vllm_draws_from_the_model_as_it_is_at_every_step(rewarded: Trainer) -> None:
    folder, record = rewarded.train(max_steps=8, **VLLM)
    # With the adapter of the step before, what was drawn would be far less likely or likelier than vLLM says.
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert max(float(value.abs().max()) for name, value in adapter.items() if "lora_B" in name) > 0.05
    distances = losses(folder, "rollout/writer_distance")
    assert 0 < max(distances.values()) < 1e-3, "float32 here and there, summed in another order"
    assert (folder / "vllm.log").stat().st_size > 0 and not (folder / ".vllm").exists()
    assert record.result["validation_reward"] is not None
    groups = told(folder)
    assert len(groups) == 15 and all(len({answer["text"] for answer in group["answers"]}) > 1 for group in groups[:2])


def test_killed_while_vllm_writes_and_resumed_it_ends_the_same(rewarded: Trainer) -> None:
    settings = {"max_steps": 6, "save_every": 2, "eval_every": 2, "grpo.updates": 2, **VLLM}
    whole, _ = rewarded.train(**settings)
    killed = rewarded.open(**settings)
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom studio.train.chat import run, vllm_writer\n"
        "real = vllm_writer.VllmWriter.write\n"
        "def write(self, *a, **k):\n"
        "    if self._number == 3:\n        os.kill(os.getpid(), signal.SIGKILL)\n    return real(self, *a, **k)\n"
        "vllm_writer.VllmWriter.write = write\n"
        "run.train_run(Path(sys.argv[1]), resume=False, say=print)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(killed)], env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    resume(killed)
    assert read_run(killed).status == "finished"
    assert_same(whole, killed)
    assert (whole / "rollouts.jsonl").read_text() == (killed / "rollouts.jsonl").read_text()


def test_an_engine_that_ends_is_one_sentence(rewarded: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.core.errors import StudioError
    from studio.train.chat import vllm_writer
    from studio.train.chat.run import train_run

    real = vllm_writer._opening
    monkeypatch.setattr(vllm_writer, "_opening", lambda *a, **k: real(*a, **k) | {"max_model_len": 10**9})
    folder = rewarded.open(**VLLM)
    with pytest.raises(StudioError, match=r"^vLLM ended while it was to write answers. All it said is in .*vllm.log; the end:"):
        train_run(folder, resume=False, say=lambda _: None)
    assert read_run(folder).status == "failed"
