"""A project whose heads are as wide as vLLM's CPU build computes them; other programs take it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Project, make_project, own_project, tiny_tokenizer, write_base


@pytest.fixture(scope="session")
def wide_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that tests copy: two heads of 32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder, words = tmp_path_factory.mktemp("wide"), tiny_tokenizer()
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 32}
    marks = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    config = LlamaConfig(
        vocab_size=len(words), num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, **sizes, **marks
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = write_base(folder / "base", LlamaForCausalLM(config), words)
    return make_project(folder / "project", base)


@pytest.fixture
def wide(wide_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of the test's own; its workspace is the one that commands use."""
    return own_project(wide_made, tmp_path / "project", monkeypatch)
