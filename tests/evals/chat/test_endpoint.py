"""A model behind an endpoint against the same weights in this process, and what happens when the endpoint dies half-way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from studio.core.errors import UserError
from studio.evals.chat.endpoint import EndpointError, EndpointSubject
from studio.evals.evidence import Decoding
from studio.evals.runner import evaluate_model
from studio.evals.suites import load_suite
from studio.evals.targets import KEY_VARIABLE, find_baseline, find_model, parse_endpoint
from tests.evals.conftest import chat_rows
from tests.evals.openai_server import Served
from tests.servers import serving

if TYPE_CHECKING:
    from studio.evals.chat.subjects import LocalSubject
    from tests.evals.conftest import Tiny

ROWS = [row.messages for row in chat_rows("x", 10)]


@pytest.fixture
def served(subject: LocalSubject) -> Iterator[Served]:
    with serving(Served(subject.model, subject.tokenizer, subject.template.text)) as server:
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.models.openai_client._PAUSES", (0.0, 0.0))


def opened(served: Served, tiny: Tiny, lively_base) -> EndpointSubject:
    return EndpointSubject.open("tuned", parse_endpoint(f"{served.url}#served", str(lively_base)), tiny.workspace)


def test_likelihoods_agree_with_the_same_weights_in_process(served, tiny, subject, lively_base) -> None:
    remote = opened(served, tiny, lively_base)
    ours = subject.likelihoods(ROWS, batch_size=4, max_length=None)
    theirs = remote.likelihoods(ROWS, batch_size=4, max_length=None)
    for first, second in zip(ours, theirs, strict=True):
        assert first.tokens == second.tokens and first.cut == second.cut == 0
        assert first.nll / first.tokens == pytest.approx(second.nll / second.tokens, abs=1e-2)
        assert first.nll / first.tokens == pytest.approx(second.nll / second.tokens, abs=1e-4)
    assert remote.tokens_like == subject.tokens_like


def test_texts_get_one_bos_and_the_same_log_probabilities(served, tiny, subject, lively_base) -> None:
    texts = [("", "The door must be wide."), ("The door must", " be high."), ("", "<|im_start|>The wall."), ("", "")]
    ours = subject.text_logprobs(texts, batch_size=4)
    theirs = opened(served, tiny, lively_base).text_logprobs(texts, batch_size=4)
    for first, second in zip(ours, theirs, strict=True):
        assert (first is None) is (second is None)
        if first is not None:
            assert first.tokens == second.tokens and first.sum == pytest.approx(second.sum, abs=1e-3)
    bos = subject.tokenizer.bos_token_id
    for body in served.asked:
        assert body["prompt"][0] == bos and body["prompt"][1] != bos


def test_answers_are_those_of_the_model_in_process(served, tiny, subject, lively_base) -> None:
    prompts = [[row[0]] for row in ROWS[:4]] + [[], [{"role": "user", "content": "door " * 600}]]
    decoding = Decoding(max_new_tokens=8)
    ours = subject.answers(prompts, decoding, batch_size=2)
    theirs = opened(served, tiny, lively_base).answers(prompts, decoding, batch_size=2)
    assert [item and item.text for item in ours] == [item and item.text for item in theirs]
    assert [item and item.truncated for item in ours] == [item and item.truncated for item in theirs]
    assert ours[-2:] == theirs[-2:] == [None, None]


def test_batch_size_changes_nothing(served, tiny, lively_base) -> None:
    remote = opened(served, tiny, lively_base)
    one = remote.likelihoods(ROWS, batch_size=1, max_length=None)
    many = remote.likelihoods(ROWS, batch_size=16, max_length=None)
    assert [item.nll for item in one] == pytest.approx([item.nll for item in many], abs=1e-4)


def test_an_endpoint_that_dies_half_way_is_one_sentence_and_a_rerun_goes_on(served, tiny, lively_base) -> None:
    suite = load_suite("chatbot", ("generation.max_new_tokens=4", "generation.batch_size=2", "resamples=100", "thresholds=[]"))
    target = find_model(f"{served.url}#served", tiny.workspace, tokenizer=str(lively_base))

    def evaluate():
        return evaluate_model(target, suite, workspace=tiny.workspace, data=tiny.dataset)

    served.dies_after = 11
    with pytest.raises(EndpointError) as caught:
        evaluate()
    message = str(caught.value)
    assert "does not answer" in message and "kept" in message and "same command again" in message and "\n" not in message
    done = len(served.asked)
    served.dies_after = None
    folder, record = evaluate()
    # 8 likelihoods and 8 answers in all; what was asked before the end is not asked again, but for the batch that was cut off.
    assert len(served.asked) - done <= 16 - 8
    assert folder.parts[-4] == "reports" and record.models["tuned"]["kind"] == "endpoint"
    assert all(score.n == 8 for score in record.scores["tuned"])
    # A finished evaluation leaves nothing behind: the weights of a server may change unseen.
    before = len(served.asked)
    evaluate()
    assert len(served.asked) - before == 16


def _noting(start: Callable[..., None], made: list[httpx.Client]) -> Callable[..., None]:
    """A constructor that writes down what it made."""

    def begin(self: httpx.Client, **settings: Any) -> None:
        made.append(self)
        start(self, **settings)

    return begin


def test_without_a_tokenizer_answers_are_measured_and_likelihood_says_why_not(served, tiny, monkeypatch) -> None:
    suite = load_suite(
        "chatbot", ("metrics=[perplexity,rougeL]", "generation.max_new_tokens=4", "resamples=100", "thresholds=[]")
    )
    target = find_model(served.url, tiny.workspace)
    made: list[httpx.Client] = []
    monkeypatch.setattr(httpx.Client, "__init__", _noting(httpx.Client.__init__, made))
    _, record = evaluate_model(target, suite, workspace=tiny.workspace, data=tiny.dataset, limit=3)
    assert made and all(client.is_closed for client in made), "Python warns of sockets that are left open"
    perplexity, rouge = record.scores["tuned"]
    assert perplexity.value is None and perplexity.coverage == 0 and perplexity.reason
    assert rouge.value is not None and "--tokenizer" in record.models["tuned"]["likelihood"]


def test_a_run_of_the_served_name_lends_its_tokenizer(served, tiny) -> None:
    served.name = "tiny"
    remote = EndpointSubject.open("tuned", parse_endpoint(served.url), tiny.workspace)
    assert remote.tokenizer is not None and remote.about["template_sha256"]


def test_an_endpoint_against_a_base_in_process(served, tiny, lively_base) -> None:
    suite = load_suite(
        "chatbot",
        ("metrics=[perplexity,exact_match]", "compare_by=null", "generation.max_new_tokens=4", "resamples=100", "thresholds=[]"),
    )
    target = find_model(f"{served.url}#served", tiny.workspace, tokenizer=str(lively_base))
    base = find_baseline(str(lively_base), target, tiny.workspace)
    assert find_baseline("base", target, tiny.workspace) is None
    _, record = evaluate_model(target, suite, workspace=tiny.workspace, baseline=base, data=tiny.dataset)
    assert record.scores["tuned"][0].value == pytest.approx(record.scores["base"][0].value, rel=1e-3)
    assert {item.verdict for item in record.differences} == {"no difference shown"}


def test_a_server_that_limits_requests_is_waited_for(served, tiny, lively_base) -> None:
    served.busy = 5
    found = opened(served, tiny, lively_base).likelihoods(ROWS[:4], batch_size=4, max_length=None)
    assert all(found) and served.busy == 0


def test_keys_come_from_the_environment(served, tiny, lively_base, monkeypatch: pytest.MonkeyPatch) -> None:
    served.key = "secret-123"
    with pytest.raises(UserError, match=f"wrong key.*{KEY_VARIABLE}") as caught:
        opened(served, tiny, lively_base)
    assert "secret-123" not in str(caught.value)
    monkeypatch.setenv(KEY_VARIABLE, "secret-123")
    assert opened(served, tiny, lively_base).model == "served"


def test_what_cannot_be_used_is_one_sentence(served, tiny, lively_base) -> None:
    with pytest.raises(UserError, match="serves served, not other"):
        EndpointSubject.open("tuned", parse_endpoint(f"{served.url}#other"), tiny.workspace)
    with pytest.raises(EndpointError, match="does not answer"):
        EndpointSubject.open("tuned", parse_endpoint("http://127.0.0.1:9/v1#x"), tiny.workspace)
    with pytest.raises(UserError, match="names no server"):
        parse_endpoint("http://#x")
    with pytest.raises(UserError, match="password"):
        parse_endpoint("http://me:pw@host/v1")
    served.echoes = False
    with pytest.raises(EndpointError, match="no log-probabilities of the prompt"):
        opened(served, tiny, lively_base).likelihoods(ROWS[:1], batch_size=1, max_length=None)
