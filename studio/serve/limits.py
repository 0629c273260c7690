"""What a client may send: which fields, how much, how often. Standard library only.

The server in front of a shared model takes a list of known fields, not a list of forbidden ones: vLLM's own extensions include a
template per request, paths, scheduling priorities and raw tensors.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
FEEDBACK = "/v1/feedback"

PREFIXES = {CHAT: "chatcmpl-", COMPLETIONS: "cmpl-", RESPONSES: "resp_"}
"""How the id of an answer begins."""
ROLES = ("system", "developer", "user", "assistant", "tool")
"""Of turns of a chat; vLLM takes the second for the first."""

_SAMPLING = {
    "model", "max_tokens", "n", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "stop_token_ids", "stream",
    "stream_options", "presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty", "logit_bias", "logprobs",
    "min_tokens", "ignore_eos", "bad_words", "allowed_token_ids", "skip_special_tokens", "spaces_between_special_tokens",
    "include_stop_str_in_output", "truncate_prompt_tokens", "response_format", "return_token_ids", "return_tokens_as_token_ids",
    "user",
}  # fmt: skip
# Fields of OpenAI's interface that mean nothing here: taken, so that client libraries work, and not passed on.
_DROPPED = {"store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity", "modalities"}
FIELDS: dict[str, set[str]] = {
    CHAT: _SAMPLING
    | {"messages", "max_completion_tokens", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort"}
    | {"chat_template_kwargs"},
    COMPLETIONS: _SAMPLING | {"prompt", "echo", "suffix", "add_special_tokens"},
}


class RefusedError(Exception):
    """A request that is not passed on: HTTP status, OpenAI's error code, a sentence, the field, and when to come back."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param, self.retry_after = status, code, message, param, retry_after
        self.model = ""

    @property
    def kind(self) -> str:
        """OpenAI's name for errors of this status."""
        return {401: "authentication_error", 429: "rate_limit_error"}.get(self.status, "invalid_request_error")


@dataclass(frozen=True)
class Limits:
    """See ``studio.schema.server.LimitSettings``."""

    body_bytes: int
    n: int
    prompts: int
    max_tokens: int
    requests_per_minute: int
    concurrent: int
    connections: int
    header_seconds: float
    texts: int = 256
    feedback_minutes: float = 60
    feedback_bytes: int = 64 << 20


def read_request(body: bytes) -> dict[str, Any]:
    """The body of a request; fields that mean nothing here are left out.

    Raises:
        RefusedError: it is no JSON object, or names no model.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "invalid_json", f"The body is not valid JSON ({type(error).__name__}).") from None
    if not isinstance(value, dict):
        raise RefusedError(400, "invalid_json", "The body must be a JSON object.")
    if not isinstance(value.get("model"), str) or not value["model"]:
        raise RefusedError(400, "model_missing", "Name a model: the field 'model' must be text.", "model")
    return {name: inner for name, inner in value.items() if name not in _DROPPED}


def only_known(request: dict[str, Any], known: set[str]) -> None:
    """Refuse a field that clients may not set."""
    for name in request:
        if name not in known:
            raise RefusedError(400, "unknown_field", f"The field {name[:80]!r} is not taken by this server.", name[:80])


def check_request(route: str, request: dict[str, Any], limits: Limits, *, prompt_scores: bool = True) -> dict[str, Any]:
    """Check a request to one of the two older routes.

    Args:
        prompt_scores: whether log-probabilities of a prompt may be asked for; with an adapter on the output layer they end vLLM.
    Raises:
        RefusedError: it asks for too much, or has a field that clients may not set.
    """
    only_known(request, FIELDS[route])
    whole_number(request, "n", limits.n)
    whole_number(request, "max_tokens", limits.max_tokens)
    if route == CHAT:
        whole_number(request, "max_completion_tokens", limits.max_tokens)
        if request.get("max_tokens") is None and request.get("max_completion_tokens") is None:
            request["max_tokens"] = limits.max_tokens
        check_turns(request.get("messages"))
        check_tools(request.get("tools"), named=lambda tool: tool.get("function"))
    else:
        _prompts(request.get("prompt"), limits.prompts)
        if request.get("echo") and request.get("logprobs") is not None and not prompt_scores:
            raise RefusedError(
                400,
                "no_prompt_scores",
                "This server gives no log-probabilities of the prompt: an adapter on the output layer is served.",
                "echo",
            )
    return request


def whole_number(request: dict[str, Any], name: str, limit: int) -> None:
    """Refuse a number above its limit; other nonsense is left to vLLM's own check."""
    value = request.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(400, "invalid_value", f"{name} must be a whole number.", name)
    if value > limit:
        raise RefusedError(400, "limit_exceeded", f"{name} is {value}, and this server gives at most {limit}.", name)


def check_turns(messages: Any) -> None:
    """Refuse turns that a template would pass over without a word, and parts that make the server fetch something."""
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, "invalid_value", "messages must be a list of turns, each with role and content.", "messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise RefusedError(400, "invalid_value", f"messages.{number} must be an object with role and content.", "messages")
        known_role(message.get("role"), f"messages.{number}", ROLES)
        content = message.get("content")
        for name, kinds in (("content", (str, list)), ("reasoning_content", (str,)), ("reasoning", (str,))):
            if message.get(name) is not None and not isinstance(message[name], kinds):
                raise RefusedError(400, "invalid_value", f"messages.{number}.{name} must be text.", "messages")
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict) or part.get("type") not in {"text", "refusal"}:
                raise RefusedError(400, "not_text", "This server takes text only.", "messages")


def known_role(role: Any, place: str, roles: tuple[str, ...]) -> None:
    """Refuse a role that is none: most templates leave such a turn out, so that the model would never see it."""
    if role not in roles:
        # OpenAI's older name for a result.
        remedy = " Send the result as a turn of the role 'tool'." if role == "function" and "tool" in roles else ""
        raise RefusedError(
            400,
            "invalid_value",
            f"The role of {place} is {str(role)[:80]!r}. Allowed: {', '.join(roles)}.{remedy}",
            place.partition(".")[0],
        )


def check_tools(tools: Any, *, named: Callable[[dict[str, Any]], Any]) -> None:
    """Refuse what is no list of functions with names.

    Args:
        named: where a tool keeps its name and parameters.
    """
    if tools is not None and not isinstance(tools, list):
        raise RefusedError(400, "invalid_value", "tools must be a list.", "tools")
    for number, tool in enumerate(tools or ()):
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise RefusedError(
                400, "not_a_function", "This server runs no tools of its own: each of tools must be a function.", "tools"
            )
        function = named(tool)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise RefusedError(400, "invalid_value", f"tools.{number} needs the name of its function.", "tools")
        if not isinstance(function.get("parameters") or {}, dict):
            raise RefusedError(400, "invalid_value", f"The parameters of tools.{number} must be a JSON schema.", "tools")


def _prompts(prompt: Any, limit: int) -> None:
    """Refuse too many prompts in one request."""
    many = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
    if many > limit:
        raise RefusedError(400, "limit_exceeded", f"{many} prompts in one request; this server takes {limit}.", "prompt")


@dataclass
class _Use:
    """What one key did lately."""

    times: deque[float] = field(default_factory=deque)
    running: int = 0


class Meter:
    """Counts each key's requests: a sliding minute, and how many run now."""

    def __init__(self, limits: Limits) -> None:
        """Nothing is counted yet."""
        self._limits = limits
        self._uses: dict[str, _Use] = {}

    def enter(self, key: str, now: float | None = None) -> None:
        """Count a request in.

        Raises:
            RefusedError: the key has had its share of this minute, or has too many at once (429, with Retry-After).
        """
        now = time.monotonic() if now is None else now
        use = self._uses.setdefault(key, _Use())
        while use.times and use.times[0] <= now - 60:
            use.times.popleft()
        if len(use.times) >= self._limits.requests_per_minute:
            wait = max(1, round(use.times[0] + 60 - now + 0.5))
            allowed = f"{self._limits.requests_per_minute} requests a minute"
            raise RefusedError(429, "rate_limit_exceeded", f"This key may send {allowed}; wait {wait} s.", retry_after=wait)
        if use.running >= self._limits.concurrent:
            allowed = f"{self._limits.concurrent} requests at the same time"
            raise RefusedError(429, "too_many_at_once", f"This key may have {allowed}; wait for one to end.", retry_after=1)
        use.times.append(now)
        use.running += 1

    def leave(self, key: str) -> None:
        """Count a request out."""
        self._uses[key].running -= 1
