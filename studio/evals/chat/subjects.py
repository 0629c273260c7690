"""A language model in this process as a subject, with or without its adapter switched on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.core.files import sha256_json
from studio.evals.chat.generation import context_length, end_tokens, write_answers
from studio.evals.chat.likelihood import joined, score_rows
from studio.evals.chat.text_likelihood import text_logprobs
from studio.evals.evidence import Answer, Decoding, Likelihood, LogProb, Message
from studio.evals.subjects import Advance
from studio.models.chat.encoding import EncodedRow, TrainOn, encode_examples, encode_prompt
from studio.models.chat.templates import ChatTemplate


@dataclass
class LocalSubject:
    """A transformers model in this process; a :class:`studio.evals.subjects.Subject`."""

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
        examples = [self._examples(conversation, limit) for conversation in conversations]
        scored = iter(score_rows(self.model, [row for rows in examples for row in rows], batch_size=batch_size, advance=advance))
        return [joined([next(scored) for _ in rows]) for rows in examples]

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

    def _examples(self, messages: Sequence[Message], limit: int) -> list[EncodedRow]:
        """A conversation with its mask, or several of one answer each; one without targets when the template refuses it."""
        try:
            found = encode_examples(self.tokenizer, self.template, messages, train_on=self.train_on, max_length=limit)
        except DataError:
            return [EncodedRow([], [], [], 0, 0)]
        return found.rows or [EncodedRow([], [], [], 0, 0)]
