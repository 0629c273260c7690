"""Requests to an OpenAI-compatible server: what is tried again, what is waited for, and what ends it in one sentence."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from studio.core.errors import StudioError, UserError

_SECONDS = 300.0
# A busy or restarting server gets these pauses, in seconds, before it counts as gone.
_PAUSES = (0.5, 2.0)
# How often a request waits for a server that limits requests per minute.
_WAITS = 30
_AGAIN = "run the same command again to go on."
_KEPT = f"What it answered so far is kept: bring it back and {_AGAIN}"
_COMPATIBLE = "Is it OpenAI-compatible?"


class EndpointError(StudioError):
    """The server is gone or refuses: one sentence; what was answered so far is kept and the same command goes on from there.

    status: as HTTP has it, where the server refused the request itself, which no retry helps.
    """

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class TooLongError(Exception):
    """The prompt does not fit the server's context."""


@dataclass(frozen=True)
class _Fault:
    """What was wrong with one attempt.

    kind: in a word or two, for counts. wait: seconds that the server asks for, where it limits requests.
    """

    problem: str
    kind: str
    wait: float | None = None


@dataclass
class OpenAIClient:
    """Connections to a server, with the key of the environment where there is one. Threads may share it.

    key_variable: the environment variable that holds the key. seconds: how long an answer may take. pauses: seconds before each
    further try. waits: how often a request waits for a server that limits requests. before: called before every try, and may
    raise to end it; failed: called with the kind of fault after every try that did not succeed.
    """

    key_variable: str
    seconds: float = _SECONDS
    pauses: Sequence[float] = field(default_factory=lambda: _PAUSES)
    waits: int = _WAITS
    before: Callable[[], None] = lambda: None
    failed: Callable[[str], None] = lambda _kind: None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Open the connections."""
        key = os.environ.get(self.key_variable)
        timeout = httpx.Timeout(self.seconds, connect=min(10.0, self.seconds))
        self.client = httpx.Client(timeout=timeout, headers={"Authorization": f"Bearer {key}"} if key else {})

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def request(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The object that a request gives.

        A connection that breaks, an error of the server and a reply that is cut off are tried again.

        Raises:
            TooLongError: the prompt does not fit the server's context.
            UserError: the key is missing or wrong.
            EndpointError: no answer, or one that is no use.
        """
        pauses, waits = list(self.pauses), 0
        while True:
            self.before()
            found = self._attempt(method, url, body)
            if isinstance(found, dict):
                return found
            self.failed(found.kind)
            if found.wait is not None and waits < self.waits:
                waits += 1
                time.sleep(found.wait)
            elif pauses:
                time.sleep(pauses.pop(0))
            else:
                raise EndpointError(f"the endpoint {url} {found.problem}{'' if found.problem.endswith('?') else '.'} {_KEPT}")

    def _attempt(self, method: str, url: str, body: dict[str, Any] | None) -> dict[str, Any] | _Fault:
        """One request: its object, or what was wrong and may be better the next time."""
        try:
            reply = self.client.request(method, url, json=body)
        except httpx.HTTPError as error:
            kind = "no answer in time" if isinstance(error, httpx.TimeoutException) else "connection broken"
            return _Fault(f"does not answer ({type(error).__name__}{f': {error}' if str(error) else ''})", kind)
        try:
            value = reply.json()
        except ValueError:
            value = None
        if reply.status_code >= 400:
            return self._refused(reply, url, reply.status_code, f"answers {reply.status_code} ({_message(value, reply.text)})")
        if reply.is_redirect:
            raise EndpointError(f"the endpoint {url} sends on to {_line(reply.headers['location'])}. Give that address.")
        if value is None:
            return _Fault(f"answers something that is not JSON, or cut off ({_line(reply.text)}). {_COMPATIBLE}", "no JSON")
        if not isinstance(value, dict):
            raise EndpointError(f"the endpoint {url} answers {type(value).__name__}, expected an object. {_COMPATIBLE}")
        inside = _error_inside(value)
        if inside:
            return self._refused(
                reply, url, _code(inside), f"answers with an error instead of an answer ({_message(inside, '')})"
            )
        return value

    def _refused(self, reply: httpx.Response, url: str, status: int | None, problem: str) -> _Fault:
        """A refusal that may be tried again.

        Args:
            status: as HTTP has it; None where the server only says that something went wrong.
        Raises:
            TooLongError, UserError, EndpointError: what no retry helps: a prompt that is too long, a missing key, a request that
                the server does not understand.
        """
        if status in {None, 400, 413, 422} and _is_about_length(problem):
            raise TooLongError
        if status in {401, 403}:
            raise UserError(f"the endpoint {url} {problem}. Put its key into the environment variable {self.key_variable}.")
        if status is not None and status < 500 and status not in {408, 429}:
            what = "look at its address, up to /v1, and at the name of the model" if status == 404 else "mend that"
            raise EndpointError(f"the endpoint {url} {problem}. What it answered so far is kept: {what}, and {_AGAIN}", status)
        kind = f"status {status}" if status is not None else "an error instead of an answer"
        return _Fault(problem, kind, _wanted_wait(reply) if status == 429 else None)


def _error_inside(value: dict[str, Any]) -> Any:
    """The error that a reply of status 200 holds in place of an answer, as gateways to several providers write it."""
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(first, dict) and first.get("error"):
        return first["error"]
    return value.get("error") if not choices else None


def _code(error: Any) -> int | None:
    """The status that an error names; None where it names none, or only in words."""
    code = str(error.get("code", error.get("status"))) if isinstance(error, dict) else ""
    return int(code) if code.isdecimal() and 400 <= int(code) < 600 else None


def _wanted_wait(reply: httpx.Response) -> float:
    """Seconds that a server with a limit asks to wait, at most a minute."""
    try:
        return min(60.0, max(0.1, float(reply.headers.get("retry-after", "5"))))
    except ValueError:
        return 5.0


def _message(value: Any, text: str) -> str:
    """What the server says about a refusal, on one line."""
    error = value.get("error", value) if isinstance(value, dict) else value
    message = error.get("message") or error if isinstance(error, dict) else error
    return _line(str(message) if message is not None else text)


def _line(text: str) -> str:
    """The beginning of a text, on one line."""
    return " ".join(text.split())[:200] or "nothing"


def _is_about_length(problem: str) -> bool:
    """True when a refusal is about a prompt that is too long."""
    lowered = problem.lower()
    return any(
        words in lowered for words in ("context length", "maximum model length", "max_model_len", "longer than", "too long")
    )
