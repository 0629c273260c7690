"""The real server with an embedding run and a reranker: proven at the start, asked as clients ask. ``make test-serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import UserError
from studio.models.vllm_environment import find_environment
from tests.conftest import call_studio
from tests.retrieval import PAIRS, build_questions, build_tiny_encoder, train_arguments
from tests.serve.live import begin

pytest.importorskip("sentence_transformers", reason="extra embed")
pytestmark = [pytest.mark.serve, pytest.mark.soak]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run of each kind, of an encoder whose heads are as wide as vLLM's CPU build takes them."""
    try:
        find_environment("cpu")
    except UserError as missing:
        pytest.skip(f"{missing} (make test-serve does it)")
    folder = tmp_path_factory.mktemp("pooled")
    encoder = build_tiny_encoder(folder / "encoder", width=128)
    build_questions(folder, "liked", PAIRS)
    cut = ["matryoshka=[128,64]"]
    assert call_studio(*train_arguments(folder, "embed/matryoshka", "liked", encoder, *cut), "--name", "vectors") == 0
    assert call_studio(*train_arguments(folder, "embed/reranker", "liked", encoder), "--name", "scores") == 0
    return folder / "workspace"


def asked(space: Path, folder: Path, run: str, route: str, body: dict[str, Any]) -> tuple[Any, str]:
    """What a client gets of a server that is started for it, and what the proof said."""
    live = begin(folder, space, run, "--set", "build=cpu", "--set", "max_model_len=null", "--set", "vllm.enforce_eager=true")
    try:
        live.wait()
        status, answer = live.client.post(route, {"model": run, **body})
        assert status == 200, answer
        assert live.client.post("/v1/chat/completions", {"model": run, "messages": []})[0] == 404
        return answer, live.err.read_text()
    finally:
        live.end()


def test_vectors_are_those_of_the_run(space: Path, tmp_path: Path) -> None:
    answer, told = asked(space, tmp_path, "vectors", "/v1/embeddings", {"input": ["How wide?", "word " * 500], "dimensions": 64})
    assert [len(entry["embedding"]) for entry in answer["data"]] == [64, 64]
    assert "parity vectors: " in told and " vectors as sentence-transformers'" in told


def test_scores_are_those_of_the_run(space: Path, tmp_path: Path) -> None:
    body = {"query": "How wide must the door of the hall be?", "documents": ["A hall door has 40 cm.", "No."], "top_n": 1}
    answer, told = asked(space, tmp_path, "scores", "/v1/rerank", body)
    assert len(answer["results"]) == 1 and 0 <= answer["results"][0]["relevance_score"] <= 1
    assert " scores as sentence-transformers'" in told
