"""What is asked of a model and what came back: the one type that flows from models to metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.models.decoding import Decoding as Decoding  # callers of this module have it from here

Message = dict[str, Any]
"""A turn of a conversation."""
Tool = dict[str, Any]
"""A function that a model may call, as OpenAI writes it."""


@dataclass(frozen=True)
class Question:
    """One held-out row.

    messages: the whole conversation, for likelihoods.
    prompt: everything before the assistant turn that is asked for; empty when the row has none.
    reference: what that turn says, without its thought; None when the row has no assistant turn, or the turn only calls tools.
    tools: what the model may call. calls: what that turn calls, as OpenAI writes it.
    """

    id: str
    messages: Sequence[Message]
    prompt: Sequence[Message]
    reference: str | None
    tools: Sequence[Tool] = ()
    calls: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class Answer:
    """What a model wrote, told apart.

    text: what it says; a thought before it, and calls of tools that were offered, stand beside it.
    tokens: how many it wrote, the thought and the end token left out. truncated: stopped by the limit, not by its own end token.
    thought: None without one. tool_calls: as OpenAI writes them, arguments as values. broken_calls: what stands where a call
    should and cannot be read as one.
    Of a server: filtered: its content filter took the answer or a part of it away. missing: its reply had no answer in it.
    model: the one that it says has answered, where that is not the one that was asked.
    """

    text: str
    tokens: int
    truncated: bool
    thought: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    broken_calls: list[str] = field(default_factory=list)
    filtered: bool = False
    missing: bool = False
    model: str | None = None

    @property
    def only_thought(self) -> bool:
        """True when nothing came after the thought, most often because the limit cut it off: that is no answer."""
        if self.thought is None or self.text or self.tool_calls or self.broken_calls:
            return False
        return bool(self.thought) or self.truncated

    @property
    def empty(self) -> bool:
        """True when there is nothing in it: no word, no call and no thought that goes on for ever."""
        return not (self.text.strip() or self.tool_calls or self.broken_calls or self.only_thought)


def scored_text(answer: Answer | None) -> str | None:
    """The text that is held against a reference; None where there is no answer. An empty one is wrong, not missing."""
    return None if answer is None or answer.only_thought else answer.text


def spoken_text(answer: Answer | None) -> str | None:
    """The text of an answer in which something is said; None where it says nothing.

    For what only something said can do: insult, refuse, copy. A model that says nothing has not passed there.
    """
    text = scored_text(answer)
    return text if text and text.strip() else None


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of a row's assistant tokens, in nats; how many tokens that is; how many the limit cut off.

    weight: sum of the tokens' weights where turns have some, and ``nll`` is then weighted too; None where each counts 1.
    """

    nll: float
    tokens: int
    cut: int = 0
    weight: float | None = None

    @property
    def mass(self) -> float:
        """What ``nll`` is divided by for a mean per token, as in training."""
        return float(self.tokens) if self.weight is None else self.weight


@dataclass(frozen=True)
class LogProb:
    """Log-probability of a plain text's tokens, in nats, summed; how many tokens that is."""

    sum: float
    tokens: int


@dataclass(frozen=True)
class Evidence:
    """All that is known about one model on one question. None means it could not be had, which lowers coverage."""

    question: Question
    answer: Answer | None = None
    likelihood: Likelihood | None = None
    reference_tokens: int | None = None
    """Tokens of the reference under the model's tokenizer."""

    @property
    def said(self) -> str | None:
        """The answer's text without its thought; None where there is no answer."""
        return scored_text(self.answer)
