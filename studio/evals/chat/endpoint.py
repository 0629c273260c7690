"""A model behind an OpenAI-compatible server as a subject: answers by chat completions, likelihood by the prompt's
log-probabilities.

The server applies its own chat template to questions. Likelihoods send token ids, made here with the tokenizer and template
of the training, so both ways see exactly one BOS and the same tokens; they need a server whose ``/v1/completions`` takes
``echo`` with ``logprobs`` (vLLM does).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from transformers import PreTrainedTokenizerBase

from studio.adapters.chat.loading import read_template
from studio.core.errors import DataError, StudioError, UserError
from studio.core.files import sha256_json
from studio.core.workspace import Workspace, read_run
from studio.evals.chat.likelihood import joined, likelihood_of
from studio.evals.chat.replies import answer_from, replied, sent
from studio.evals.chat.text_likelihood import encode_texts
from studio.evals.evidence import Answer, Decoding, Likelihood, LogProb, Message, Tool
from studio.evals.subjects import Advance, Offered, offered
from studio.evals.targets import KEY_VARIABLE, Endpoint
from studio.models.bases import ResolvedBase, resolve_base
from studio.models.chat.encoding import EncodedRow, encode_examples
from studio.models.chat.loading import load_tokenizer
from studio.models.chat.templates import ChatTemplate, choose_template

T = TypeVar("T")
R = TypeVar("R")

_TIMEOUT = httpx.Timeout(300.0, connect=10.0)
# Requests at a time; a server batches them itself.
_AT_ONCE = 16
# A busy or restarting server gets these pauses, in seconds, before it counts as gone.
_PAUSES = (0.5, 2.0)
# How often a request waits for a server that limits requests per minute.
_WAITS = 30


class EndpointError(StudioError):
    """The server is gone or refuses: one sentence; what was answered so far is kept and the same command goes on from there."""


@dataclass
class EndpointSubject:
    """A served model under measurement; see :class:`studio.evals.subjects.Subject`."""

    label: str
    url: str
    model: str
    about: dict[str, Any]
    identity: dict[str, Any]
    context: int | None = None
    tokenizer: PreTrainedTokenizerBase | None = None
    template: ChatTemplate | None = None
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=_TIMEOUT, headers=_headers()))

    @classmethod
    def open(cls, label: str, endpoint: Endpoint, workspace: Workspace) -> EndpointSubject:
        """Ask the server what it serves, and load the tokenizer.

        Raises:
            UserError: the server does not serve that model, or the tokenizer cannot be found.
            EndpointError: no server answers there.
        """
        client = httpx.Client(timeout=_TIMEOUT, headers=_headers())
        entries = _request(client, "GET", f"{endpoint.url}/models", None).get("data") or []
        known = {str(entry.get("id")): entry for entry in entries}
        name = endpoint.model or (next(iter(known)) if len(known) == 1 else None)
        if name is None or (known and name not in known):
            raise UserError(
                f"{endpoint.url} serves {', '.join(known) or 'nothing'}, not {name or 'a single model'}. Write "
                f"{endpoint.url}#NAME."
            )
        entry = known.get(name, {})
        tokenizer, template, source = _tokenizer_of(endpoint, name, workspace)
        about = {
            "kind": "endpoint",
            "name": name,
            "path": endpoint.url,
            "base_sha256": None,
            "template_sha256": template.sha256 if template else None,
            "tokenizer": source,
        }
        # "created" is the time of the question on some servers, so it says nothing about the weights.
        identity = {
            "endpoint": endpoint.url,
            "model": {key: value for key, value in entry.items() if key in {"id", "root", "parent", "max_model_len", "owned_by"}},
            "tokenizer": _vocabulary(tokenizer) if tokenizer is not None else None,
            "template": about["template_sha256"],
        }
        length = entry.get("max_model_len")
        return cls(label, endpoint.url, name, about, identity, int(length) if length else None, tokenizer, template, client)

    @property
    def tokens_like(self) -> str:
        """Hash of the vocabulary; without a tokenizer the endpoint's own name, so that per-token figures are not compared."""
        return _vocabulary(self.tokenizer) if self.tokenizer is not None else f"{self.url}#{self.model}"

    @property
    def calls_tools(self) -> bool:
        """True: what a server makes of tools is seen in its replies."""
        return True

    def answers(
        self,
        prompts: Sequence[Sequence[Message]],
        decoding: Decoding,
        *,
        batch_size: int,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Answer | None]:
        """One chat completion per prompt; None where the prompt is empty or too long for the server."""
        settings: dict[str, Any] = {"max_tokens": decoding.max_new_tokens, "temperature": decoding.temperature}
        if decoding.temperature > 0:
            settings |= {"top_p": decoding.top_p, "seed": decoding.seed} | ({"top_k": decoding.top_k} if decoding.top_k else {})

        def ask(asked: tuple[Sequence[Message], Sequence[Tool]]) -> Answer | None:
            prompt, given = asked
            if not prompt:
                return None
            body = {"messages": sent(prompt), **({"tools": list(given)} if given else {}), **settings}
            reply = self._post("chat/completions", body)
            return None if reply is None else self._answer(reply, given)

        return self._each(ask, list(zip(prompts, offered(tools, len(prompts)), strict=True)), batch_size, advance)

    def _answer(self, reply: dict[str, Any], tools: Sequence[Tool]) -> Answer:
        """The first choice of a reply."""
        choice = reply["choices"][0]
        found = replied(choice, tools, self.tokenizer, self.template)
        written = int((reply.get("usage") or {}).get("completion_tokens") or 0)
        # The server counts thoughts too, so its number holds only where there is none.
        counts = self.tokenizer is not None or not written or found.reasoning_content is not None
        tokens = self.count_tokens(found.content) if counts else written
        return answer_from(found, tokens, choice.get("finish_reason") == "length")

    def likelihoods(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        batch_size: int,
        max_length: int | None,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Likelihood | None]:
        """Likelihood of the assistant tokens; None for all without a tokenizer, because nothing here could tell which they
        are.
        """
        tokenizer, template = self.tokenizer, self.template
        if tokenizer is None or template is None:
            self._without_tokenizer()
            return [None] * len(conversations)
        # One token is written after the prompt, because not every server takes max_tokens 0.
        longest = min([length for length in (max_length, self.context - 1 if self.context else None) if length], default=None)

        def ask(asked: tuple[Sequence[Message], Sequence[Tool]]) -> Likelihood | None:
            messages, given = asked
            try:
                rows = encode_examples(tokenizer, template, messages, tools=given, max_length=longest).rows
            except DataError:
                return None
            return joined([self._scored(row) for row in rows])

        pairs = list(zip(conversations, offered(tools, len(conversations)), strict=True))
        return self._each(ask, pairs, batch_size, advance)

    def _scored(self, row: EncodedRow) -> Likelihood | None:
        """Likelihood of the targets of one example; None without a target, or where the server gives no figures."""
        if not any(row.trained[1:]):
            return None
        values = self._prompt_logprobs(row.input_ids)
        if values is None:
            return None
        return likelihood_of(row, [-value for value, trained in zip(values[1:], row.trained[1:], strict=True) if trained])

    def text_logprobs(
        self, texts: Sequence[tuple[str, str]], *, batch_size: int, advance: Advance | None = None
    ) -> list[LogProb | None]:
        """Log-probability of plain texts after one BOS or EOS; None for all without a tokenizer."""
        if self.tokenizer is None:
            self._without_tokenizer()
            return [None] * len(texts)
        encoded = encode_texts(self.tokenizer, texts)

        def ask(place: int) -> LogProb | None:
            item = encoded[place]
            if not 0 < item.start < len(item.ids) or (self.context and len(item.ids) >= self.context):
                return None
            values = self._prompt_logprobs(item.ids)
            return LogProb(sum(values[item.start :]), len(item.ids) - item.start) if values is not None else None

        return self._each(ask, range(len(texts)), batch_size, advance)

    def count_tokens(self, text: str) -> int:
        """Tokens of a plain text; words where no tokenizer is known."""
        if self.tokenizer is None:
            return len(text.split())
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _prompt_logprobs(self, ids: Sequence[int]) -> list[float] | None:
        """Log-probability of every prompt token (the first has none and counts 0); None where the prompt is too long.

        Raises:
            EndpointError: the server does not echo the prompt with its log-probabilities.
        """
        reply = self._post("completions", {"prompt": list(ids), "max_tokens": 1, "echo": True, "logprobs": 1, "temperature": 0})
        if reply is None:
            return None
        values = (reply["choices"][0].get("logprobs") or {}).get("token_logprobs") or []
        if len(values) < len(ids) or any(value is None for value in values[1 : len(ids)]):
            raise EndpointError(
                f"{self.url} gives no log-probabilities of the prompt (echo with logprobs), so likelihoods cannot be "
                f"measured there. "
                "Serve the model with vLLM, or leave out perplexity and the tasks on likelihood."
            )
        return [0.0, *(float(value) for value in values[1 : len(ids)])]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """One request; None when the prompt does not fit the server's context."""
        try:
            return _request(self.client, "POST", f"{self.url}/{path}", {"model": self.model, **body})
        except _TooLongError:
            return None

    def _each(self, ask: Callable[[T], R | None], items: Sequence[T], batch_size: int, advance: Advance | None) -> list[R | None]:
        """Ask for every item, several at a time; the first failure ends it."""
        with ThreadPoolExecutor(max_workers=max(1, min(batch_size, _AT_ONCE))) as pool:
            futures = [pool.submit(ask, item) for item in items]
            if advance:
                for future in futures:
                    future.add_done_callback(lambda done: None if done.cancelled() or done.exception() else advance(1))
            done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
            for future in waiting:
                future.cancel()
            failed = next((error for future in done if (error := future.exception()) is not None), None)
            if failed is not None:
                raise failed
            return [future.result() for future in futures]

    def _without_tokenizer(self) -> None:
        """Write down why there are no likelihoods."""
        self.about["likelihood"] = "not measured: no tokenizer is known for this endpoint; name one with --tokenizer RUN"


class _TooLongError(Exception):
    """The prompt does not fit the server's context."""


def _request(client: httpx.Client, method: str, url: str, body: dict[str, Any] | None) -> dict[str, Any]:
    """One request with retries.

    Raises:
        EndpointError: no answer, or one that is no use.
    """
    problem, pauses, waits = "", list(_PAUSES), 0
    while True:
        try:
            reply = client.request(method, url, json=body)
        except httpx.HTTPError as error:
            problem = f"does not answer ({type(error).__name__}{f': {error}' if str(error) else ''})"
        else:
            if reply.status_code < 400:
                return _json(reply, url)
            problem = f"answers {reply.status_code} ({_message(reply)})"
            _refuse(reply, url, problem)
            if reply.status_code == 429 and waits < _WAITS:
                waits += 1
                time.sleep(_wanted_wait(reply))
                continue
        if not pauses:
            break
        time.sleep(pauses.pop(0))
    raise EndpointError(
        f"the endpoint {url} {problem}. What it answered so far is kept: bring it back and run the same command again to go on."
    )


def _refuse(reply: httpx.Response, url: str, problem: str) -> None:
    """Raise for what no retry helps: a prompt that is too long, a missing key, a request the server does not understand."""
    if reply.status_code in {400, 413, 422} and _is_about_length(problem):
        raise _TooLongError
    if reply.status_code in {401, 403}:
        raise UserError(f"the endpoint {url} {problem}. Put its key into the environment variable {KEY_VARIABLE}.")
    if reply.status_code < 500 and reply.status_code not in {408, 429}:
        raise EndpointError(f"the endpoint {url} {problem}.")


def _wanted_wait(reply: httpx.Response) -> float:
    """Seconds that a server with a limit asks to wait, at most a minute."""
    try:
        return min(60.0, max(0.1, float(reply.headers.get("retry-after", "5"))))
    except ValueError:
        return 5.0


def _json(reply: httpx.Response, url: str) -> dict[str, Any]:
    """The body of a reply as an object."""
    try:
        value = reply.json()
    except ValueError as error:
        raise EndpointError(f"the endpoint {url} answers something that is not JSON. Is it OpenAI-compatible?") from error
    if not isinstance(value, dict):
        raise EndpointError(f"the endpoint {url} answers {type(value).__name__}, expected an object. Is it OpenAI-compatible?")
    return value


def _message(reply: httpx.Response) -> str:
    """What the server says about a refusal, on one line."""
    try:
        value = reply.json()
        error = value.get("error", value)
        text = error.get("message") if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        text = reply.text
    return " ".join(str(text).split())[:200]


def _is_about_length(problem: str) -> bool:
    """True when a refusal is about a prompt that is too long."""
    lowered = problem.lower()
    return any(
        words in lowered for words in ("context length", "maximum model length", "max_model_len", "longer than", "too long")
    )


def _headers() -> dict[str, str]:
    """Authorisation, when a key is set."""
    key = os.environ.get(KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of the vocabulary, as :class:`studio.evals.chat.subjects.LocalSubject` makes it."""
    return sha256_json(sorted(tokenizer.get_vocab().items()))


def _tokenizer_of(
    endpoint: Endpoint, model: str, workspace: Workspace
) -> tuple[PreTrainedTokenizerBase | None, ChatTemplate | None, str | None]:
    """Tokenizer and template of a served model and where they come from: what was named, else a run of the model's name."""
    try:
        folder = workspace.find_run(endpoint.tokenizer or model)
    except UserError:
        if endpoint.tokenizer is None:
            return None, None, None
    else:
        record = read_run(folder)
        own = folder / ("model" if record.method == "full" else "adapter")
        name, licence = f"run {record.id}", record.base.get("licence")
        if (own / "tokenizer.json").is_file():
            tokenizer = load_tokenizer(ResolvedBase(name, own, None, "", licence, "local"))
        else:
            tokenizer = load_tokenizer(resolve_base(str(record.base.get("path"))))
        return tokenizer, read_template(folder, record), str(folder)
    base = resolve_base(endpoint.tokenizer)
    tokenizer = load_tokenizer(base)
    return tokenizer, choose_template(tokenizer, None, base.name), str(base.folder)
