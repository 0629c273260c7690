"""The source ``synthetic`` of a recipe: rows that a model makes of rows, checked against what they are made of and each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from studio.core.errors import DataError
from studio.core.files import sha256_json
from studio.core.telling import counted
from studio.core.workspace import Workspace, read_dataset
from studio.data.chat.reading import CHAT_READERS, ChatReadOptions, ShapeOptions, read_source
from studio.data.chat.rows import ChatRow, RemovedRow, read_split
from studio.data.chat.writing.asking import Outcome, Task
from studio.data.chat.writing.checks import Repeats, cut_text, missing_numbers
from studio.data.chat.writing.documents import about_writing, first_exchange
from studio.data.chat.writing.lines import as_line, dropped, unwritten
from studio.data.chat.writing.prompts import Prompt
from studio.data.chat.writing.source import counts_of, notes_of, opened_writer
from studio.data.memo import HashMemo
from studio.data.similarity import Clusters
from studio.data.sources import KnownRows, ResolvedSource, files_left_out, resolve_local, resolved
from studio.data.verdicts import Drop
from studio.schema.written_sources import SyntheticSource

_SIMILARITY = {"paraphrase": 0.9, "self_instruct": 0.7}


@dataclass(frozen=True)
class Seeds:
    """Rows that others are made of. notes: what a person should know of them."""

    rows: list[ChatRow]
    location: str
    identity: str
    notes: list[str]


@dataclass(frozen=True)
class Batch:
    """Seeds that one request is about."""

    seeds: tuple[ChatRow, ...]
    prompt: Prompt

    def messages(self, count: int) -> list[dict[str, str]]:
        """See :class:`studio.data.chat.writing.asking.Task`."""
        if self.prompt.form == "answers":
            *before, asked = self.seeds[0].messages[:-1]
            return [*before, {**asked, "content": self.prompt.template.format(question=asked["content"]).strip()}]
        if self.prompt.form == "paraphrase":
            question, answer = first_exchange(self.seeds[0])
            return self.prompt.filled(count, question=question, answer=answer)
        shown = [f"Example {number}\nQuestion: {asked}\nAnswer: {said}" for number, (asked, said) in enumerate(self.exchanges, 1)]
        return self.prompt.filled(count, examples="\n\n".join(shown))

    @property
    def exchanges(self) -> list[tuple[str, str]]:
        """Question and answer of each seed."""
        return [first_exchange(seed) for seed in self.seeds]


def resolve_synthetic(source: SyntheticSource, index: int, beside: Path, memo: HashMemo, workspace: Workspace) -> ResolvedSource:
    """Read the seeds and have rows made of them; what was written is part of the source's identity.

    Raises:
        DataError: the seeds cannot be read, or none is of one question and one answer.
        UserError, EndpointError: there is no such Dataset, or the writer cannot be asked.
    """
    seeds = _seeds(source, beside, memo, workspace, _ends_in_answer if source.form == "answers" else _is_exchange)
    with opened_writer(source.writer, source.form, workspace) as asking:
        size = source.examples if source.form == "self_instruct" else 1
        batches, grouped = _batched(seeds.rows, size, asking.prompt)
        tasks: list[Task] = list(batches)
        outcomes = asking.ask(tasks)
        repeats = None
        if source.form != "answers":
            repeats = Repeats(source.similarity or _SIMILARITY[source.form], answers=source.form == "self_instruct")
            for seed in grouped.values():
                repeats.remember(*first_exchange(seed), seed.id)
        made = [row for batch, outcome in zip(batches, outcomes, strict=True) for row in _made(batch, outcome, grouped, repeats)]
        figures = {**asking.facts(), "asked_about": f"{counted(len(seeds.rows))} ({source.form})", **counts_of(made)}
    kept = source.keep_seeds if source.keep_seeds is not None else source.form != "answers"
    rows: list[ChatRow | RemovedRow] = [*(grouped.values() if kept else ()), *made]
    lines = tuple(as_line(row) for row in rows)
    name = source.name or source.form
    known = KnownRows(name, lines, (*seeds.notes, *notes_of(figures)), figures)
    return resolved(source, index, name, seeds.location, sha256_json([seeds.identity, lines]), known=known)


def _seeds(
    source: SyntheticSource, beside: Path, memo: HashMemo, workspace: Workspace, usable: Callable[[ChatRow], bool]
) -> Seeds:
    """The rows that others are made of; those of several turns, of tools or of judgements are left out and said so."""
    notes: list[str] = []
    if source.dataset is not None:
        folder = workspace.find_dataset(source.dataset)
        location, identity = f"dataset {source.dataset} (train)", read_dataset(folder).fingerprint
        found = read_split(folder, "train")
    else:
        location, identity, files = resolve_local(str(source.path), source.pattern, beside, memo, CHAT_READERS)
        given = ResolvedSource("seed", "local", location, None, source.licence, source.attribution, identity, files)
        found = [row for row in read_source(given, ChatReadOptions(), ShapeOptions()) if isinstance(row, ChatRow)]
        left_out = files_left_out(location, source.pattern, CHAT_READERS)
        notes += [left_out] if left_out else []
    rows = [row for row in found if usable(row)]
    what = "conversation that ends in an answer" if source.form == "answers" else "single question and answer"
    if not rows:
        raise DataError(f"{location} holds no {what}, and new rows are made of those only.")
    if len(rows) < len(found):
        notes.append(f"{len(found) - len(rows):,} of {len(found):,} rows are no {what}, and were not used")
    return Seeds(rows[: source.limit], location, identity, notes)


def _is_exchange(row: ChatRow) -> bool:
    """True for one question and one answer, perhaps under a system turn, in plain words."""
    roles = [turn["role"] for turn in row.messages if turn["role"] != "system"]
    return roles == ["user", "assistant"] and row.is_plain and not row.is_preference


def _ends_in_answer(row: ChatRow) -> bool:
    """True for a conversation in plain words whose last turn answers the one before it."""
    roles = [turn["role"] for turn in row.messages[-2:]]
    return roles == ["user", "assistant"] and row.is_plain and not row.is_preference


def _batched(seeds: Sequence[ChatRow], size: int, prompt: Prompt) -> tuple[list[Batch], dict[str, ChatRow]]:
    """Seeds by request, and each under its id with the group that it and all that is made of it share.

    Seeds of one request, and seeds of one group, end up in one group: what is made of them may resemble each.
    """
    clusters = Clusters(len(seeds))
    first_of: dict[str, int] = {}
    for place, seed in enumerate(seeds):
        clusters.join(place - place % size, place)
        if seed.group is not None:
            clusters.join(first_of.setdefault(seed.group, place), place)
    roots = [seeds[clusters.find(place)] for place in range(len(seeds))]
    grouped = [replace(seed, group=root.group or root.id, source="") for seed, root in zip(seeds, roots, strict=True)]
    batches = [Batch(tuple(grouped[start : start + size]), prompt) for start in range(0, len(grouped), size)]
    return batches, {seed.id: seed for seed in grouped}


def _made(batch: Batch, outcome: Outcome, grouped: dict[str, ChatRow], repeats: Repeats | None) -> list[ChatRow | RemovedRow]:
    """What was made of a batch, each row checked."""
    first = batch.seeds[0]
    if outcome.fault is not None or not outcome.items:
        text = "\n\n".join(question for question, _ in batch.exchanges) if repeats else first.messages[-2]["content"]
        return [unwritten(f"{first.id}~new", text, outcome.fault or "the writer wrote nothing")]
    reply = outcome.replies[-1]
    about = {"seed": ", ".join(seed.id for seed in batch.seeds), **about_writing(reply.model, reply.date, batch.prompt)}
    if repeats is None:
        answered = [*first.messages[:-1], {"role": "assistant", "content": outcome.items[0]["answer"]}]
        known = {"teacher_logprobs": reply.logprobs} if reply.logprobs else {}
        return [ChatRow(f"{first.id}~1", answered, "", grouped[first.id].group, {**about, **known})]
    rows: list[ChatRow | RemovedRow] = []
    for number, item in enumerate(outcome.items, start=1):
        answer = item.get("answer", first_exchange(first)[1])
        said = {"user": item["question"], "assistant": answer}
        messages = [{**turn, "content": said.get(turn["role"], turn["content"])} for turn in first.messages]
        row = ChatRow(f"{first.id}~{number}", messages, "", grouped[first.id].group, about)
        drop = cut_text(item, outcome.longest) or _check(batch, item) or repeats.check(item["question"], answer, row.id)
        rows.append(dropped(row, drop) if drop else row)
    return rows


def _check(batch: Batch, item: dict[str, str]) -> Drop | None:
    """Why a new row is no use by itself; None where it is. A paraphrase has the numbers of its seed, all and no others."""
    empty = next((key for key, value in item.items() if not value), None)
    if empty:
        return Drop(f"without {'an' if empty == 'answer' else 'a'} {empty}")
    if batch.prompt.form != "paraphrase":
        return None
    question = first_exchange(batch.seeds[0])[0]
    changed = missing_numbers(item["question"], question) + missing_numbers(question, item["question"])
    return Drop("the numbers of the question have changed", ", ".join(changed), "those of the seed") if changed else None
