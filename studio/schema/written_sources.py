"""Sources of a chat recipe whose rows are written by a model: about documents, or after other rows."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from studio.schema.mixing import Drawn
from studio.schema.places import of_form
from studio.schema.writer import ChunkSettings, RaftSettings, WriterSettings

_Positive = Annotated[int, Field(gt=0)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Address = Annotated[str, of_form(r"https?://[^/\s]+(/\S*)?", "the address of a page", "it from https:// on")]


class ReadSource(Drawn):
    """What sources of documents and of web pages share: how rows are made of what was read."""

    name: str | None = None
    """Short name for reports and row ids; None takes it from the file, the folder or the host."""
    licence: Annotated[str, Field(min_length=1)]
    """Licence of the documents, and of what may be made of them."""
    attribution: str | None = None
    """Who has to be named, and how, when the licence asks for it."""
    system: str | None = None
    """A system turn put before every row that has none."""
    group: Literal["document", "chunk"] = "document"
    """Rows of one document never straddle two splits, so that test asks about documents that training has not seen; or only
    those of one chunk, for a single long document. Then test is nearer to training, and its scores are higher."""
    rows: Literal["questions", "text"] = "questions"
    """What a document becomes: questions with their answers, or raw text for ``objective: text``, one row a document (with
    ``group: chunk`` one row a chunk)."""
    prompt: str = "{heading}"
    """Question made for a section where there is no writer; ``{heading}``, ``{title}`` and ``{file}`` are filled in."""
    own_questions: bool = True
    """With a writer: questions and answers that stand in a document already become rows too."""
    chunk: ChunkSettings = ChunkSettings()
    """What the writer sees at once."""
    writer: WriterSettings | None = None
    """The model that writes questions and answers; None takes only what stands in the documents."""
    raft: RaftSettings | None = None
    """Put documents into the questions, so that the model learns to look things up in them; None asks the bare question."""
    damaged: Literal["refuse", "keep"] = "refuse"
    """A document that cannot be read stops the build, or is listed among the removed rows."""

    @model_validator(mode="after")
    def _raw_or_asked(self) -> Self:
        """Refuse somebody who asks about documents that are taken as they are."""
        given = next((name for name in ("writer", "raft", "system") if getattr(self, name) is not None), None)
        if self.rows == "text" and given is not None:
            raise ValueError(
                f"{given} belongs to questions, and 'rows: text' takes documents as they are. Leave one of them out."
            )
        return self

    @model_validator(mode="after")
    def _needs_writer(self) -> Self:
        """Refuse RAFT without anybody who writes, or where its prompts would show test to training."""
        if self.raft is not None and self.writer is None:
            raise ValueError("raft needs a writer, for it is made of questions about known parts of documents.")
        if self.raft is not None and self.group == "chunk":
            raise ValueError("raft shows other chunks of a document in its prompts, so its rows cannot be divided by chunk.")
        return self


class DocumentsSource(ReadSource):
    """Documents (pdf, docx, html, epub, md, txt, srt, vtt, ipynb): the questions and answers that stand in them, and with a
    ``writer`` those that a model writes about each part of them, with their source.
    """

    type: Literal["documents"]
    """Kind of source."""
    path: Annotated[str, Field(min_length=1)]
    """File or folder; a relative one is looked for in the current folder, then beside the recipe."""
    pattern: str = "**/*"
    """Which files of a folder are read."""


class WebSource(ReadSource):
    """Pages of web sites, fetched politely and read as documents are. Needs the extra ``web``."""

    type: Literal["web"]
    """Kind of source."""
    start: list[_Address] = []
    """Addresses of pages with which it begins."""
    sitemaps: list[_Address] = []
    """Addresses of sitemaps (XML, or one address on a line; packed with gzip or not); what they list counts as a start."""
    contact: Annotated[str, Field(min_length=3, max_length=200, pattern=r"^[\x20-\x7e]+$")]
    """Where the owner of a site reaches you (an e-mail address or a page): it is told to every host, beside the studio's name."""
    hosts: list[str] = []
    """Hosts whose pages are asked for; empty takes those of ``start`` and ``sitemaps``."""
    only: list[_Address] = []
    """Pages are asked for only where their address begins with one of these; empty takes all of the hosts."""
    depth: Annotated[int, Field(ge=0)] = 2
    """How many links away from a start a page may be; 0 takes the starts alone."""
    max_pages: _Positive = 200
    """At most so many addresses are asked for; the rest is counted."""
    max_mb: _Positive = 10
    """Largest page, in megabytes, packed and unpacked; a larger one is left out and told."""
    total_mb: _Positive = 500
    """The crawl ends when its pages are this large together, in megabytes."""
    delay: Annotated[float, Field(ge=0)] = 1.0
    """Seconds between two requests to one host; a longer ``Crawl-delay`` in its robots.txt wins."""
    again: Annotated[float, Field(ge=0)] = 24.0
    """Hours for which a finished crawl is used as it is. Later builds ask anew, only for what has changed since; 0 asks at every
    build."""
    damaged: Literal["refuse", "keep"] = "keep"
    """A page that cannot be read stops the build, or is listed among the removed rows."""
    private: bool = False
    """Allow addresses of private networks and of this machine. A recipe from elsewhere could otherwise read what only this
    machine reaches."""

    @model_validator(mode="after")
    def _begins(self) -> WebSource:
        """Refuse a crawl without a beginning."""
        if not self.start and not self.sitemaps:
            raise ValueError("a crawl begins somewhere. Give start (addresses of pages), sitemaps, or both.")
        return self


class SyntheticSource(Drawn):
    """Rows that a model makes of rows: other ways to ask the same (``paraphrase``), new questions and answers of the same kind
    (``self_instruct``), or its own last answer to each conversation (``answers``). What is made of a row lies in its split.
    """

    type: Literal["synthetic"]
    """Kind of source."""
    form: Literal["paraphrase", "self_instruct", "answers"]
    """What is made."""
    path: str | None = None
    """File or folder with the rows it is made of, in any shape; a relative one as in other sources."""
    dataset: str | None = None
    """Dataset of the workspace instead of a path; only its training rows are used, so that nothing of its test leaks."""
    pattern: str = "**/*"
    """Which files of a folder are read."""
    name: str | None = None
    """Short name for reports and row ids; None takes the form."""
    licence: Annotated[str, Field(min_length=1)]
    """Licence of the rows, and of what may be made of them."""
    attribution: str | None = None
    """Who has to be named, and how, when the licence asks for it."""
    system: str | None = None
    """A system turn put before every row that has none."""
    keep_seeds: bool | None = None
    """The rows themselves are rows of this source too; None means yes, but with ``answers`` no."""
    limit: _Positive | None = None
    """Use only so many rows."""
    examples: _Positive = 3
    """Rows shown at a time to ``self_instruct``."""
    similarity: _Share | None = None
    """Share of common words (Jaccard) from which a new question repeats another; None means 0.9 for ``paraphrase`` and 0.7 for
    ``self_instruct`` (the limit of Self-Instruct, arXiv:2212.10560, there on ROUGE-L)."""
    writer: WriterSettings
    """The model that writes."""

    @model_validator(mode="after")
    def _one_place(self) -> SyntheticSource:
        """Refuse rows from two places, or from none."""
        if (self.path is None) == (self.dataset is None):
            raise ValueError("give either a path or a dataset: where the rows come from that new ones are made of.")
        if self.form == "answers" and self.similarity is not None:
            raise ValueError("similarity compares new questions, and form: answers makes none. Remove it.")
        if self.writer.top_logprobs is not None and self.form != "answers":
            raise ValueError(f"writer.top_logprobs belongs to form: answers, not to {self.form}. Remove it.")
        return self
