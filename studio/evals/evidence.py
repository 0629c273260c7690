"""What is asked of a model and what came back: the one type that flows from models to metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Message = dict[str, str]


@dataclass(frozen=True)
class Question:
    """One held-out row.

    messages: the whole conversation, for likelihoods.
    prompt: everything before the last assistant turn; empty when the row has none.
    reference: what that turn says; None when the row has no assistant turn.
    """

    id: str
    messages: Sequence[Message]
    prompt: Sequence[Message]
    reference: str | None


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen; temperature 0 is greedy, top_p 1 and top_k 0 keep all tokens."""

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """What a model wrote.

    tokens: how many it wrote, the end token left out. truncated: stopped by the limit, not by its own end token.
    """

    text: str
    tokens: int
    truncated: bool


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of a row's assistant tokens, in nats; how many tokens that is; how many the limit cut off."""

    nll: float
    tokens: int
    cut: int = 0


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


def question_from(row_id: str, messages: Sequence[Message]) -> Question:
    """Split a conversation before its last assistant turn; what follows that turn is not asked."""
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not turns:
        return Question(row_id, messages, (), None)
    return Question(row_id, messages, messages[: turns[-1]], messages[turns[-1]]["content"])
