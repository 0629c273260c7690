"""The task ``general``: what a model should still be able to do after it was tuned on something else."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from studio.schema.loading import Settings
from studio.schema.tasks import TaskSettings, Text


class GeneralQuestion(Settings):
    """One question, and how its answer is told to be right."""

    ask: Text
    """What is asked."""
    answer: Annotated[list[Text], Field(min_length=1)]
    """What counts as right; one text, or several. The first one's likelihood is measured, but for ``matches``."""
    check: Literal["says", "number", "matches"] = "says"
    """``says``: an answer stands in what is written, as whole words in any case. ``number``: the last number that is written is
    one of them. ``matches``: all that is written, blanks around it left out, is what a regular expression describes."""
    category: str = "other"
    """What it is about, for the table by category."""

    @field_validator("answer", mode="before")
    @classmethod
    def _one_or_several(cls, answer: object) -> object:
        """A text or number alone is a list of one."""
        several = answer if isinstance(answer, list) else [answer]
        return [str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in several]

    @model_validator(mode="after")
    def _can_be_told(self) -> GeneralQuestion:
        """Refuse an answer that its check cannot read."""
        for answer in self.answer:
            if self.check == "number" and not re.fullmatch(r"-?\d+(\.\d+)?", answer):
                raise ValueError(f"check: number of {self.ask!r} needs a number as answer, and {answer!r} is none.")
            if self.check == "matches":
                try:
                    re.compile(answer)
                except re.error as error:
                    raise ValueError(f"the answer {answer!r} of {self.ask!r} is no regular expression: {error}.") from None
        return self


class GeneralTask(TaskSettings):
    """Everyday knowledge, arithmetic, instructions and plain texts: what tuning on a field may have cost."""

    type: Literal["general"]
    """Kind of task."""
    questions: Annotated[list[GeneralQuestion], Field(min_length=1)]
    """The questions."""
    texts: list[Text] = []
    """Plain texts whose perplexity is measured, without a chat template."""

    def metric_names(self) -> list[str]:
        """A share of questions and two perplexities."""
        return ["correct", "answer_perplexity", *(["text_perplexity"] if self.texts else [])]
