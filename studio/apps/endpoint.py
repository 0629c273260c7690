"""A model behind an OpenAI-compatible address: vLLM, llama.cpp's server, or the studio's own ``studio serve``."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urldefrag

import httpx

from studio.apps.chat_model import Ending, Message, ModelDownError, Piece, Sampling, adapter_hash
from studio.core.errors import StudioError, UserError
from studio.core.workspace import Workspace, read_run

KEY_VARIABLE = "STUDIO_API_KEY"
_TIMEOUT = httpx.Timeout(10.0, read=180.0)
# How servers say that a prompt does not fit: vLLM, OpenAI, llama.cpp.
_TOO_LONG = ("maximum context length", "context_length_exceeded", "context length", "exceeds the available context", "too long")


class EndpointShelf:
    """The models an address offers."""

    # The server has a queue of its own; this only bounds how many connections one app opens.
    at_once = 16

    def __init__(self, address: str, workspace: Workspace, key: str | None = None) -> None:
        """``address``: with or without ``/v1``, and ``#NAME`` for the model that comes first.

        Args:
            key: None takes that of ``STUDIO_API_KEY``.
        """
        root, self._first = urldefrag(address)
        root = root.rstrip("/")
        self.address = root if root.endswith("/v1") else f"{root}/v1"
        self._workspace, self._key = workspace, key

    def choices(self) -> list[str]:
        """Names as the server lists them, the one that was asked for before all others."""
        try:
            with _client(10.0, self._key) as client:
                answer = client.get(f"{self.address}/models")
        except httpx.HTTPError as error:
            raise ModelDownError(_unreachable(self.address, error)) from error
        if answer.status_code != 200:
            raise ModelDownError(_refused(self.address, answer.status_code, answer.text))
        try:
            names = [str(entry["id"]) for entry in answer.json()["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelDownError(
                f"{self.address} answers, but not as an OpenAI-compatible server does. Check the address."
            ) from error
        if not names:
            raise ModelDownError(f"{self.address} offers no model.")
        if not self._first:
            return names
        if self._first not in names:
            raise ModelDownError(f"{self.address} serves {', '.join(names)}, not {self._first}. Write {self.address}#NAME.")
        return [self._first, *(name for name in names if name != self._first)]

    def get(self, name: str) -> EndpointModel:
        """A model by the server's name; its hashes come from a run of that name in the workspace, where there is one."""
        adapter = template = None
        try:
            record = read_run(self._workspace.find_run(name))
            adapter, template = adapter_hash(record.files), record.template.get("sha256")
        except StudioError:
            # A name the workspace does not know: the server's own base, or someone else's server.
            adapter = template = None
        return EndpointModel(name, self.address, adapter, template, self._key)


class EndpointModel:
    """One model of a server."""

    def __init__(self, name: str, address: str, adapter: str | None, template: str | None, key: str | None = None) -> None:
        """``address`` ends with ``/v1``; ``key`` as of the shelf."""
        self.name, self.adapter_hash, self.template_hash = name, adapter, template
        self._address, self._key = address, key

    @property
    def ready(self) -> bool:
        """See :class:`studio.apps.chat_model.ChatModel`; what a server has to load first cannot be seen from here."""
        return True

    def stream(self, messages: Sequence[Message], sampling: Sampling, stop: threading.Event) -> Iterator[Piece]:
        """See :class:`studio.apps.chat_model.ChatModel`; turns that do not fit are left out, the oldest first."""
        kept = list(messages)
        forgotten = 0
        while True:
            try:
                yield from self._stream(kept, sampling, stop, forgotten)
                return
            except _TooLongError as error:
                shorter = _without_oldest(kept)
                if shorter is None:
                    raise UserError(
                        f"the question is longer than the model can see at once ({error}). Ask something shorter."
                    ) from error
                forgotten += len(kept) - len(shorter)
                kept = shorter

    def _stream(self, messages: list[Message], sampling: Sampling, stop: threading.Event, forgotten: int) -> Iterator[Piece]:
        """One request."""
        body: dict[str, Any] = {
            "model": self.name,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        started = time.perf_counter()
        text, thought, ending = "", "", None
        first: float | None = None
        usage: dict[str, Any] = {}
        try:
            with (
                _client(_TIMEOUT, self._key) as client,
                client.stream("POST", f"{self._address}/chat/completions", json=body) as answer,
            ):
                if answer.status_code != 200:
                    self._refuse(answer)
                for event in _events(answer):
                    usage = event.get("usage") or usage
                    part, thinking, reason = _delta(event)
                    ending = _ending(reason) or ending
                    if part or thinking:
                        text, thought = text + part, thought + thinking
                        first = first if first is not None else time.perf_counter() - started
                        yield Piece(text, forgotten=forgotten, thought=thought)
                    if stop.is_set():
                        ending = "stopped"
                        break
        except httpx.HTTPError as error:
            broken = f"the answer broke off: {self._address} closed the connection ({error}). Try again." if text else None
            raise ModelDownError(broken or _unreachable(self._address, error)) from error
        if ending is None:
            raise ModelDownError(
                f"the answer broke off: {self._address} ended the stream without saying that it was done. Try again."
            )
        spent = time.perf_counter() - started
        tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
        yield Piece(text.strip(), ending, spent, first, *tokens, forgotten, thought.strip())

    def _refuse(self, answer: httpx.Response) -> None:
        """Raise what a status means."""
        answer.read()
        if answer.status_code == 400 and any(mark in answer.text.lower() for mark in _TOO_LONG):
            raise _TooLongError(_message(answer.text))
        raise ModelDownError(_refused(self._address, answer.status_code, answer.text))


class _TooLongError(Exception):
    """The server says that the prompt does not fit."""


def _client(timeout: httpx.Timeout | float, own: str | None) -> httpx.Client:
    """A client that asks the address itself, with its own key, or that of the environment where there is one."""
    key = own or os.environ.get(KEY_VARIABLE) or os.environ.get("OPENAI_API_KEY")
    return httpx.Client(timeout=timeout, headers={"Authorization": f"Bearer {key}"} if key else {}, follow_redirects=False)


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """JSON objects of a stream of server-sent events, up to ``[DONE]``."""
    for line in answer.iter_lines():
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if not data:
            continue
        if data == "[DONE]":
            return
        try:
            event = json.loads(data)
        except json.JSONDecodeError as error:
            raise ModelDownError(f"the server sent something that is no JSON ({data[:80]!r}). Try again.") from error
        if not isinstance(event, dict):
            raise ModelDownError(f"the server sent {data[:80]!r} where an event of an answer should be. Try again.")
        if event.get("error"):  # some servers write "error": null into every event
            raise ModelDownError(f"the server broke off: {_message(data)}. Try again.")
        yield event


def _delta(event: dict[str, Any]) -> tuple[str, str, str | None]:
    """New text, new words of the thought (under its older or its newer name) and the reason to end in one event."""
    for choice in event.get("choices") or []:
        delta = choice.get("delta") or {}
        thinking = delta.get("reasoning_content") or delta.get("reasoning") or ""
        return delta.get("content") or "", thinking, choice.get("finish_reason")
    return "", "", None


def _ending(reason: str | None) -> Ending | None:
    """The server's reason to end in our words."""
    return None if reason is None else "cut" if reason == "length" else "ok"


def _without_oldest(messages: list[Message]) -> list[Message] | None:
    """The talk without its oldest exchange; None when only the last question is left. The system turn stays."""
    system = messages[:1] if messages and messages[0]["role"] == "system" else []
    turns = messages[len(system) :]
    following = [index for index, turn in enumerate(turns) if index and turn["role"] == "user"]
    return [*system, *turns[following[0] :]] if following else None


def _unreachable(address: str, error: Exception) -> str:
    """One sentence for a server that does not answer."""
    if isinstance(error, httpx.TimeoutException):
        return f"the model at {address} took too long to answer. Try again, or look whether the server is overloaded."
    return f"the model at {address} cannot be reached ({error}). Start it (studio serve RUN), then try again."


def _refused(address: str, status: int, text: str) -> str:
    """One sentence for an answer that is an error."""
    if status in {401, 403}:
        return f"{address} asks for a key. Set {KEY_VARIABLE} before starting the app."
    if status == 429:
        return "too many requests at the moment. Wait a little and try again."
    if status == 404:
        return f"{address} does not know this model any more. Choose another from the list."
    return (
        f"the model at {address} answered with an error ({status}: {_message(text)}). Try again, or look into the server's log."
    )


def _message(text: str) -> str:
    """The sentence inside an error's JSON, or the beginning of the text."""
    try:
        value = json.loads(text)
        error = value.get("error", value)
        inner = error.get("message", error) if isinstance(error, dict) else error
    except (json.JSONDecodeError, AttributeError):
        inner = text
    return " ".join(str(inner).split())[:200].rstrip(".")
