"""What is measured: anything that can answer prompts and score conversations. A model in this process and one behind a server are
two implementations of the same three methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from studio.evals.evidence import Answer, Decoding, Likelihood, LogProb, Message, Tool

Advance = Callable[[int], None]
Offered = Sequence[Sequence[Tool]] | None


def offered(tools: Offered, count: int) -> Sequence[Sequence[Tool]]:
    """The tools of each of ``count`` conversations, also where there are none."""
    return [()] * count if tools is None else tools


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

    @property
    def calls_tools(self) -> bool:
        """False when it is known that no call of a tool could be read off what it writes."""
        ...

    def answers(
        self,
        prompts: Sequence[Sequence[Message]],
        decoding: Decoding,
        *,
        batch_size: int,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Answer | None]:
        """One answer per prompt; None where none can be had.

        Args:
            tools: what may be called, for each prompt; None offers none.
        """
        ...

    def likelihoods(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        batch_size: int,
        max_length: int | None,
        tools: Offered = None,
        advance: Advance | None = None,
    ) -> list[Likelihood | None]:
        """Likelihood of the assistant tokens of each conversation; None where there is none to score.

        Args:
            tools: what each conversation offers; None offers none.
        """
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
