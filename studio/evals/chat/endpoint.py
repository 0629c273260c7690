"""A model behind an OpenAI-compatible server as a subject: answers by chat completions, likelihood by the prompt's
log-probabilities.

The server applies its own chat template to questions. Likelihoods send token ids, made here with the tokenizer and template
of the training, so both ways see exactly one BOS and the same tokens; they need a server whose ``/v1/completions`` takes
``echo`` with ``logprobs`` (vLLM does).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from transformers import PreTrainedTokenizerBase

from studio.adapters.chat.loading import read_template
from studio.core.errors import DataError, UserError
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
from studio.models.openai_client import EndpointError, OpenAIClient, TooLongError
from studio.models.openai_replies import first_choice

T = TypeVar("T")
R = TypeVar("R")

# Requests at a time; a server batches them itself.
_AT_ONCE = 16


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
    client: OpenAIClient = field(default_factory=lambda: OpenAIClient(KEY_VARIABLE))

    @classmethod
    def open(cls, label: str, endpoint: Endpoint, workspace: Workspace) -> EndpointSubject:
        """Ask the server what it serves, and load the tokenizer.

        Raises:
            UserError: the server does not serve that model, or the tokenizer cannot be found.
            EndpointError: no server answers there.
        """
        client = OpenAIClient(endpoint.key_variable)
        try:
            return cls._opened(label, endpoint, workspace, client)
        except BaseException:
            client.close()
            raise

    @classmethod
    def _opened(cls, label: str, endpoint: Endpoint, workspace: Workspace, client: OpenAIClient) -> EndpointSubject:
        """The subject behind an open connection."""
        entries = client.request("GET", f"{endpoint.url}/models").get("data") or []
        known = {str(entry.get("id")): entry for entry in entries if isinstance(entry, dict)}
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
        context = length if isinstance(length, int) and length > 0 else None
        return cls(label, endpoint.url, name, about, identity, context, tokenizer, template, client)

    def close(self) -> None:
        """Close the connections; the subject cannot be asked any more."""
        self.client.close()

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
            if reply is not None and first_choice(reply, self.url) is None:
                reply = self._post("chat/completions", body)  # most often a hiccup of what stands behind the server
            return None if reply is None else self._answer(reply, given)

        return self._each(ask, list(zip(prompts, offered(tools, len(prompts)), strict=True)), batch_size, advance)

    def _answer(self, reply: dict[str, Any], tools: Sequence[Tool]) -> Answer:
        """The first choice of a reply; one without a message is an answer that is missing."""
        choice, model = first_choice(reply, self.url), self._other_model(reply)
        if choice is None:
            return Answer("", 0, False, missing=True, model=model)
        found = replied(choice, tools, self.tokenizer, self.template, self.url)
        usage = reply.get("usage")
        counted = usage.get("completion_tokens") if isinstance(usage, dict) else None
        # The server counts thoughts too, so its number holds only where there is none.
        told = self.tokenizer is None and found.reasoning_content is None
        tokens = counted if told and isinstance(counted, int) and counted > 0 else self.count_tokens(found.content)
        answer = answer_from(found, tokens, choice.get("finish_reason") == "length")
        return replace(answer, filtered=choice.get("finish_reason") == "content_filter", model=model)

    def _other_model(self, reply: dict[str, Any]) -> str | None:
        """The model that a reply says it is from, where that is not the one that was asked."""
        said = reply.get("model")
        if not said or said == self.model:
            return None
        self.about["answered_as"] = sorted({*self.about.get("answered_as", ()), str(said)})
        return str(said)

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
        self._other_model(reply)
        choice = first_choice(reply, self.url, part="text")
        values = ((choice or {}).get("logprobs") or {}).get("token_logprobs") or []
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
            return self.client.request("POST", f"{self.url}/{path}", {"model": self.model, **body})
        except TooLongError:
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
