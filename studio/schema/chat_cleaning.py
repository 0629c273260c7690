"""Cleaning steps of conversations that know turns, and those that judge and score what is said."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings

Fraction = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(gt=0)]
Spoken = Literal["answer", "conversation"]


class StitchStep(Settings):
    """Join conversations that were split over rows with numbered ids (``QWJhYvA_0``, ``QWJhYvA_1``), in their order."""

    step: Literal["stitch"]
    """Kind of step."""
    separator: Annotated[str, Field(min_length=1)] = "_"
    """What stands in an id between the conversation and the number of its part, or of the turn that the part begins with."""
    max_turns: Whole | None = None
    """A joined conversation gets no more turns than this; what follows begins another. None sets no limit."""


class TurnsStep(Settings):
    """Drop single exchanges (a question, its answer and the calls between) instead of whole conversations."""

    step: Literal["turns"]
    """Kind of step."""
    drop: list[Literal["empty", "refusal", "repeated"]] = ["empty", "repeated"]
    """Exchanges with an empty turn, whose answer refuses, or that repeat an earlier one of the same conversation."""
    containing: list[Annotated[str, Field(min_length=1)]] = []
    """Exchanges in which one of these texts stands, in any case (``Regenerate response``)."""
    max_characters: Whole | None = None
    """Exchanges with a turn longer than this; None sets no limit."""
    thoughts: Literal["keep", "drop"] = "keep"
    """Whether thoughts of answers stay."""
    tools: Literal["keep", "drop"] = "keep"
    """Whether exchanges in which a tool is called stay."""

    @model_validator(mode="after")
    def _useful(self) -> TurnsStep:
        """Refuse a step that drops nothing."""
        if not (self.drop or self.containing or self.max_characters or self.thoughts == "drop" or self.tools == "drop"):
            raise ValueError("it drops nothing. Give drop, containing, max_characters, thoughts: drop or tools: drop.")
        return self


class BoilerplateStep(Settings):
    """Take off what assistants put before their answers (``Great question!``, ``Sure! Here is a list:``), by lists of phrases."""

    step: Literal["boilerplate"]
    """Kind of step."""
    action: Literal["cut", "drop"] = "cut"
    """Cut the opening off, or drop the conversation."""
    languages: list[Literal["de", "en", "es", "fr", "sv", "zh"]] = ["de", "en", "es", "fr", "sv", "zh"]
    """Whose lists are used."""


class RefusalsStep(Settings):
    """Drop conversations whose answer refuses, told by the phrases that evaluations use."""

    step: Literal["refusals"]
    """Kind of step."""
    action: Literal["drop", "drop_turn"] = "drop"
    """Drop the conversation, or only the exchange that ends in a refusal."""
    of: Literal["any", "last"] = "any"
    """Which answers are looked at."""


class RepetitionStep(Settings):
    """Drop text that repeats itself, by the rules for MassiveText (Rae et al. 2021, table A1); code and tables are left out."""

    step: Literal["repetition"]
    """Kind of step."""
    of: Spoken = "answer"
    """Whose turns are judged: the assistant's, each by itself, or all."""
    min_words: Whole = 50
    """Texts with fewer words are not judged: in a short one everything is a large share. Letters of scripts without blanks count
    as words."""
    factor: Annotated[float, Field(gt=0)] = 2.0
    """All limits of the paper times this. 1 takes the paper's, made for web pages, which lists and templates often break."""


class GibberishStep(Settings):
    """Drop text that is no running text, by the rules for MassiveText (Rae et al. 2021, A.1.1); code and tables are left out."""

    step: Literal["gibberish"]
    """Kind of step."""
    of: Spoken = "answer"
    """Whose turns are judged: the assistant's, each by itself, or all."""
    min_words: Whole = 20
    """Texts with fewer words are not judged; common words are asked of texts from 50 words on, as in the paper."""


ScoreName = Literal[
    "characters", "words", "turns", "answer_words", "question_words", "language", "language_confidence", "readability", "lix",
    "toxicity", "relevance", "meaning",
]  # fmt: skip


class ScoreStep(Settings):
    """Measure conversations and write the figures into ``meta`` under ``scores``, for ``filter``; nothing goes."""

    step: Literal["score"]
    """Kind of step."""
    what: Annotated[list[ScoreName], Field(min_length=1)] = ["answer_words", "language", "readability", "relevance"]
    """What is measured. ``readability`` is Flesch's reading ease in the form of the language (de, en, es, fr), ``lix``
    Björnsson's index (any language with blanks), ``toxicity`` 1 where a word list finds something, ``relevance`` how much of what
    is rare in the question the answer takes up (0 to 1), ``meaning`` the cosine of question and answer as ``model`` sees them
    (-1 to 1). What a language has no rule for gets no figure."""
    model: str = "minilm-l6"
    """Text encoder of ``meaning``: a starter (English only), a folder, or one of the Hub."""


class FilterStep(Settings):
    """Keep conversations by a figure in ``meta``: of the step ``score``, or a column of the source."""

    step: Literal["filter"]
    """Kind of step."""
    by: Annotated[str, Field(min_length=1)]
    """Name of a score (``readability``), or of a column kept in ``meta``; dots reach into nested values."""
    min: float | None = None
    """Least that stays."""
    max: float | None = None
    """Most that stays."""
    allowed: list[str] | None = None
    """Values that stay, for a column of words."""
    outliers: Annotated[float, Field(gt=0)] | None = None
    """Drop what lies farther from the quartiles than so many interquartile ranges (1.5: Tukey's box plot, drawn in the
    report)."""
    missing: Literal["drop", "keep"] = "keep"
    """What happens to rows without a value."""

    @model_validator(mode="after")
    def _useful(self) -> FilterStep:
        """Refuse a filter that keeps everything, or nothing."""
        numbers = self.min is not None or self.max is not None or self.outliers is not None
        if not numbers and self.allowed is None and self.missing == "keep":
            raise ValueError("it filters nothing. Give min, max, outliers, allowed, or missing: drop.")
        if numbers and self.allowed is not None:
            raise ValueError("'allowed' is for words and min, max and outliers are for numbers. Write two filters.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"the lower limit {self.min:g} is above the upper limit {self.max:g}.")
        return self
