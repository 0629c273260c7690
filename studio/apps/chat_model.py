"""A model to talk to, whatever stands behind it: how an answer is drawn, the answer as it grows, the shelf one chooses from."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

from studio.core.errors import StudioError
from studio.core.files import sha256_json
from studio.core.translation import later
from studio.feedback.store import Origin

Message = dict[str, Any]
Ending = Literal["ok", "cut", "stopped"]

LOADING_NOTE = later("Loading the model …")


class ModelDownError(StudioError):
    """The model cannot be reached or broke off; the message says what to do."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. max_new_tokens: longest answer; temperature 0 is greedy; seed None draws anew each time."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Piece:
    """An answer so far. ending: None while it is written. forgotten: oldest turns the model no longer saw. thought: before it.
    calls: of tools, after its text, as OpenAI writes them.
    """

    text: str
    ending: Ending | None = None
    seconds: float = 0.0
    first_token_seconds: float | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    forgotten: int = 0
    thought: str = ""
    calls: tuple[dict[str, Any], ...] = ()

    @property
    def said(self) -> bool:
        """True when there is more than a thought."""
        return bool(self.text or self.calls)

    @property
    def turn(self) -> dict[str, Any]:
        """The turn with which the talk goes on, with only the keys that hold something."""
        more = {"reasoning_content": self.thought, "tool_calls": list(self.calls)}
        return {"role": "assistant", "content": self.text, **{key: value for key, value in more.items() if value}}


class ChatModel(Protocol):
    """A model to talk to. template_hash and adapter_hash are None where they cannot be known from outside."""

    name: str
    adapter_hash: str | None
    template_hash: str | None

    @property
    def ready(self) -> bool:
        """False while the next answer has to wait until the model is loaded."""
        ...

    def stream(self, messages: Sequence[Message], sampling: Sampling, stop: threading.Event) -> Iterator[Piece]:
        """Yield the growing answer; the last piece has an ending. Setting ``stop`` ends it soon, with what there is.

        Raises:
            UserError: the last question alone is too long.
            ModelDownError: the model cannot be reached or broke off.
        """
        ...


class Shelf(Protocol):
    """The models one can choose from."""

    at_once: int

    def choices(self) -> list[str]:
        """Names, the preferred one first.

        Raises:
            ModelDownError: the address does not answer.
        """
        ...

    def get(self, name: str) -> ChatModel:
        """The model of a name, opened when it was not yet."""
        ...


def origin_of(model: ChatModel, sampling: Sampling, *, user: str, app: str) -> Origin:
    """Who answers whom, for the feedback store."""
    return Origin(model.name, user, app, model.adapter_hash, model.template_hash, asdict(sampling))


def adapter_hash(files: dict[str, str]) -> str | None:
    """One hash over the weights a run wrote down (its adapter, or its model after full tuning)."""
    weights = {name: value for name, value in sorted(files.items()) if name.endswith(".safetensors")}
    return sha256_json(weights) if weights else None


def with_system(messages: Sequence[Message], system: str | None) -> list[Message]:
    """A talk with a system turn before it, at every turn anew; an empty one adds none. Thoughts and calls go along."""
    first = [{"role": "system", "content": system.strip()}] if system and system.strip() else []
    keys = ("role", "content", "reasoning_content", "tool_calls")
    talk = ({key: turn[key] for key in keys if turn.get(key) is not None} for turn in messages)
    return [*first, *(turn for turn in talk if turn["role"] != "system")]


def drawn_anew(sampling: Sampling) -> Sampling:
    """The same settings for a second try: a greedy answer would come out the same, so it is drawn at a low temperature."""
    return sampling if sampling.temperature else replace(sampling, temperature=0.7, top_p=0.95)
