"""From a conversation to token ids and the mask of what carries loss. Training, evaluation and serving all come through here.

Legend: s tokens of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedTokenizerBase

from studio.core.errors import DataError
from studio.models.chat.templates import ChatTemplate, render

Message = dict[str, str]
TrainOn = Literal["assistant", "last_assistant", "all"]
IGNORE = -100


@dataclass(frozen=True)
class EncodedRow:
    """A conversation as the model sees it.

    input_ids: int [s].
    trained: bool [s]; True where the token is a target. The loss at position t-1 predicts token t.
    ends: positions of the end-of-turn tokens of the trained turns that are still in the row.
    turns: how many assistant turns the mask asks for, before any cut.
    full_length: tokens before the row was cut.
    """

    input_ids: list[int]
    trained: list[bool]
    ends: list[int]
    turns: int
    full_length: int

    @property
    def cut(self) -> int:
        """Tokens lost on the right."""
        return self.full_length - len(self.input_ids)

    @property
    def labels(self) -> list[int]:
        """Labels, int [s]: -100 where there is no loss (the position itself, unshifted, as transformers expects)."""
        return [token if trained else IGNORE for token, trained in zip(self.input_ids, self.trained, strict=True)]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, template: ChatTemplate, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to where the assistant is to speak, exactly as in training."""
    text = render(tokenizer, template, messages, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_conversation(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    messages: Sequence[Message],
    *,
    train_on: TrainOn = "assistant",
    max_length: int | None = None,
) -> EncodedRow:
    """Encode one conversation and mark the tokens that carry loss.

    The whole conversation is rendered once and tokenised once, as a server does it; the mask is laid over it by character
    offsets, so that marking never changes a token. A trained span runs from the first token after the generation prompt
    to the end-of-turn token, which is trained; what the template writes after that (a newline) is not.

    Args:
        tokenizer: a fast tokenizer (it knows character offsets).
        messages: role and content; at least one.
        train_on: every assistant turn, the last one, or all tokens.
        max_length: cut on the right at this many tokens.
    Raises:
        DataError: the template rewrites earlier turns, so that the spans of this conversation cannot be told.
    """
    text = render(tokenizer, template, messages)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = list(encoding["input_ids"])
    offsets: list[tuple[int, int]] = list(encoding["offset_mapping"])
    trained = [train_on == "all"] * len(ids)
    ends: list[int] = []
    spans = _assistant_spans(tokenizer, template, messages, text, last_only=train_on == "last_assistant")
    special = _special_ids(tokenizer)
    position = 0
    for start, stop in spans:
        while position < len(ids) and offsets[position][1] <= start:
            position += 1
        while position < len(ids) and offsets[position][0] < stop:
            trained[position] = True
            # The first special token inside the span closes the turn; only blanks may follow it.
            if ids[position] in special and not text[offsets[position][1] : stop].strip():
                ends.append(position)
                position += 1
                break
            position += 1
    keep = len(ids) if max_length is None else min(len(ids), max_length)
    return EncodedRow(ids[:keep], trained[:keep], [end for end in ends if end < keep], len(spans), len(ids))


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of all control tokens, also those without a name of their own (``<end_of_turn>`` in Gemma's tokenizer)."""
    added = tokenizer.added_tokens_decoder
    return {*tokenizer.all_special_ids, *(token for token, entry in added.items() if entry.special)}


def _assistant_spans(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    messages: Sequence[Message],
    text: str,
    *,
    last_only: bool,
) -> list[tuple[int, int]]:
    """Half-open character ranges of what the assistant writes, found by rendering ever longer prefixes.

    Stock templates carry no ``{% generation %}`` marks (Llama-3.1, Qwen3 and Gemma-3 give all-zero assistant masks), so
    the range of turn i lies between the prompt before it and the rendering that includes it.
    """
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if last_only:
        turns = turns[-1:]
    spans: list[tuple[int, int]] = []
    for index in turns:
        before = render(tokenizer, template, messages[:index], add_generation_prompt=True)
        after = text if index == len(messages) - 1 else render(tokenizer, template, messages[: index + 1])
        stop = len(after) if text.startswith(after) else _rewritten_stop(text, before, after, messages[index]["content"])
        if stop is None or not text.startswith(before):
            raise DataError(
                f"the chat template {template.name!r} writes turn {index + 1} differently once more turns follow, so its "
                "tokens cannot be marked for training. Set train_on: last_assistant, or another chat_template (chatml)."
            )
        spans.append((len(before), stop))
    return spans


def _rewritten_stop(text: str, before: str, after: str, content: str) -> int | None:
    """End of a turn that looks different once more turns follow, if it is still the same answer, closed in the same way.

    Qwen3's template writes a thought (also an empty one) before the last answer only. So what closes the turn is read off
    the rendering in which it comes last, and answer and close must then stand, unchanged, where the turn begins.
    """
    answer = content.rpartition("</think>")[2].strip()
    at = after.find(answer, len(before)) if answer and after.startswith(before) else -1
    while at >= 0 and not text.startswith(after[at:], len(before)):
        at = after.find(answer, at + 1)
    return len(before) + len(after) - at if at >= 0 else None
