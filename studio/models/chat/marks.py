"""The control tokens of a vocabulary, as text: where they end a turn, and where they stand in what people wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Marks:
    """Tokens that a tokenizer cuts out of a text before anything else.

    added: ids of all of them. special: those that are control tokens. ending: a run of them at the start of a text, blanks before
    it allowed. control: any control token anywhere. firsts: the characters they begin with.
    """

    added: frozenset[int]
    special: frozenset[int]
    ending: re.Pattern[str] | None
    control: re.Pattern[str] | None
    firsts: frozenset[str]

    def found(self, text: str) -> str | None:
        """The first control token that a text spells out, which the tokenizer will take for a real one."""
        if self.control is None or not any(first in text for first in self.firsts):
            return None
        match = self.control.search(text)
        return match.group() if match else None


_KNOWN: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, Marks]] = WeakKeyDictionary()


def marks_of(tokenizer: PreTrainedTokenizerBase) -> Marks:
    """The marks of a tokenizer, also those without a name of their own (``<end_of_turn>`` in Gemma's); gathered once."""
    size = len(tokenizer)
    known = _KNOWN.get(tokenizer)
    if known is None or known[0] != size:
        known = _KNOWN[tokenizer] = (size, _gathered(tokenizer))
    return known[1]


def _gathered(tokenizer: PreTrainedTokenizerBase) -> Marks:
    """Read the added tokens of a tokenizer."""
    entries = {token: entry for token, entry in tokenizer.added_tokens_decoder.items() if entry.content.strip()}
    named = set(tokenizer.all_special_ids)
    special = {token: entry.content for token, entry in entries.items() if entry.special or token in named}
    run = _any_of(entry.content for entry in entries.values())
    control = _any_of(special.values())
    return Marks(
        frozenset(entries),
        frozenset({*named, *special}),
        re.compile(rf"\s*(?:{run})+") if run else None,
        re.compile(control) if control else None,
        frozenset(content[0] for content in special.values()),
    )


def _any_of(texts: Iterable[str]) -> str:
    """A pattern that takes the longest of the texts that fits."""
    return "|".join(re.escape(text) for text in sorted(set(texts), key=lambda text: (-len(text), text)))
