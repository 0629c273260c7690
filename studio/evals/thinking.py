"""Thoughts of the models under measurement: they are taken off before anything is scored, and told in the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from studio.evals.evidence import Answer, Message

_KEPT = 20


@dataclass
class Thinking:
    """Counts over the answers of one model.

    asked: answers that there are. thought: those with a thought. without_end: those that are nothing but a thought, and so no
    answer; cut: those of them that the limit of tokens stopped. examples: the first that have a thought, each with its prompt.
    """

    asked: int = 0
    thought: int = 0
    without_end: int = 0
    cut: int = 0
    examples: list[tuple[Sequence[Message], Answer]] = field(default_factory=list)

    def count(self, prompts: Sequence[Sequence[Message]], answers: Sequence[Answer | None]) -> None:
        """Take up more answers."""
        there = [(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True) if answer is not None]
        self.asked += len(there)
        self.thought += sum(answer.thought is not None for _, answer in there)
        self.without_end += sum(answer.only_thought for _, answer in there)
        self.cut += sum(answer.only_thought and answer.truncated for _, answer in there)
        thoughtful = [pair for pair in there if pair[1].thought]
        self.examples += thoughtful[: max(0, _KEPT - len(self.examples))]

    def remarks(self, label: str, max_new_tokens: int) -> list[str]:
        """What the reader must know, in at most two sentences."""
        found = []
        if self.thought:
            found.append(
                f"{label}: {self.thought} of {self.asked} answers have a thought, which was taken off before anything was scored."
            )
        if self.without_end:
            remedy = f" Give thoughts more room: --set generation.max_new_tokens={4 * max_new_tokens}." if self.cut else ""
            found.append(
                f"{label}: {self.without_end} of {self.asked} answers are nothing but a thought, {self.cut} of them cut off at "
                f"{max_new_tokens} tokens. They are no answers.{remedy}"
            )
        return found
