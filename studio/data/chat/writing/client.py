"""One request of a writer: what the server takes is found out once, and every failure is counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from studio.core.errors import StudioError
from studio.data.chat.writing.budget import Budget, LimitReachedError, most_tokens
from studio.data.chat.writing.prompts import Prompt, longest_text
from studio.data.chat.writing.replies import Reply, logprobs_of
from studio.models.openai_client import EndpointError, OpenAIClient, TooLongError
from studio.models.openai_replies import first_choice, text_of

TOO_LONG = "longer than the server's context"
NO_ANSWER = "no answer from the server"
# Further tries of a request after a fault of the server, and how often one waits for a server with a limit.
_PAUSES = (1.0, 4.0)
_WAITS = 8
# Words in a refusal by which servers say which part of a request they do not take, and what is sent without it.
_ADAPTED = {
    "lengths": ("maxlength", "maxitems", "minitems"),
    "response_format": ("response_format", "json_schema", "structured", "guided", "grammar"),
    "max_tokens": ("max_completion_tokens",),
    "temperature": ("temperature",),
    "logprobs": ("logprobs",),
}


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. Fields as in :class:`studio.schema.writer.WriterSettings`."""

    base_url: str
    model: str
    temperature: float
    max_tokens: int
    top_logprobs: int | None = None


@dataclass(frozen=True)
class Sent:
    """What came of one request.

    sentence: the server's failure, where it gave no answer. failed: the error that ends everything. limit: the one that ended
    it.
    """

    reply: Reply | None = None
    sentence: str = ""
    failed: Exception | None = None
    limit: str | None = None


@dataclass
class WriterClient:
    """Requests to a writer; threads share it. faults: failed tries by kind. notes: what was found out about the server."""

    sampling: Sampling
    key_variable: str
    seconds: float
    budget: Budget
    pauses: Sequence[float] = field(default_factory=lambda: _PAUSES)
    faults: Counter[str] = field(default_factory=Counter)
    without: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Open the connections."""
        self._client = OpenAIClient(
            self.key_variable, self.seconds, self.pauses, _WAITS, before=self.budget.before_try, failed=self._count
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def most(self, messages: Sequence[dict[str, str]]) -> tuple[int, int]:
        """Tokens that a request can use at most: of its prompt and of its answer."""
        return sum(most_tokens(turn["content"]) + 16 for turn in messages), self.sampling.max_tokens

    def send(self, messages: Sequence[dict[str, str]], prompt: Prompt, count: int) -> Sent:
        """Ask once for at most ``count`` items, with further tries after faults of the server."""
        self.budget.begin()
        try:
            return Sent(self._reply(self._posted(messages, prompt, count), messages))
        except LimitReachedError as error:
            return Sent(limit=str(error))
        except TooLongError:
            self._count(TOO_LONG)
            return Sent(Reply(calls=self.budget.tries, gone=TOO_LONG))
        except EndpointError as error:
            if error.status not in {None, 400}:
                return Sent(failed=error)
            gone = NO_ANSWER if error.status is None else f"refused by the server (status {error.status})"
            return Sent(Reply(calls=self.budget.tries, gone=gone), str(error))
        except StudioError as error:
            return Sent(failed=error)

    def _posted(self, messages: Sequence[dict[str, str]], prompt: Prompt, count: int) -> dict[str, Any]:
        """The reply to a request, of which parts that the server does not take are left out or written otherwise."""
        while True:
            without = set(self.without)
            try:
                return self._client.request(
                    "POST", f"{self.sampling.base_url}/chat/completions", self._body(messages, prompt, count, without)
                )
            except EndpointError as error:
                refused = _refused_part(error, without)
                if refused is None:
                    raise
                self.without.add(refused)

    def _body(self, messages: Sequence[dict[str, str]], prompt: Prompt, count: int, without: set[str]) -> dict[str, Any]:
        """A request."""
        limit = "max_completion_tokens" if "max_tokens" in without else "max_tokens"
        body: dict[str, Any] = {"model": self.sampling.model, "messages": list(messages), limit: self.sampling.max_tokens}
        if "temperature" not in without:
            body["temperature"] = self.sampling.temperature
        if "response_format" not in without and not prompt.plain:
            longest = None if "lengths" in without else longest_text(count, self.sampling.max_tokens)
            body["response_format"] = prompt.response_format(count, longest)
        if self.sampling.top_logprobs is not None and "logprobs" not in without:
            body |= {"logprobs": True, "top_logprobs": self.sampling.top_logprobs}
        return body

    def _reply(self, value: dict[str, Any], messages: Sequence[dict[str, str]]) -> Reply:
        """A reply as it is kept; tokens that the server does not count are counted as the most they can be."""
        choice = first_choice(value, self.sampling.base_url) or {}
        text = text_of(choice["message"], self.sampling.base_url)[0] if choice else ""
        usage = value.get("usage")
        counted = (
            [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, dict) else [None, None]
        )
        most = (self.most(messages)[0], min(most_tokens(text), self.sampling.max_tokens))
        used = [count if isinstance(count, int) and count >= 0 else bound for count, bound in zip(counted, most, strict=True)]
        return Reply(
            content=text,
            finish=str(choice.get("finish_reason") or ""),
            tokens_in=used[0],
            tokens_out=used[1],
            calls=max(1, self.budget.tries),
            model=str(value.get("model") or self.sampling.model),
            date=datetime.now(UTC).date().isoformat(),
            estimated=used != counted,
            logprobs=logprobs_of(choice) if self.sampling.top_logprobs is not None else None,
        )

    def _count(self, kind: str) -> None:
        """Count a failed try."""
        with self._lock:
            self.faults[kind] += 1


def _refused_part(error: EndpointError, without: set[str]) -> str | None:
    """The part of a request that a server does not take, where it says so and it was sent."""
    if error.status not in {400, 404, 415, 422, 501}:
        return None
    said = str(error).lower()
    return next((part for part, words in _ADAPTED.items() if part not in without and any(word in said for word in words)), None)
