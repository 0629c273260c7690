"""Answers that the studio picks: sentences of a chunk as they stand, for which a writer writes the questions only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from studio.data.chat.labels import without_label
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.writing.asking import Outcome
from studio.data.chat.writing.checks import Repeats, check_question, cut_text
from studio.data.chat.writing.documents import about_chunk, about_writing
from studio.data.chat.writing.lines import dropped, unwritten, written_row
from studio.data.chat.writing.prompts import Prompt
from studio.data.documents.chunks import Chunk, sentences_in
from studio.language.scripts import count_words

# Words of a sentence that can answer something by itself, and of one that is no list in disguise.
_FEWEST, _MOST = 5, 60
# Headings, tables, quotes and fences of markdown.
_NO_PROSE = re.compile(r"\s*(?:#|\||>|```|~~~|!\[)")
_LISTED = re.compile(r"\s*(?:[-*+•]|\d+[.)])\s+")
_ENDS = tuple(".!…。！।؟")
_CLOSING = "\"'”’»)]"


@dataclass(frozen=True)
class SentenceTask:
    """A question for one sentence. number: of the sentence among those picked, counted from 1."""

    chunk: Chunk
    sentence: str
    number: int
    prompt: Prompt

    def messages(self, count: int) -> list[dict[str, str]]:
        """See :class:`studio.data.chat.writing.asking.Task`."""
        about = {"title": self.chunk.title, "headings": " > ".join(self.chunk.headings) or "-", "text": self.chunk.text}
        return self.prompt.filled(count, sentence=self.sentence, **about)


def picked_sentences(chunk: Chunk, count: int) -> list[str]:
    """At most so many sentences of a chunk that can be answers, in order and spread over it; the same ones each time."""
    found: list[str] = []
    fenced = False
    for line in chunk.text.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        if not fenced and not _NO_PROSE.match(line):
            listed = _LISTED.match(line)
            found += [said for said in sentences_in(line[listed.end() :] if listed else line) if _can_answer(said)]
    found = list(dict.fromkeys(found))
    return [found[place * len(found) // count] for place in range(count)] if len(found) > count else found


def _can_answer(sentence: str) -> bool:
    """True for a whole statement of a length that answers, and no part of a question and answer that are written out."""
    labelled = any(without_label(sentence, role) != sentence for role in ("user", "assistant"))
    whole = sentence.rstrip(_CLOSING).endswith(_ENDS) and not sentence[0].islower()
    return whole and not labelled and _FEWEST <= count_words(sentence) <= _MOST


def tasks_of(chunks: Sequence[Chunk], count: int, prompt: Prompt) -> list[SentenceTask]:
    """The questions to ask for."""
    return [
        SentenceTask(chunk, sentence, number, prompt)
        for chunk in chunks
        for number, sentence in enumerate(picked_sentences(chunk, count), start=1)
    ]


def row_of_sentence(task: SentenceTask, outcome: Outcome, repeats: Repeats, support: float) -> ChatRow | RemovedRow:
    """The question of a sentence and the sentence as its answer, checked.

    Args:
        support: share of the question's content words that must stand in the chunk.
    """
    chunk, identity = task.chunk, f"{task.chunk.id}-{task.number}"
    if outcome.fault is not None or not outcome.items:
        return unwritten(identity, task.sentence, outcome.fault or "the writer wrote nothing")
    item, reply = outcome.items[0], outcome.replies[-1]
    meta = {**about_chunk(chunk), "quote": task.sentence, **about_writing(reply.model, reply.date, task.prompt)}
    row = written_row(identity, item["question"], task.sentence, group=chunk.document, meta=meta)
    text = "\n".join([chunk.title, *chunk.headings, chunk.text])
    drop = cut_text(item, outcome.longest) or check_question(item["question"], task.sentence, text, support)
    drop = drop or repeats.check(item["question"], task.sentence, identity)
    return dropped(row, drop) if drop else row


def without_sentences(chunks: Sequence[Chunk], tasks: Sequence[SentenceTask]) -> list[RemovedRow]:
    """A removed row for each chunk that holds no sentence to ask for."""
    asked = {task.chunk.id for task in tasks}
    return [unwritten(one.id, one.text, "no sentence of it can be an answer") for one in chunks if one.id not in asked]
