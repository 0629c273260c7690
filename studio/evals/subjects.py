"""What is measured: anything that can answer prompts and score conversations. Here a model in this process; an endpoint can be
another implementation of the same three methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.core.files import sha256_json
from studio.evals.chat.generation import Decoding, context_length, end_tokens, write_answers
from studio.evals.chat.likelihood import score_rows
from studio.evals.chat.text_likelihood import text_logprobs
from studio.evals.evidence import Answer, Likelihood, LogProb, Message
from studio.models.chat.encoding import EncodedRow, TrainOn, encode_conversation, encode_prompt
from studio.models.chat.templates import ChatTemplate

Advance = Callable[[int], None]


class Subject(Protocol):
    """A model under measurement.

    label: ``tuned`` or ``base`` in the report. about: what it is, for ``scores.json``. tokens_like: an identity of its
    tokenizer; per-token figures are compared only where it is equal.
    """

    @property
    def label(self) -> str:
        """Name in the report."""
        ...

    @property
    def about(self) -> dict[str, Any]:
        """What it is."""
        ...

    @property
    def tokens_like(self) -> str:
        """Identity of the tokenizer."""
        ...

    def answers(
        self, prompts: Sequence[Sequence[Message]], decoding: Decoding, *, batch_size: int, advance: Advance | None = None
    ) -> list[Answer | None]:
        """One answer per prompt; None where none can be had."""
        ...

    def likelihoods(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        batch_size: int,
        max_length: int | None,
        advance: Advance | None = None,
    ) -> list[Likelihood | None]:
        """Likelihood of the assistant tokens of each conversation; None where there is none to score."""
        ...

    def text_logprobs(
        self, texts: Sequence[tuple[str, str]], *, batch_size: int, advance: Advance | None = None
    ) -> list[LogProb | None]:
        """Log-probability of each continuation given its prefix, as plain text after exactly one BOS or EOS token and without a
        template; None where there is nothing to score or no room.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a plain text."""
        ...


@dataclass
class LocalSubject:
    """A transformers model in this process, with or without its adapter switched on."""

    label: str
    model: Any
    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate
    train_on: TrainOn = "assistant"
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def tokens_like(self) -> str:
        """Hash of the vocabulary: with the same one, an answer has the same tokens."""
        return sha256_json(sorted(self.tokenizer.get_vocab().items()))

    def answers(
        self, prompts: Sequence[Sequence[Message]], decoding: Decoding, *, batch_size: int, advance: Advance | None = None
    ) -> list[Answer | None]:
        """See :meth:`Subject.answers`. A prompt the template refuses, or longer than the context, has no answer."""
        encoded = [self._prompt(prompt) for prompt in prompts]
        written = write_answers(
            self.model,
            encoded,
            decoding,
            ends=end_tokens(self.model, self.tokenizer, self.template),
            context=context_length(self.model, self.tokenizer),
            batch_size=batch_size,
            advance=advance,
        )
        return [
            Answer(str(self.tokenizer.decode(item.ids, skip_special_tokens=True)).strip(), len(item.ids), item.truncated)
            if item
            else None
            for item in written
        ]

    def likelihoods(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        batch_size: int,
        max_length: int | None,
        advance: Advance | None = None,
    ) -> list[Likelihood | None]:
        """See :meth:`Subject.likelihoods`. Rows longer than the limit are cut on the right, as in training."""
        context = context_length(self.model, self.tokenizer)
        limit = min(max_length or context, context)
        rows = [self._row(conversation, limit) for conversation in conversations]
        return score_rows(self.model, rows, batch_size=batch_size, advance=advance)

    def text_logprobs(
        self, texts: Sequence[tuple[str, str]], *, batch_size: int, advance: Advance | None = None
    ) -> list[LogProb | None]:
        """See :meth:`Subject.text_logprobs`. Common beginnings are computed once."""
        return text_logprobs(self.model, self.tokenizer, texts, batch_size=batch_size, advance=advance)

    def count_tokens(self, text: str) -> int:
        """Tokens of a plain text, no special tokens added."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a prompt; empty when there is none or the template refuses it."""
        try:
            return encode_prompt(self.tokenizer, self.template, messages) if messages else []
        except DataError:
            return []

    def _row(self, messages: Sequence[Message], limit: int) -> EncodedRow:
        """A conversation with its mask; without targets when the template refuses it."""
        try:
            return encode_conversation(self.tokenizer, self.template, messages, train_on=self.train_on, max_length=limit)
        except DataError:
            return EncodedRow([], [], [], 0, 0)
