"""Questions with documents in the prompt, the right one among others or missing (RAFT, Zhang et al. 2024, arXiv:2403.10131)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from studio.core.files import sha256_json
from studio.data.chat.rows import ChatRow
from studio.data.documents.chunks import Chunk


@dataclass(frozen=True)
class Raft:
    """Fields as in :class:`studio.schema.writer.RaftSettings`."""

    distractors: int
    absent: float
    absent_answer: str
    template: str
    document: str
    seed: int


def pools_of(chunks: Sequence[Chunk], least: int) -> dict[str, str]:
    """Name of each document's pool: neighbours that together have at least so many chunks, the last pool perhaps more.

    A prompt takes its other documents from its own pool, and a pool lies in one split as a whole; otherwise the documents of test
    would stand in the prompts of training.
    """
    counts: dict[str, int] = {}
    for chunk in chunks:
        counts[chunk.document] = counts.get(chunk.document, 0) + 1
    pools: list[list[str]] = [[]]
    for document in counts:
        if sum(counts[name] for name in pools[-1]) >= least:
            pools.append([])
        pools[-1].append(document)
    if len(pools) > 1 and sum(counts[name] for name in pools[-1]) < least:
        rest = pools.pop()
        pools[-1] += rest
    return {name: " + ".join(pool) for pool in pools for name in pool}


def with_documents(row: ChatRow, chunks: Mapping[str, Chunk], pools: dict[str, str], raft: Raft) -> ChatRow:
    """A written row with documents in its question; one that a document gives itself only gets the group of its pool.

    Args:
        chunks: of all documents, by their ids.
        pools: see :func:`pools_of`.
    """
    pool = pools[row.meta["document"]]
    if "chunk" not in row.meta:
        return replace(row, group=pool)
    own = chunks[row.meta["chunk"]]
    others = [chunk for chunk in chunks.values() if pools[chunk.document] == pool and not _holds(chunk, own, row)]
    # Each row draws for itself, so that one row more or less leaves the others as they are.
    draw = random.Random(sha256_json([raft.seed, row.id]))
    absent = draw.random() < raft.absent and len(others) > 0
    wanted = raft.distractors + 1 if absent else raft.distractors
    shown = draw.sample(others, min(wanted, len(others))) + ([] if absent else [own])
    draw.shuffle(shown)
    question, answer = row.messages[-2]["content"], raft.absent_answer if absent else row.messages[-1]["content"]
    documents = "\n\n".join(_shown(raft, number, chunk) for number, chunk in enumerate(shown, 1))
    asked = raft.template.format(documents=documents, question=question)
    messages = [*row.messages[:-2], {"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    place = shown.index(own) + 1 if own in shown else None
    meta = {**row.meta, "question": question, "documents_shown": [chunk.id for chunk in shown], "right_document": place}
    return replace(row, messages=messages, group=pool, meta=meta)


def _holds(chunk: Chunk, own: Chunk, row: ChatRow) -> bool:
    """True for the row's own chunk, and for any other that has its quote too: it would make a wrong distractor."""
    return chunk.id == own.id or "".join(str(row.meta["quote"]).split()) in "".join(chunk.text.split())


def _shown(raft: Raft, number: int, chunk: Chunk) -> str:
    """A document as the prompt shows it."""
    page = "" if chunk.pages is None else str(chunk.pages[0])
    return raft.document.format(number=number, title=chunk.title, text=chunk.text, page=page, headings=" > ".join(chunk.headings))
