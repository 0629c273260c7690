"""The source ``documents`` of a recipe, from its files to rows that are known: read, cut, asked about, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from studio.core.evidence import EvidenceCache
from studio.core.files import sha256_json
from studio.core.telling import counted
from studio.core.workspace import Workspace
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.writing.asking import FILE, Asking
from studio.data.chat.writing.budget import Budget, Limits
from studio.data.chat.writing.checks import Repeats
from studio.data.chat.writing.client import Sampling, WriterClient
from studio.data.chat.writing.documents import (
    ChunkTask,
    about_chunk,
    as_text,
    chunked,
    read_documents,
    rows_of_chunk,
    rows_of_its_own,
    without_repeats,
)
from studio.data.chat.writing.lines import as_line, raw_row
from studio.data.chat.writing.prompts import Form, open_prompt
from studio.data.chat.writing.raft import Raft, pools_of, with_documents
from studio.data.chat.writing.sentences import row_of_sentence, tasks_of, without_sentences
from studio.data.documents.base import DOCUMENTS, Document
from studio.data.documents.chunks import Chunk, Measure, chunks_of
from studio.data.documents.shelf import opened_shelf
from studio.data.memo import HashMemo
from studio.data.sources import DataFile, KnownRows, ResolvedSource, files_left_out, resolve_local, resolved
from studio.language.scripts import words_of
from studio.schema.writer import ChunkSettings, WriterSettings
from studio.schema.written_sources import DocumentsSource, ReadSource, WebSource


def resolve_documents(source: DocumentsSource, index: int, beside: Path, memo: HashMemo, workspace: Workspace) -> ResolvedSource:
    """Read the documents and have rows written of them; what was written is part of the source's identity.

    Raises:
        DataError: a document cannot be read, or nothing is there.
        UserError, EndpointError: the writer cannot be asked.
    """
    endings = DOCUMENTS.in_order()
    location, identity, files = resolve_local(source.path, source.pattern, beside, memo, endings)
    found = Found(source.name or Path(location).stem, location, identity, files)
    left = files_left_out(location, source.pattern, endings)
    return resolve_found(source, index, found, memo, workspace, [left] if left else [])


@dataclass(frozen=True)
class Found:
    """Documents that were found. identity: hash of their bytes. about: what is known of each besides, by its label, for ``meta``.
    gone: those that could not be had. figures: on how they were had, for the Dataset.
    """

    name: str
    location: str
    identity: str
    files: tuple[DataFile, ...]
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gone: tuple[RemovedRow, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


def resolve_found(
    source: DocumentsSource | WebSource, index: int, found: Found, memo: HashMemo, workspace: Workspace, notes: Sequence[str]
) -> ResolvedSource:
    """Rows of documents that were found, of files or of the web.

    Args:
        notes: what people should know of how they were found.
    Raises:
        DataError: a document cannot be read. UserError, EndpointError: the writer cannot be asked.
    """
    with opened_shelf(workspace.root / "cache", memo) as shelf:
        reading = read_documents(found.files, shelf, keep_damaged=source.damaged == "keep")
    rows, told, figures = _rows(source, reading.documents, workspace)
    rows = [*found.gone, *reading.damaged, *rows]
    if source.group == "chunk":
        rows = [replace(row, group=row.meta.get("chunk")) if isinstance(row, ChatRow) else row for row in rows]
    lines = tuple(as_line(_with_facts(row, found.about)) for row in rows)
    known = KnownRows(found.name, lines, (*reading.notes, *notes, *told), figures, dict(found.figures))
    return resolved(source, index, found.name, found.location, sha256_json([found.identity, lines]), known=known)


def _rows(
    source: ReadSource, documents: Mapping[str, Document], workspace: Workspace
) -> tuple[list[ChatRow | RemovedRow], list[str], dict[str, Any]]:
    """What stands in the documents and what is written of them, what people should know of it, and the figures of the asking."""
    if source.rows == "text":
        return list(_raw(source, documents)), [], {}
    if source.writer is None:
        return _own(source, documents, written_out=False), [], {}
    repeats = Repeats()
    own = _own(source, documents, written_out=True) if source.own_questions else []
    chunks = chunked(documents, source.chunk.size, measure_of(source.chunk))
    rows, figures = _written(source.writer, chunks, workspace, without_repeats(own, repeats), repeats)
    notes = notes_of(figures)
    if source.raft is not None:
        rows, told = _as_raft(rows, chunks, Raft(**source.raft.model_dump()))
        notes += told
    return rows, notes, figures


def _raw(source: ReadSource, documents: Mapping[str, Document]) -> Iterator[ChatRow]:
    """Documents as raw text, whole or by chunks."""
    for name, document in documents.items():
        meta = {"document": name, **({"title": document.title} if document.title else {})}
        if source.group == "document":
            yield raw_row(name, as_text(document, name), name, meta)
            continue
        for chunk in chunks_of(document, name, source.chunk.size, measure_of(source.chunk)):
            about = {key: said for key, said in about_chunk(chunk).items() if said not in (None, "")}
            yield raw_row(chunk.id, chunk.text, chunk.id, meta | about)


def _with_facts(row: ChatRow | RemovedRow, about: Mapping[str, Mapping[str, Any]]) -> ChatRow | RemovedRow:
    """A row with what is known of its document besides."""
    kept = row.row if isinstance(row, RemovedRow) else row
    facts = about.get(str(kept.meta.get("document")))
    if not facts:
        return row
    kept = replace(kept, meta={**kept.meta, **facts})
    return replace(row, row=kept) if isinstance(row, RemovedRow) else kept


def _own(source: ReadSource, documents: Mapping[str, Document], *, written_out: bool) -> list[ChatRow | RemovedRow]:
    """Rows that documents give themselves."""
    return [
        row
        for name, document in documents.items()
        for row in rows_of_its_own(name, document, source.prompt, written_out=written_out)
    ]


def _as_raft(
    rows: Sequence[ChatRow | RemovedRow], chunks: Sequence[Chunk], raft: Raft
) -> tuple[list[ChatRow | RemovedRow], list[str]]:
    """Written rows with documents in their questions, and what a person should know of them; rows that a document gives itself
    stay, in the group of its pool.
    """
    pools = pools_of(chunks, raft.distractors + 2)
    by_id = {chunk.id: chunk for chunk in chunks}
    made = [with_documents(row, by_id, pools, raft) if isinstance(row, ChatRow) else row for row in rows]
    wanted = raft.distractors + 1
    fewer = sum(len(row.meta.get("documents_shown", [0] * wanted)) < wanted for row in made if isinstance(row, ChatRow))
    return made, [f"{fewer:,} questions show fewer than {wanted} documents, for there are no more chunks"] if fewer else []


def measure_of(chunk: ChunkSettings) -> Measure:
    """How long texts are in the unit of a recipe."""
    if chunk.unit == "characters":
        return len
    if chunk.unit == "words":
        return lambda text: len(words_of(text))
    from studio.data.chat.tokens import open_counter

    counter = open_counter(chunk.model)
    return lambda text: counter.count([text])[0]


@contextmanager
def opened_writer(settings: WriterSettings, form: Form, workspace: Workspace, count: int | None = None) -> Iterator[Asking]:
    """A writer that is ready to be asked, with the file of its answers.

    Args:
        count: items to ask for at a time; None takes ``questions``.
    Raises:
        UserError: the recipe's own prompt is not one.
        StudioError: the file of answers cannot be written.
    """
    prompt = open_prompt(form, settings.prompt)
    workspace.check_writable()
    cache = EvidenceCache(workspace.root / "cache" / FILE)
    sampling = Sampling(settings.base_url, settings.model, settings.temperature, settings.max_tokens, settings.top_logprobs)
    client = WriterClient(sampling, settings.key_variable, settings.seconds, Budget(Limits(**settings.limits.model_dump())))
    try:
        yield Asking(client, cache, prompt, count or settings.questions, settings.retries, settings.at_once, settings.ask_again)
    finally:
        client.close()
        cache.close()


def _written(
    settings: WriterSettings,
    chunks: Sequence[Chunk],
    workspace: Workspace,
    own: list[ChatRow | RemovedRow],
    repeats: Repeats,
) -> tuple[list[ChatRow | RemovedRow], dict[str, Any]]:
    """The documents' own rows and those of all chunks, and the figures of the asking."""
    if settings.answers == "sentences":
        return _asked_of_sentences(settings, chunks, workspace, own, repeats)
    with opened_writer(settings, "questions", workspace) as asking:
        outcomes = asking.ask([ChunkTask(chunk, asking.prompt) for chunk in chunks])
        rows = [
            row
            for chunk, outcome in zip(chunks, outcomes, strict=True)
            for row in rows_of_chunk(chunk, outcome, asking.prompt, repeats, settings.support)
        ]
        return [*own, *rows], {**asking.facts(), "asked_about": counted(len(chunks), "chunk"), **counts_of(rows)}


def _asked_of_sentences(
    settings: WriterSettings,
    chunks: Sequence[Chunk],
    workspace: Workspace,
    own: list[ChatRow | RemovedRow],
    repeats: Repeats,
) -> tuple[list[ChatRow | RemovedRow], dict[str, Any]]:
    """The documents' own rows and a question for each sentence that is picked, and the figures of the asking."""
    with opened_writer(settings, "sentence", workspace, count=1) as asking:
        tasks = tasks_of(chunks, settings.questions, asking.prompt)
        outcomes = asking.ask(tasks)
        rows: list[ChatRow | RemovedRow] = [
            row_of_sentence(task, outcome, repeats, settings.support) for task, outcome in zip(tasks, outcomes, strict=True)
        ]
        rows += without_sentences(chunks, tasks)
        about = f"{len(tasks):,} sentences of {len(chunks):,} chunks"
        return [*own, *rows], {**asking.facts(), "asked_about": about, **counts_of(rows)}


def counts_of(rows: Sequence[ChatRow | RemovedRow]) -> dict[str, Any]:
    """How many rows were kept, and dropped for which reason."""
    gone = Counter(row.reason for row in rows if isinstance(row, RemovedRow))
    return {"rows_kept": sum(isinstance(row, ChatRow) for row in rows), "rows_dropped": dict(gone.most_common())}


def notes_of(figures: dict[str, Any]) -> list[str]:
    """What a person should know of the asking, in lines."""
    cost = f", cost {figures['cost']:.4g}" if figures["cost"] is not None else ""
    asked, kept = figures["answers_asked"], figures["answers_kept"]
    lines = [
        f"{figures['model']} was asked about {figures['asked_about']}: {counted(asked, 'answer')} asked for, "
        f"{kept:,} kept from before, {counted(figures['calls'], 'call')}, {figures['tokens_in']:,} tokens in, "
        f"{figures['tokens_out']:,} out{cost}"
    ]
    for key, words in (("rows_dropped", "not used"), ("unusable", "answers of no use"), ("failed_tries", "failed tries")):
        if figures[key]:
            lines.append(f"{words}: " + ", ".join(f"{reason} ({count:,})" for reason, count in figures[key].items()))
    if figures["sent_without"]:
        lines.append(f"the server does not take {', '.join(figures['sent_without'])} as asked, so requests were sent without")
    if figures["stopped"]:
        lines.append(f"the writer was stopped before the end: {figures['stopped']}; raise it and build again to go on")
    return lines
