"""A run served by ``studio serve`` (real vLLM) and measured as an endpoint, against the same run in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.evals.chat.endpoint import EndpointSubject
from studio.evals.chat.opening import open_tuned
from studio.evals.evidence import Decoding
from studio.evals.targets import KEY_VARIABLE, parse_endpoint
from studio.models.vllm_environment import find_environment
from tests.evals.conftest import chat_rows
from tests.serve.live import Live, begin, tune

pytestmark = [pytest.mark.serve, pytest.mark.starter, pytest.mark.long]

ROWS = [row.messages for row in chat_rows("x", 6)]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    try:
        find_environment("cpu")
    except UserError as missing:
        pytest.skip(f"{missing} (make test-serve does it)")
    space = tmp_path_factory.mktemp("served")
    tune(space, "one", "One is all I say.")
    server = begin(tmp_path_factory.mktemp("live"), space, "one", "--set", "build=cpu")
    try:
        server.wait()
        yield server
    finally:
        server.end()


def test_likelihoods_and_answers_of_vllm_are_those_in_process(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, live.key)
    workspace = Workspace.open(Path(live.workspace))
    remote = EndpointSubject.open("tuned", parse_endpoint(f"{live.url}/v1#one"), workspace)
    _, local = open_tuned(workspace.find_run("one"))
    assert remote.tokens_like == local.tokens_like
    ours = local.likelihoods(ROWS, batch_size=4, max_length=None)
    theirs = remote.likelihoods(ROWS, batch_size=4, max_length=None)
    for first, second in zip(ours, theirs, strict=True):
        assert first.tokens == second.tokens
        assert first.nll / first.tokens == pytest.approx(second.nll / second.tokens, abs=1e-2)
    texts = [("", "The door must be wide."), ("The guard rail", " must be one metre high.")]
    for first, second in zip(local.text_logprobs(texts, batch_size=2), remote.text_logprobs(texts, batch_size=2), strict=True):
        assert first.tokens == second.tokens and first.sum / first.tokens == pytest.approx(second.sum / second.tokens, abs=1e-2)
    prompts = [[row[0]] for row in ROWS[:3]]
    decoding = Decoding(max_new_tokens=12)
    assert [item.text for item in remote.answers(prompts, decoding, batch_size=3)] == [
        item.text for item in local.answers(prompts, decoding, batch_size=3)
    ]
