"""Talking to a model turn by turn: history that fits the context, answers that grow, thoughts and calls told from words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from studio.core.errors import UserError
from studio.evals.evidence import Decoding
from studio.models.chat.answers import Answered, answer_text, as_template_wants, opened_in, read_answer, read_growing
from studio.models.chat.encoding import Message, encode_prompt
from studio.models.chat.generation import context_length, end_tokens, stream_tokens
from studio.models.chat.templates import ChatTemplate


@dataclass
class Conversation:
    """One talk with one model; ``history`` holds user and assistant turns, thoughts in a field of their own, ``system`` stands
    before them.

    The model sees the history from ``seen_from`` on; turns before it no longer fit its context and are kept all the same.
    After an answer: prompt_tokens and answer_tokens, and cut, true when it ended at the limit and not by itself.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate
    decoding: Decoding
    system: str | None = None
    history: list[Message] = field(default_factory=list)
    seen_from: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cut: bool = False

    @property
    def messages(self) -> list[Message]:
        """What the model sees, the system turn first."""
        return self._opening + self.history[self.seen_from :]

    @property
    def transcript(self) -> list[Message]:
        """The whole talk, the system turn first, with the turns that the model no longer sees."""
        return self._opening + self.history

    @property
    def _opening(self) -> list[Message]:
        """The system turn, if there is one."""
        return [{"role": "system", "content": self.system}] if self.system else []

    def restart(self) -> None:
        """Forget the talk; the system turn stays."""
        self.history.clear()
        self.seen_from = 0

    def fit(self) -> int:
        """Leave the oldest turns out until the history with room for an answer fits the context.

        The turn asked last always stays. Room is ``max_new_tokens``, or half the context where that is less.

        Returns:
            How many turns were left out.
        Raises:
            UserError: the last question alone is longer than the context.
        """
        context = context_length(self.model, self.tokenizer)
        room = min(self.decoding.max_new_tokens, context // 2)
        forgotten = 0
        while (length := len(self.prompt())) > context - room:
            # The next user turn starts what is kept: a talk never begins with an answer.
            following = [i for i, turn in enumerate(self.history) if i > self.seen_from and turn["role"] == "user"]
            if not following:
                if length < context:
                    break
                raise UserError(f"the question has {length} tokens and the model sees {context} at once. Ask something shorter.")
            forgotten += following[0] - self.seen_from
            self.seen_from = following[0]
        return forgotten

    def prompt(self) -> list[int]:
        """Token ids that the model is asked with, the thoughts of earlier answers as the template takes them."""
        turns = as_template_wants(self.template, self.tokenizer, self.messages)
        return encode_prompt(self.tokenizer, self.template, turns)

    def answers(self, model: Any = None) -> Iterator[Answered]:
        """Yield the answer to the history as far as it is written, the last time whole; the history is not changed.

        Args:
            model: another model with the same tokenizer, for example the base.
        """
        network = self.model if model is None else model
        prompt = self.prompt()
        ends = end_tokens(network, self.tokenizer, self.template)
        context = context_length(network, self.tokenizer)
        ids: list[int] = []
        shown, opened = Answered(""), opened_in(self.tokenizer, prompt)
        self.prompt_tokens, self.answer_tokens, self.cut = len(prompt), 0, False
        for token in stream_tokens(network, prompt, self.decoding, ends=ends, context=context):
            ids.append(token)
            self.answer_tokens = len(ids)
            text = answer_text(self.tokenizer, ids)
            # Half a character decodes to the replacement mark and is held back until its other half is there.
            if not text.endswith("�") and (now := read_growing(self.template, self.tokenizer, text, opened=opened)) != shown:
                yield now
                shown = now
        self.cut = len(ids) >= min(self.decoding.max_new_tokens, context - len(prompt))
        yield read_answer(self.template, self.tokenizer, answer_text(self.tokenizer, ids), opened=opened)
