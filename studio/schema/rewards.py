"""Rewards that can be checked: what an answer of ``objective: grpo`` is given points for. Each field is documented here once."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from studio.schema.loading import Settings

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


def _pattern(text: str) -> str:
    """A regular expression that can be compiled."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression ({error}). Correct it; see the syntax of Python's re.") from None
    return text


class RewardSettings(Settings):
    """What all rewards have."""

    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """Share in the sum of all rewards. 0 only writes it down, a negative one punishes."""


class ExactReward(RewardSettings):
    """1 for an answer that is the reference, whatever its case, width, kind of quotes and the stop at its end; else 0."""

    reward: Literal["exact"]
    """Kind of reward."""
    column: str | None = None
    """Column of the rows (``meta``) with the right answer; None takes the row's last assistant turn."""
    after: str | None = None
    """Only what follows the last place of this text counts (``####``, ``Answer:``); of the reference too, where it has it."""


class NumberReward(RewardSettings):
    """1 for an answer whose one number is that of the reference; else 0, also for several numbers or one that is denied."""

    reward: Literal["number"]
    """Kind of reward."""
    column: str | None = None
    """As in ``exact``."""
    after: str | None = None
    """As in ``exact``; with it an answer may count and add before it says the result."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """How far off is still right, in the unit of the numbers."""
    decimal: Literal[".", ","] | None = None
    """Sign before the fraction; None reads both where only one can be meant."""


class RegexReward(RewardSettings):
    """1 for an answer in which a regular expression is found; else 0."""

    reward: Literal["regex"]
    """Kind of reward."""
    pattern: Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
    """Python's syntax; ``(?i)`` at its start ignores case."""
    whole: bool = False
    """The whole answer must match, blanks at its ends left out."""


class JsonSchemaReward(RewardSettings):
    """1 for an answer that is JSON and fits a JSON schema; else 0, or ``parsed``. A code fence around it is left out."""

    reward: Literal["json_schema"]
    """Kind of reward."""
    json_schema: dict[str, Any] | None = None
    """The schema, as YAML. ``$ref`` to addresses are never fetched."""
    column: str | None = None
    """Column of the rows (``meta``) that holds the schema as JSON text, where each row has its own."""
    parsed: Share = 0.0
    """What JSON gets that does not fit."""

    @model_validator(mode="after")
    def _one(self) -> JsonSchemaReward:
        """Exactly one schema."""
        if (self.json_schema is None) == (self.column is None):
            raise ValueError("'json_schema' needs either the schema itself (json_schema) or the column that holds it (column).")
        return self


class ToolCallReward(RewardSettings):
    """1 for just the calls of tools that the reference makes, names and arguments compared as values; else 0, or ``named``.

    Where the reference calls none, 1 for an answer that calls none either.
    """

    reward: Literal["tool_call"]
    """Kind of reward."""
    named: Share = 0.0
    """What the right tools get when they are called with other arguments."""


class LengthReward(RewardSettings):
    """1 for an answer of a length within limits, falling to 0 in a straight line over ``slack`` beyond them."""

    reward: Literal["length"]
    """Kind of reward."""
    unit: Literal["tokens", "words", "characters"] = "tokens"
    """Tokens are those written, a thought and the end of turn included; words and characters are those said."""
    min: Annotated[int, Field(ge=0)] | None = None
    """Shortest that gets 1."""
    max: Positive | None = None
    """Longest that gets 1."""
    slack: Annotated[int, Field(ge=0)] = 0
    """How much shorter or longer gets nothing any more."""

    @model_validator(mode="after")
    def _useful(self) -> LengthReward:
        """Refuse limits that limit nothing, or everything."""
        if self.min is None and self.max is None:
            raise ValueError("'length' limits nothing. Give min or max.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"the lower limit {self.min} is above the upper limit {self.max}.")
        return self


class LanguageReward(RewardSettings):
    """1 for an answer in a language; else 0, also where it is too short to tell."""

    reward: Literal["language"]
    """Kind of reward."""
    language: Annotated[str, Field(min_length=2)] = "prompt"
    """ISO 639-1 code; ``prompt`` is the language of the last user turn."""


class RepetitionReward(RewardSettings):
    """Different n-grams of an answer's tokens divided by all of them: 1 without repetition, near 0 for a loop."""

    reward: Literal["repetition"]
    """Kind of reward."""
    size: Positive = 3
    """n, in tokens."""


class ThoughtReward(RewardSettings):
    """1 for an answer that thinks between the chat template's marks (or ``<think>``), closes them, and then says something."""

    reward: Literal["thought"]
    """Kind of reward."""


Reward = Annotated[
    ExactReward
    | NumberReward
    | RegexReward
    | JsonSchemaReward
    | ToolCallReward
    | LengthReward
    | LanguageReward
    | RepetitionReward
    | ThoughtReward,
    Field(discriminator="reward"),
]
