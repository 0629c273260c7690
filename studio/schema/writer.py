"""Settings of rows that a model writes: which model is asked, what it may cost, and what is checked of its answers."""

from __future__ import annotations

import re
import string
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from studio.schema.loading import Settings

_Positive = Annotated[int, Field(gt=0)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Seconds = Annotated[float, Field(gt=0)]
_Money = Annotated[float, Field(ge=0)]


def _address(value: str) -> str:
    """An address of a server, without a password in it."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{value!r} is no address of a server. Write it up to /v1: https://host/v1")
    if parts.username or parts.password:
        raise ValueError("it holds a password. Put the key into an environment variable and name that (key_variable).")
    return value.rstrip("/")


def _own_variable(value: str) -> str:
    """Name of an environment variable that holds nothing but a key for the studio: a recipe of somebody else must not be able to
    send another secret of this machine to a server that it names.
    """
    if not re.fullmatch(r"STUDIO_[A-Z0-9_]+", value):
        raise ValueError(
            f"{value!r} must begin with STUDIO_ and be in capitals, so that no recipe can send your other keys away. "
            "Put the key there: export STUDIO_WRITER_KEY=..."
        )
    return value


def fields_of(template: str) -> set[str]:
    """Names between braces of a prompt.

    Raises:
        ValueError: a brace is open.
    """
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


class ChunkSettings(Settings):
    """How documents are cut into what the writer sees at once."""

    size: _Positive = 3000
    """Largest chunk. It never crosses documents; a paragraph, table or block of code that fits is not cut."""
    unit: Literal["characters", "words", "tokens"] = "characters"
    """Unit of ``size``; tokens are those of ``model``."""
    model: str = "smollm2-135m-instruct"
    """Base model whose tokenizer counts."""


class WriterLimits(Settings):
    """What a writer may use up, answers kept from earlier builds of the same prompts included (but for minutes)."""

    max_calls: _Positive | None = None
    """Requests, further tries included."""
    max_tokens_total: _Positive | None = None
    """Tokens of prompts and answers together, as the server counts them; no request is sent that could go beyond."""
    max_minutes: _Seconds | None = None
    """Minutes of one build; running it again goes on."""
    max_cost: _Money | None = None
    """In the currency of the prices; no request is sent that could go beyond."""
    price_in: _Money | None = None
    """Price of a million tokens of prompts, from the price list of your provider."""
    price_out: _Money | None = None
    """Price of a million tokens of answers."""
    requests_per_second: Annotated[float, Field(gt=0)] | None = None
    """Requests are spaced so far apart; None sends as many as ``at_once`` allows."""

    @model_validator(mode="after")
    def _priced(self) -> WriterLimits:
        """Refuse a limit that nothing can be held against."""
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise ValueError("max_cost needs price_in and price_out, the prices of a million tokens.")
        return self


class WriterSettings(Settings):
    """A model behind an OpenAI-compatible server that writes rows. Its answers are kept, so nothing is asked twice."""

    base_url: Annotated[str, AfterValidator(_address)]
    """Address of the server up to and with ``/v1``."""
    model: Annotated[str, Field(min_length=1)]
    """Name of the model there. Look whether its terms allow training on what it writes."""
    key_variable: Annotated[str, AfterValidator(_own_variable)] = "STUDIO_WRITER_KEY"
    """Environment variable that holds the key, beginning with ``STUDIO_``; the key itself stands in no file."""
    questions: _Positive = 5
    """Rows asked for at a time: per chunk, per row that is paraphrased, or per group of examples."""
    answers: Literal["written", "sentences"] = "written"
    """Who answers questions about documents: the model, which then has to quote the text; or sentences of the text, picked by the
    studio, for each of which the model writes the question alone. For small models that cannot quote."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """How freely it chooses words."""
    max_tokens: _Positive = 2000
    """Longest answer; one that is cut off is asked again for half as many rows."""
    top_logprobs: Annotated[int, Field(ge=1, le=20)] | None = None
    """With ``form: answers``: ask for the log-probabilities of so many tokens at each place too, and keep them with the rows, for
    ``objective: distill``. A server that gives none is asked without."""
    prompt: str | None = None
    """What it is told, with the fields of the shipped prompt between braces (``{text}``); None takes the shipped one. Braces
    that are text are doubled."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often an answer of no use (prose, cut off, another form) is asked for again."""
    seconds: _Seconds = 120
    """How long an answer may take before the request counts as stalled."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 4
    """Requests at a time."""
    support: _Share = 0.6
    """Share of an answer's longer words that must stand in the chunk; its numbers must all."""
    ask_again: bool = False
    """Ask once more for what got no answer in an earlier build because the server failed."""
    limits: WriterLimits = WriterLimits()
    """What it may use up."""

    @model_validator(mode="after")
    def _whole(self) -> WriterSettings:
        """Refuse a prompt with an open brace."""
        if self.prompt is not None:
            try:
                fields_of(self.prompt)
            except ValueError as error:
                raise ValueError(f"the prompt has a brace that is not closed ({error}). Double braces that are text.") from None
        return self


class RaftSettings(Settings):
    """Questions with documents in the prompt, the right one among others, so that a model learns to look things up (RAFT,
    arXiv:2403.10131).
    """

    distractors: _Positive = 3
    """Other chunks in each prompt."""
    absent: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of rows without the right chunk, whose answer is ``absent_answer``."""
    absent_answer: Annotated[str, Field(min_length=1)] = "The documents do not say."
    """What is answered when the right chunk is missing; write it in the language of your documents."""
    template: str = "{documents}\n\n{question}"
    """The user's turn."""
    document: str = "[{number}] {title}\n{text}"
    """One document in it; ``{page}`` and ``{headings}`` are known too."""
    seed: int = 0
    """Seed of the choice and order."""

    @model_validator(mode="after")
    def _filled(self) -> RaftSettings:
        """Refuse a template that leaves out what it is for, or names what is not known."""
        known = {"template": {"documents", "question"}, "document": {"number", "title", "text", "page", "headings"}}
        for name, allowed in known.items():
            try:
                found = fields_of(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name} has a brace that is not closed ({error}). Double braces that are text.") from None
            needed = {"documents", "question"} if name == "template" else {"text"}
            if found - allowed or needed - found:
                raise ValueError(f"{name} must hold {_braced(needed)} and may hold {_braced(allowed)} only.")
        return self


def _braced(names: set[str]) -> str:
    """Names as they stand in a template."""
    return ", ".join(f"{{{name}}}" for name in sorted(names))
