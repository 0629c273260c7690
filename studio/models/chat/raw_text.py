"""Raw text on its way into a model: the marks of the tokenizer around it, and pieces of it that lose nothing.

Legend: n tokens of a text with its marks, s tokens of a piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT_ROLE = "text"
"""Role of the only turn of a row that is raw text: nobody asks and nobody answers."""


def is_text(messages: Sequence[Mapping[str, Any]]) -> bool:
    """True for raw text, which lies in a row as its only turn."""
    return len(messages) == 1 and messages[0]["role"] == TEXT_ROLE


def opening(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The BOS token, where the tokenizer begins every text with one; nothing where it does not (GPT-2, SmolLM2, Qwen)."""
    bos = tokenizer.bos_token_id
    return [int(bos)] if bos is not None and bos in tokenizer("", add_special_tokens=True)["input_ids"] else []


def framed(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[int]:
    """Ids of a text after its BOS, and before the EOS that every tokenizer with one gets here: where a document ends is learnt.

    A mark that the text brings itself is not written twice. Shapes: [any] -> [n].
    """
    head = opening(tokenizer)
    end = tokenizer.eos_token_id
    tail = [] if end is None or list(ids[-1:]) == [end] else [int(end)]
    return [*([] if list(ids[:1]) == head else head), *ids, *tail]


def pieces(ids: Sequence[int], head: Sequence[int], max_length: int | None) -> Iterator[list[int]]:
    """Pieces of at most ``max_length`` tokens, in which every token but the first of the text is predicted exactly once.

    A piece needs one token to predict its first one from: the BOS of the tokenizer, or else the last token of the piece before.
    Shapes: [n] -> [s] each.

    Args:
        head: from :func:`opening`.
    """
    if max_length is None or len(ids) <= max_length:
        yield list(ids)
        return
    first, room = max(2, max_length), max(1, max_length - 1)
    yield list(ids[:first])
    for start in range(first, len(ids), room):
        yield [*(head or ids[start - 1 : start]), *ids[start : start + room]]
