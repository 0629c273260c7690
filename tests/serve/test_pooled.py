"""A server of vectors or scores: which routes it has, what a request may hold, and what the proof at the start refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.core.errors import GateNotMetError
from studio.core.files import write_json
from studio.serve.command import pooling_arguments
from studio.serve.limits import CHAT, COMPLETIONS, RESPONSES
from studio.serve.pooled import EMBEDDINGS, RERANK, SCORE
from studio.serve.vectors import check_vectors
from tests.serve.conftest import LIMITS, Gate, MakeGate

VECTORS = {"model": "one", "input": ["How wide?", "80 cm."]}
RANKED = {"model": "one", "query": "How wide?", "documents": ["80 cm.", "Two."]}
SCORED = {"model": "one", "text_1": "How wide?", "text_2": ["80 cm.", "Two."]}


def opened(make_gate: MakeGate, kind: str, read: int | None = 64) -> Gate:
    gate = make_gate(pooled=kind, limits={**LIMITS, "texts": 4})
    models = {"one": {"kind": kind, "run": "one/1", "path": "/runs/one", "read": read}}
    write_json(gate.folder / "models.json", {"format": 1, "models": models})
    return gate.open()


def test_only_the_routes_of_what_is_served_exist(make_gate: MakeGate) -> None:
    every = {EMBEDDINGS: VECTORS, RERANK: RANKED, SCORE: SCORED, CHAT: {}, COMPLETIONS: {}, RESPONSES: {}}
    for kind, routes in (("embedding", {EMBEDDINGS}), ("reranker", {RERANK, SCORE})):
        gate = opened(make_gate, kind)
        assert {route for route, body in every.items() if gate.call("POST", route, body).status == 200} == routes
        others = [
            "/pooling",
            "/classify",
            "/v2/embed",
            "/v2/rerank",
            "/score",
            "/rerank",
            "/v1/embeddings/",
            "/v1/load_lora_adapter",
        ]
        assert {gate.call("POST", path, {"model": "one"}).status for path in others} == {404}
        assert gate.call("GET", "/v1/models").status == 200
        assert {gate.call("POST", route, body, key=None).status for route, body in every.items()} == {401}


def test_a_chat_server_gives_no_vectors(gate: Gate) -> None:
    assert {gate.call("POST", route, VECTORS).status for route in (EMBEDDINGS, RERANK, SCORE)} == {404}


def test_a_request_is_passed_on_with_the_length_of_the_training(make_gate: MakeGate) -> None:
    gate = opened(make_gate, "embedding")
    reply = gate.call("POST", EMBEDDINGS, VECTORS | {"encoding_format": "float", "dimensions": 8, "metadata": {}})
    assert reply.status == 200 and reply.headers["x-request-id"].startswith("embd-")
    assert gate.engine.seen[-1]["body"] == VECTORS | {"encoding_format": "float", "dimensions": 8, "truncate_prompt_tokens": 64}


@pytest.mark.parametrize(
    ("route", "change", "code"),
    [
        (EMBEDDINGS, {"input": []}, "not_text"),
        (EMBEDDINGS, {"input": [1, 2]}, "not_text"),
        (EMBEDDINGS, {"input": ["a", ""]}, "not_text"),
        (EMBEDDINGS, {"input": ["a"] * 5}, "limit_exceeded"),
        (EMBEDDINGS, {"messages": [{"role": "user", "content": "a"}]}, "unknown_field"),
        (EMBEDDINGS, {"truncate_prompt_tokens": 9999}, "unknown_field"),
        (EMBEDDINGS, {"model": "two"}, None),
        (EMBEDDINGS, {"model": "/etc"}, "model_not_found"),
        (RERANK, {"documents": [{"content": [{"type": "image_url", "image_url": {"url": "http://inside"}}]}]}, "not_text"),
        (RERANK, {"query": ["a", "b"]}, "not_text"),
        (RERANK, {"documents": ["a"] * 4}, "limit_exceeded"),
        (RERANK, {"chat_template_kwargs": {}}, "unknown_field"),
        (RERANK, {"top_n": 5}, "limit_exceeded"),
        (SCORE, {"queries": "again"}, "invalid_value"),
    ],
)
def test_what_a_request_may_not_hold(make_gate: MakeGate, route: str, change: dict[str, Any], code: str | None) -> None:
    gate = opened(make_gate, "embedding" if route == EMBEDDINGS else "reranker")
    body = {EMBEDDINGS: VECTORS, RERANK: RANKED, SCORE: SCORED}[route] | change
    reply = gate.call("POST", route, body)
    assert (reply.code if reply.status != 200 else None) == code
    assert not gate.engine.seen or code is None


def test_limits_of_a_key_hold(make_gate: MakeGate) -> None:
    gate = opened(make_gate, "embedding")
    statuses = [gate.call("POST", EMBEDDINGS, VECTORS).status for _ in range(LIMITS["requests_per_minute"] + 1)]
    assert statuses[-1] == 429 and set(statuses[:-1]) == {200}


class Served:
    """A server that answers with given vectors or scores, in any order."""

    def __init__(self, **entries: list[Any]) -> None:
        [(name, values)] = entries.items()
        self.data = [{"index": place, name: value} for place, value in reversed(list(enumerate(values)))]

    def must(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"data": self.data}


def test_other_vectors_or_scores_are_refused() -> None:
    rows = [{"text": "a", "vector": [1.0, 0.0]}, {"text": "b", "vector": [0.0, 1.0]}]
    reference = {"kind": "embedding", "dtype": "float32", "run": "one/1", "rows": rows}
    close: Any = Served(embedding=[[1.0, 0.01], [0.0, 2.0]])
    assert check_vectors(close, "one", reference).apart == pytest.approx(5e-5, rel=0.01)
    for vectors in ([[1.0, 0.1], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]], [[1.0], [1.0]], [[0.0, 0.0], [0.0, 1.0]]):
        with pytest.raises(GateNotMetError, match="does not give the vectors of the run one/1"):
            check_vectors(Served(embedding=vectors), "one", reference)  # type: ignore[arg-type]
    pairs = [{"pair": ["a", "b"], "score": 0.5}, {"pair": ["b", "a"], "score": 0.25}]
    judged = {"kind": "reranker", "dtype": "float32", "run": "one/1", "rows": pairs}
    assert check_vectors(Served(score=[0.5, 0.2501]), "one", judged).what == "scores"  # type: ignore[arg-type]
    with pytest.raises(GateNotMetError, match="does not give the scores"):
        check_vectors(Served(score=[0.5, 0.26]), "one", judged)  # type: ignore[arg-type]


def test_the_command_of_vllm() -> None:
    command = pooling_arguments(
        python=Path("py"), model="/m", name="one", host="h", port=1, dtype="float32", max_model_len=None, cuts=(16, 8),
        shutdown_timeout=3, extra={"max_num_seqs": 4},
    )  # fmt: skip
    assert (
        command[command.index("--runner") + 1] == "pooling"
        and "--chat-template" not in command
        and "--enable-lora" not in command
    )
    assert json.loads(command[command.index("--hf-overrides") + 1])["matryoshka_dimensions"] == [16, 8]
    assert command[-2:] == ["--max-num-seqs", "4"]
