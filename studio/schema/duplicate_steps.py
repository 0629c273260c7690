"""Cleaning steps of conversations that compare rows: with each other, with another corpus, with what evaluations ask."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from studio.schema.loading import Settings

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Place = Annotated[str, Field(min_length=1)]
Part = Literal["rows", "prompts", "answers"]
ShingleUnit = Literal["word", "character"]


class ExactDuplicatesStep(Settings):
    """Drop conversations that are the same once case, blanks and invisible characters are set aside; the first one stays."""

    step: Literal["exact_duplicates"]
    """Kind of step."""
    of: Literal["conversation", "question"] = "conversation"
    """What has to be equal: all that ``on`` says, or the first question only."""
    on: Part = "rows"
    """Which turns have to be equal: all of them, those the assistant is given (``prompts``), or those it says (``answers``)."""
    against: Place | None = None
    """Another Dataset, or a file or folder of conversations: rows that stand in it go, and rows are not compared with each other.
    A relative path is looked for in the current folder, then beside the recipe. Of a Dataset all splits count."""

    @model_validator(mode="after")
    def _one_choice(self) -> ExactDuplicatesStep:
        """The first question is no part of what the assistant says."""
        if self.of == "question" and self.on != "rows":
            raise ValueError(
                f"of: question compares the first question, and on: {self.on} something else. Leave one of them out."
            )
        return self


class NearDuplicatesStep(Settings):
    """Drop conversations nearly equal to one that stays: MinHash finds pairs, the exact Jaccard similarity decides."""

    step: Literal["near_duplicates"]
    """Kind of step."""
    threshold: Share = 0.8
    """Jaccard similarity from which a row goes. 0.8 is datasketch's and NeMo Curator's usual value."""
    unit: ShingleUnit = "word"
    """Shingles of words or of characters."""
    size: Positive = 5
    """Words or characters in a shingle."""
    max_cluster: Positive = 1000
    """At most so many rows are folded into one; what goes beyond stays and is reported."""
    on: Part = "rows"
    """What is compared: questions and answers, the user's turns only (``prompts``), or the assistant's only (``answers``)."""
    against: Place | None = None
    """Another Dataset, or a file or folder of conversations: rows that nearly stand in it go, and rows are not compared with each
    other. A relative path is looked for in the current folder, then beside the recipe. Of a Dataset all splits count."""


class DecontaminateStep(Settings):
    """Drop conversations that share a run of words with what evaluations ask, so that these measure what was learnt and not what
    was seen (n-gram overlap: GPT-3, https://arxiv.org/abs/2005.14165, appendix C).
    """

    step: Literal["decontaminate"]
    """Kind of step."""
    suites: list[Place] = []
    """Suites, by name or path: their own prompts, the Datasets that their tasks name, and the files of their benchmarks."""
    against: list[Place] = []
    """Files and folders of benchmarks (jsonl, json, csv, parquet, yaml, txt), whatever their columns, and Datasets, of which the
    validation and test rows count."""
    size: Annotated[int, Field(ge=3)] = 13
    """Words in a row that a row may not share. Two letters of Han or kana count as one word, and four of Thai, Lao, Khmer or
    Burmese. 13 is GPT-3's, 8 PaLM's."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least share of a text's runs that a row must hold to go; 0 means that one run is enough, 0.7 with ``size: 8`` is PaLM's
    rule (https://arxiv.org/abs/2204.02311)."""
    shortest: Positive = 5
    """Texts of fewer words are not looked for (``yes`` proves nothing). From here up to ``size`` a whole turn must be equal."""

    @model_validator(mode="after")
    def _something(self) -> DecontaminateStep:
        """Refuse a step that compares with nothing."""
        if not self.suites and not self.against:
            raise ValueError("it compares with nothing. Give suites (names of suites) or against (files, folders, datasets).")
        return self


class SemanticDuplicatesStep(Settings):
    """Find conversations that say the same in other words: cosine of sentence embeddings (SemDeDup,
    https://arxiv.org/abs/2303.09540). By default it only tells, for embeddings take opposites for copies.
    """

    step: Literal["semantic_duplicates"]
    """Kind of step."""
    action: Literal["tell", "drop"] = "tell"
    """``tell`` lists pairs in the build and the report and drops nothing. ``drop`` takes the later row of a pair out; an encoder
    that fails the shipped contrast set (negations, numbers, names) is refused."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Cosine from which two rows count as saying the same."""
    on: Part = "prompts"
    """What is compared: questions and answers, the user's turns only, or the assistant's only."""
    model: Place = "minilm-l6"
    """The encoder: a starter, a folder, or a Hub id. The starter reads English, and the first 256 tokens of a text."""
    max_rows: Positive = 50_000
    """More rows than this are refused before any is read by the encoder, which takes 2 to 50 ms for each on two cores,
    by its length."""
