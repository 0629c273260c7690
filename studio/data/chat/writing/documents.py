"""Documents to rows: what each says itself, and what a writer asks and answers of its chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import DataError
from studio.data.chat.documents import read_document as own_rows
from studio.data.chat.formats import ColumnNames, ShapeError, shape_row
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.writing.asking import Outcome
from studio.data.chat.writing.checks import Repeats, check_source, cut_text
from studio.data.chat.writing.lines import dropped, unwritten, written_row
from studio.data.chat.writing.prompts import Prompt
from studio.data.documents.base import Document
from studio.data.documents.chunks import Chunk, Measure, chunks_of
from studio.data.documents.shelf import Shelf
from studio.data.sources import READ_STEP, DataFile
from studio.data.verdicts import Drop

_PLAIN = {".txt", ".srt", ".vtt"}


@dataclass
class Reading:
    """Documents by name, those that could not be read as removed rows, and what people have to know of them."""

    documents: dict[str, Document]
    damaged: list[RemovedRow]
    notes: list[str]


def read_documents(files: Sequence[DataFile], shelf: Shelf, *, keep_damaged: bool) -> Reading:
    """Read every document.

    Args:
        shelf: those that were read before.
        keep_damaged: go on without one that cannot be read.
    Raises:
        DataError: the first one that cannot be read; none of them holds any text.
        MissingExtraError: a library for one of the kinds is not installed.
    """
    found = Reading({}, [], [])
    for file in files:
        try:
            document = shelf.read(file.path)
        except DataError as error:
            reason = str(error).replace(str(file.path), file.label)
            if not keep_damaged:
                more = " Or go on without it: 'damaged: keep' in the source's recipe." if len(files) > 1 else ""
                raise DataError(f"{reason}{more}") from None
            found.damaged.append(unwritten(f"damaged/{file.label}", "", reason, READ_STEP))
            continue
        notes = [note.replace(file.path.name, file.label) for note in document.notes]
        found.notes += notes
        if not document.passages:
            reason = notes[0] if notes else f"{file.label} holds no text"
            found.damaged.append(unwritten(f"empty/{file.label}", "", reason, READ_STEP))
            continue
        found.documents[file.label] = document
    if not found.documents:
        told = "; ".join(dict.fromkeys(gone.reason.rstrip(".") for gone in found.damaged[:3]))
        raise DataError(f"none of the {len(files):,} documents holds text that can be read: {told}." if files[1:] else f"{told}.")
    return found


def chunked(documents: Mapping[str, Document], size: int, measure: Measure) -> list[Chunk]:
    """Chunks of all documents in order."""
    return [chunk for name, document in documents.items() for chunk in chunks_of(document, name, size, measure)]


def as_text(document: Document, name: str) -> str:
    """A document as markdown, or as plain text where it never has headings."""
    size = sum(len(passage.text) for passage in document.passages) + 1
    # One chunk that holds everything puts each heading where it belongs.
    return chunks_of(document, name, 1000 * size)[0].text


def rows_of_its_own(name: str, document: Document, prompt: str, *, written_out: bool) -> Iterator[ChatRow | RemovedRow]:
    """Rows that a document gives without a writer: see :func:`studio.data.chat.documents.read_document`.

    Args:
        written_out: take only what stands there as a question (``Q:`` and ``A:``, a heading that ends in a question mark), not
            every heading.
    """
    path = Path(name)
    scanned = any(passage.ocr for passage in document.passages)
    rows = own_rows(as_text(document, name), path.stem, markdown=path.suffix.lower() not in _PLAIN, prompt=prompt)
    for number, value in enumerate(rows, start=1):
        if written_out and "messages" not in value and not str(value.get("heading")).rstrip().endswith(("?", "？")):
            continue
        try:
            shaped = shape_row(value, "auto", ColumnNames())
        except ShapeError as error:
            yield unwritten(f"{name}/{number}", str(value), str(error), READ_STEP)
            continue
        meta = {"document": name, "title": document.title, "headings": value.get("heading"), "ocr": scanned}
        yield ChatRow(f"{name}/{number}", shaped.messages, "", name, {key: said for key, said in meta.items() if said})


@dataclass(frozen=True)
class ChunkTask:
    """Questions about one chunk."""

    chunk: Chunk
    prompt: Prompt

    def messages(self, count: int) -> list[dict[str, str]]:
        """See :class:`studio.data.chat.writing.asking.Task`."""
        headings = " > ".join(self.chunk.headings) or "-"
        return self.prompt.filled(count, title=self.chunk.title, headings=headings, text=self.chunk.text)


def rows_of_chunk(chunk: Chunk, outcome: Outcome, prompt: Prompt, repeats: Repeats, support: float) -> list[ChatRow | RemovedRow]:
    """What was written of a chunk, each row checked; a chunk without rows is one removed row.

    Args:
        support: share of an answer's content words that must stand in the chunk.
    """
    if outcome.fault is not None or not outcome.items:
        return [unwritten(chunk.id, chunk.text, outcome.fault or "the writer found nothing to ask")]
    text = "\n".join([chunk.title, *chunk.headings, chunk.text])
    reply = outcome.replies[-1]
    rows: list[ChatRow | RemovedRow] = []
    for number, item in enumerate(outcome.items, start=1):
        meta = {**about_chunk(chunk), "quote": item["quote"], **about_writing(reply.model, reply.date, prompt)}
        row = written_row(f"{chunk.id}-{number}", item["question"], item["answer"], group=chunk.document, meta=meta)
        drop = (
            cut_text(item, outcome.longest)
            or check_source(item, text, support)
            or repeats.check(item["question"], item["answer"], row.id)
        )
        rows.append(dropped(row, drop) if drop else row)
    return rows


def about_chunk(chunk: Chunk) -> dict[str, Any]:
    """Where a row comes from, for its ``meta``."""
    first, last = chunk.pages or (None, None)
    page = None if first is None else str(first) if first == last else f"{first}-{last}"
    return {
        "document": chunk.document,
        "title": chunk.title,
        "page": page,
        "headings": " > ".join(chunk.headings),
        "chunk": chunk.id,
        "chunk_sha256": chunk.sha256[:16],
        "ocr": chunk.ocr or None,
    }


def about_writing(model: str, date: str, prompt: Prompt) -> dict[str, Any]:
    """Who wrote a row, when and how it was asked, for its ``meta``."""
    return {"writer": model, "written": date, "prompt_sha256": prompt.sha256[:16]}


def without_repeats(rows: Sequence[ChatRow | RemovedRow], repeats: Repeats) -> list[ChatRow | RemovedRow]:
    """Rows of which those that repeat an earlier one are removed."""
    return [_judged(row, repeats) if isinstance(row, ChatRow) else row for row in rows]


def _judged(row: ChatRow, repeats: Repeats) -> ChatRow | RemovedRow:
    """A row that stays and is remembered, or goes."""
    drop: Drop | None = repeats.check(*first_exchange(row), row.id)
    return dropped(row, drop) if drop else row


def first_exchange(row: ChatRow) -> tuple[str, str]:
    """The first question and answer of a conversation."""
    question, answer = (
        next((str(turn["content"]) for turn in row.messages if turn["role"] == role), "") for role in ("user", "assistant")
    )
    return question, answer
