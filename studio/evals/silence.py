"""Answers in which nothing is said, or which are not what they seem: counted for the report, whatever a task scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from studio.evals.evidence import Answer


@dataclass
class Silence:
    """Counts over the answers of one model.

    asked: answers that there are. empty: those with no word and no call; missing: those of them whose reply held no answer at
    all. filtered: answers of which the server's content filter took something away. models: who a server says has answered,
    where it is not the model that was asked, and how often.
    """

    asked: int = 0
    empty: int = 0
    missing: int = 0
    filtered: int = 0
    models: dict[str, int] = field(default_factory=dict)

    def count(self, answers: Sequence[Answer | None]) -> None:
        """Take up more answers."""
        there = [answer for answer in answers if answer is not None]
        self.asked += len(there)
        self.empty += sum(answer.empty for answer in there)
        self.missing += sum(answer.missing for answer in there)
        self.filtered += sum(answer.filtered for answer in there)
        for answer in there:
            if answer.model is not None:
                self.models[answer.model] = self.models.get(answer.model, 0) + 1

    def remarks(self, label: str, asked_for: object) -> list[str]:
        """What the reader must know.

        Args:
            asked_for: name of the model that was asked.
        """
        found = []
        if self.empty:
            missing = f" In {self.missing} replies of the server there was no answer at all." if self.missing else ""
            found.append(
                f"{label}: {self.empty} of {self.asked} answers are empty. Against a reference they are wrong; for safety, "
                f"leakage and bias they are no answers and not scored.{missing}"
            )
        if self.filtered:
            found.append(f"{label}: the server's content filter took away {self.filtered} of {self.asked} answers, or their end.")
        for model, count in self.models.items():
            found.append(f"{label}: {count} of {self.asked} answers come, so the server says, from {model}, not {asked_for}.")
        return found
