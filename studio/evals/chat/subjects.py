"""A language model in this process as a subject, with or without its adapter switched on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.core.files import sha256_json
from studio.evals.chat.likelihood import joined, score_rows
from studio.evals.chat.text_likelihood import text_logprobs
from studio.evals.evidence import Answer, Decoding, Likelihood, LogProb, Message, Tool
from studio.evals.subjects import Advance, Offered, offered
from studio.models.chat.answers import answer_text, opened_in, read_answer, tool_syntax
from studio.models.chat.encoding import EncodedRow, TrainOn, encode_examples, encode_prompt
from studio.models.chat.generation import Written, context_length, end_tokens, write_answers
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

    @property
    def calls_tools(self) -> bool:
        """See :attr:`Subject.calls_tools`: whether the template writes calls in a known way."""
        return tool_syntax(self.template, self.tokenizer) is not None

    def answers(
        self,
        prompts: Sequence[Sequence[Message]],
        decoding: Decoding,
        *,
        batch_size: int,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Answer | None]:
        """See :meth:`Subject.answers`. A prompt the template refuses, or longer than the context, has no answer."""
        given = offered(tools, len(prompts))
        encoded = [self._prompt(*both) for both in zip(prompts, given, strict=True)]
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
            self._answer(item, prompt, each) if item else None for item, prompt, each in zip(written, encoded, given, strict=True)
        ]

    def likelihoods(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        batch_size: int,
        max_length: int | None,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Likelihood | None]:
        """See :meth:`Subject.likelihoods`. Rows longer than the limit are cut on the right, as in training."""
        context = context_length(self.model, self.tokenizer)
        limit = min(max_length or context, context)
        pairs = zip(conversations, offered(tools, len(conversations)), strict=True)
        examples = [self._examples(conversation, each, limit) for conversation, each in pairs]
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

    def _answer(self, written: Written, prompt: Sequence[int], tools: Sequence[Tool]) -> Answer:
        """What was written, with thought and calls told apart; the thought is not counted among the tokens."""
        found = read_answer(
            self.template,
            self.tokenizer,
            answer_text(self.tokenizer, written.ids),
            tools=tools,
            opened=opened_in(self.tokenizer, prompt),
            calls=bool(tools),
        )
        thought = found.reasoning_content
        tokens = len(written.ids) if thought is None else max(0, len(written.ids) - self.count_tokens(thought))
        if thought is not None and not found.tool_calls:
            tokens = self.count_tokens(found.content)
        return Answer(found.content, tokens, written.truncated, thought, found.tool_calls, found.broken_calls)

    def _prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        """Token ids of a prompt; empty when there is none or the template refuses it."""
        try:
            return encode_prompt(self.tokenizer, self.template, messages, tools=tools) if messages else []
        except DataError:
            return []

    def _examples(self, messages: Sequence[Message], tools: Sequence[Tool], limit: int) -> list[EncodedRow]:
        """A conversation with its mask, or several of one answer each; one without targets when the template refuses it."""
        try:
            found = encode_examples(
                self.tokenizer, self.template, messages, tools=tools, train_on=self.train_on, max_length=limit
            )
        except DataError:
            return [EncodedRow([], [], [], 0, 0)]
        return found.rows or [EncodedRow([], [], [], 0, 0)]
