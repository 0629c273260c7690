"""From the files, tables and rows of a source to conversations; what has no known shape is damage."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from studio.core.errors import DataError
from studio.data.chat.documents import LONGEST_ANSWER, DocumentsMet, rows_of_document
from studio.data.chat.exports import PROGRAMS, TalkOptions, opened_row, read_chats, talks_of, wrapped_rows
from studio.data.chat.formats import TURN_KEYS, Choices, ColumnNames, Shaped, ShapeError, shape_row
from studio.data.chat.formats.base import fold
from studio.data.chat.formats.names import ANSWERS, QUESTIONS, ROLE_KEYS
from studio.data.chat.formats.nested import nested_rows
from studio.data.chat.formats.trees import grown_trees, is_reply
from studio.data.chat.formats.turns import is_turn
from studio.data.chat.noticing import Noticed
from studio.data.chat.rows import ChatRow, RemovedRow
from studio.data.chat.turns import TEXT_ROLE
from studio.data.readers import READERS, Damage, Raw, Reader, ReadOptions, read_file
from studio.data.readers.csv import read_csv, separator_of
from studio.data.readers.encoding import HALVES, open_text
from studio.data.readers.json import read_jsonl
from studio.data.readers.queries import query_rows
from studio.data.readers.repair import mended, without_halves
from studio.data.sources import READ_STEP, DataFile, ResolvedSource

USUAL_PROMPT = "{heading}"
# Lines of a .txt file that are looked at before it is taken for a text.
_LOOKED_AT = 50


def conversations_in(document: Mapping[str, Any]) -> list[Any] | None:
    """The rows of an object with conversations in it: of a chatterbot corpus (each is a list of turns), or of an export."""
    if (exported := wrapped_rows(document)) is not None:
        return exported
    conversations = document.get("conversations")
    if not isinstance(conversations, list) or not any(isinstance(turns, list) for turns in conversations):
        return None
    extra = {key: other for key, other in document.items() if key != "conversations"}
    return [{"conversation": turns, **extra} for turns in conversations]


def is_conversation(value: list[Any]) -> bool:
    """True for a list of turns with roles; of objects with a question and an answer each is a row."""
    return bool(value) and all(is_turn(turn) and {fold(key) for key in turn} & set(ROLE_KEYS) for turn in value)


@dataclass(frozen=True)
class ChatReadOptions(ReadOptions):
    """How files of conversations are read. prompt: question made for document sections. talks: how exports of people's chats are
    cut. exports: whether exports of chat programs are looked for; ``only`` refuses all else. places: columns of tables are named
    by number. documents: gets what is told of texts. whole: a text or markdown file is one row, with nothing asked.
    """

    prompt: str = USUAL_PROMPT
    talks: TalkOptions = field(default_factory=TalkOptions)
    exports: Literal["no", "yes", "only"] = "yes"
    places: bool = False
    whole: bool = False
    documents: DocumentsMet = field(default_factory=DocumentsMet)
    one_row: tuple[str, ...] = (*TURN_KEYS, "comments")
    unfold: Callable[[Mapping[str, Any]], list[Any] | None] = conversations_in
    list_is_row: Callable[[list[Any]], bool] = is_conversation


def read_chat_csv(path: Path, options: ChatReadOptions) -> Iterator[Raw | Damage]:
    """A table; where the recipe names columns by number, one without a line of names.

    Raises:
        DataError: it has a line of names after all.
    """
    if not options.places:
        yield from read_csv(path, options)
        return
    with open_text(path, options) as stream:
        separator, _ = separator_of(stream, tabs=path.suffix.lower() == ".tsv", said=options.delimiter)
        first = next(csv.reader(stream, delimiter=separator), [])
    names = {fold(name) for name in first}
    if names & {*QUESTIONS, "prompt", "instruction"} and names & {*ANSWERS, "completion"}:
        raise DataError(
            f"{path} begins with a line of names ({', '.join(first)}), and the recipe names columns by number. Give their names: "
            f"columns: {{question: ..., answer: ...}}"
        )
    yield from read_csv(path, replace(options, header=tuple(str(place) for place in range(len(first)))))


def read_document_file(path: Path, options: ChatReadOptions) -> Iterator[Raw | Damage]:
    """A text or markdown file: its sections, or the questions and answers written out in it; rows under the wrong name."""
    markdown = path.suffix.lower() in {".md", ".markdown"}
    other = None if markdown or options.whole else _rows_in_text(path, options)
    if other is not None:
        yield from other
        return
    with open_text(path, options, HALVES) as stream:
        text = stream.read().replace("\r\n", "\n").lstrip("\ufeff")
    if "\0" in text:
        yield Damage.of_file("holds NUL bytes, so it is no text")
        return
    if options.whole:
        yield Raw("the file", {"text": text}) if text.strip() else Damage("the file", "holds no text")
        return
    found = rows_of_document(text, path.stem, markdown=markdown, prompt=options.prompt)
    if not found.rows:
        yield Damage.of_file("holds no text")
    if found.whole and options.prompt == USUAL_PROMPT:
        if len(found.rows) == 1 and len(text) > LONGEST_ANSWER:
            yield Damage.of_file(
                f"holds {len(text):,} characters and neither a question nor a heading, which is too much for one answer. The "
                f"source can have questions written from it, or says how all of it is asked for:\n    type: documents\n"
                f'    prompt: "What does {{file}} say?"',
            )
            return
        options.documents.by_name.append(path.name)
    if found.left:
        options.documents.left[path.name] += len(found.left)
    for number, row in enumerate(found.rows, start=1):
        yield Raw(f"section {number:,}", row)


def _rows_in_text(path: Path, options: ChatReadOptions) -> Iterator[Raw | Damage] | None:
    """The rows of a .txt file that is JSON lines or a table; None where it is a text."""
    with open_text(path, options) as stream:
        lines = [line.rstrip("\r\n") for line in itertools.islice(stream, _LOOKED_AT) if line.strip()]
    if not lines:
        return None
    try:
        if isinstance(json.loads(lines[0]), dict | list):
            return read_jsonl(path, options)
    except ValueError:
        pass
    for separator in "\t,;|":
        widths = {line.count(separator) for line in lines}
        names = {fold(name) for name in lines[0].split(separator)}
        named = bool(names & {*QUESTIONS, "prompt", "instruction"}) and bool(names & {*ANSWERS, "completion"})
        whole = widths == {1} or (separator == "\t" and len(widths) == 1 and widths != {0})
        if (whole and separator == "\t" and len(lines) > 1) or (named and widths != {0}):
            return read_chat_csv(path, replace(options, delimiter=separator))
    return None


CHAT_READERS: dict[str, Reader] = {
    **READERS,
    ".csv": read_chat_csv,
    ".tsv": read_chat_csv,
    ".txt": read_document_file,
    ".md": read_document_file,
    ".markdown": read_document_file,
}
"""Suffix to reader: the files that rows of any kind may lie in, and documents, whose sections become questions."""


@dataclass(frozen=True)
class ShapeOptions:
    """How raw rows become conversations. Fields as in :class:`studio.schema.recipe.SourceSettings`."""

    format: str = "auto"
    columns: ColumnNames = field(default_factory=ColumnNames)
    group: str | None = None
    system: str | None = None
    keep_damaged: bool = False
    limit: int | None = None
    choices: Choices = field(default_factory=Choices)


def read_source(
    source: ResolvedSource, read: ChatReadOptions, shape: ShapeOptions, noticed: Noticed | None = None
) -> Iterator[ChatRow | RemovedRow]:
    """Rows of a source in order; damaged ones come as removed rows when the recipe keeps the good ones.

    Args:
        noticed: gets what a person should know of the source as a whole.
    Raises:
        DataError: the first damaged row, with file, place and reason, when it does not; a column that was named is in no row, or
            holds what cannot be read.
    """
    noticed = noticed or Noticed(shape.columns)
    seen = _Names()
    number = 0
    read = replace(read, documents=noticed.documents)
    for file, found in itertools.islice(_found(source, read, noticed), shape.limit):
        number += 1
        outcome = _to_row(source, file, found, shape, number, noticed)
        if isinstance(outcome, Damage):
            sentence = f"{file.label} {outcome.place} {outcome.reason}"
            if not shape.keep_damaged:
                raise DataError(_refusal(f"{file.path}: {outcome.place} {outcome.reason}", outcome.whole, len(source.files) > 1))
            row = ChatRow(f"{source.name}/damaged-{number}", _glimpse(found), source.name)
            yield RemovedRow(row, READ_STEP, sentence, value=outcome.place, threshold="a readable row")
            continue
        count = seen.count(outcome.id, f"{source.name}/", number)
        yield outcome if count == 1 else replace(outcome, id=f"{outcome.id}~{count}")
    if number == 0:
        raise DataError(f"{source.location} holds no rows.")
    problem = noticed.problem() or _unused_talk_options(read.talks, noticed)
    if problem:
        raise DataError(f"{source.location}: {problem}")


class _Names:
    """How often each id was given. Rows that have none are called by their number, which takes a bit of memory and no text."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._numbered = bytearray()

    def count(self, identity: str, prefix: str, number: int) -> int:
        """How often this id was given, this time included."""
        name = identity.removeprefix(prefix)
        if identity not in self._seen and name == str(number):
            self._numbered.extend(bytes(max(0, number // 8 + 1 - len(self._numbered))))
            self._numbered[number // 8] |= 1 << number % 8
            return 1
        self._seen[identity] = self._seen.get(identity, int(self._is_numbered(name))) + 1
        return self._seen[identity]

    def _is_numbered(self, name: str) -> bool:
        """True for the number of an earlier row that has no id."""
        number = int(name) if name.isdecimal() and name.isascii() and len(name) < 16 and str(int(name)) == name else -1
        return 0 <= number // 8 < len(self._numbered) and bool(self._numbered[number // 8] >> number % 8 & 1)


def _refusal(sentence: str, whole: bool, others: bool) -> str:
    """What is said of a damaged row; one that shows the lines of a recipe, or says what to do, has its remedy.

    Args:
        whole: the file gives no row. others: the source has other files.
    """
    if "\n" in sentence:
        return sentence
    if "'damaged: keep'" in sentence:
        return f"{sentence.rstrip('.')}."
    if whole and not others:
        return f"{sentence.rstrip('.')}. Repair it, or give another file."
    keep = "go on without it" if whole else "keep the good rows"
    return f"{sentence.rstrip('.')}. Repair it, or {keep} with 'damaged: keep' in the source's recipe."


def _unused_talk_options(talks: TalkOptions, noticed: Noticed) -> str | None:
    """A sentence where the recipe says who answers, or how talks are cut, and nothing was read for which that matters."""
    if noticed.heard.people:
        return None
    if talks.pause is not None:
        return f"pause: {talks.pause:g} is for exports of people's chats, and none is there. Leave it out."
    for said in talks.assistant:
        if said not in noticed.heard.used:
            where = "in no ticket" if noticed.heard.used else "for exports of chats and help desks, and none is there"
            return f"assistant: {said!r} is {where}. Leave it out, or name who answers."
    return None


def _found(source: ResolvedSource, read: ChatReadOptions, noticed: Noticed) -> Iterator[tuple[DataFile, Raw | Damage]]:
    """Everything that lies in a source's files, or in its Hub table; exports of chat programs come as conversations."""
    if source.table is not None:
        file = DataFile(Path(source.table.id), source.table.id)
        rows = (Raw(f"row {index:,}", value) for index, value in enumerate(source.table.rows(), start=1))
        yield from _opened(joined_replies((file, found) for found in mended(rows, read.note)), read, noticed)
    if source.known is not None:
        for index, value in enumerate(source.known.lines, start=1):
            yield DataFile(Path(source.location), source.known.id), Raw(f"row {index:,}", value)
    if source.kind in {"sqlite", "duckdb"}:
        place = Path(source.location)
        result = query_rows(place, "sqlite" if source.kind == "sqlite" else "duckdb", source.query)
        found = joined_replies((DataFile(place, place.name), one) for one in mended(result, read.note))
        yield from _opened(found, read, noticed)
        return
    files = source.files
    if read.exports != "no" and files:
        chats, rest = read_chats(files, read, noticed.heard)
        if chats:
            file = DataFile(Path(source.location), source.name)
            talks = enumerate(talks_of(chats, read.talks, noticed.heard, source.location), start=1)
            yield from ((file, Raw(f"conversation {index:,}", talk)) for index, talk in talks)
        files = tuple(rest)
    for file in files:
        told = replace(read, note=partial(_with_label, read.note, file.label))
        yield from _opened(joined_replies((file, found) for found in read_file(file.path, told, CHAT_READERS)), read, noticed)


def _with_label(note: Callable[[str], None], label: str, text: str) -> None:
    """Tell something of a file, with its name."""
    note(f"{label}: {text}")


def _opened(
    found: Iterator[tuple[DataFile, Raw | Damage]], read: ChatReadOptions, noticed: Noticed
) -> Iterator[tuple[DataFile, Raw | Damage]]:
    """What was found, with the conversations of programs that say who answers as rows of messages."""
    for file, one in found:
        row = opened_row(one.value, read.talks, noticed.heard) if read.exports != "no" and isinstance(one, Raw) else None
        inner = nested_rows(one.value) if read.exports == "yes" and isinstance(one, Raw) and row is None else None
        if row is not None:
            yield file, Raw(one.place, row)
        elif inner is not None:
            yield from ((file, Raw(f"{one.place}, {number:,}", value)) for number, value in enumerate(inner, start=1))
        elif read.exports == "only" and isinstance(one, Raw):
            yield file, Damage(one.place, f"is no export of a chat program that is known ({', '.join(PROGRAMS)})")
        else:
            yield file, one


def joined_replies(found: Iterator[tuple[DataFile, Raw | Damage]]) -> Iterator[tuple[DataFile, Raw | Damage]]:
    """What was found; where each row is one message of a tree (OASST's flat tables), a row for each tree."""
    first = next(found, None)
    if first is None:
        return
    found = itertools.chain([first], found)
    if not (isinstance(first[1], Raw) and is_reply(first[1].value)):
        yield from found
        return
    file = first[0]
    messages: list[tuple[str, Mapping[str, Any]]] = []
    for _, one in found:
        if isinstance(one, Raw) and is_reply(one.value):
            messages.append((one.place, one.value))
        else:
            yield file, one
    for place, tree in grown_trees(messages):
        yield file, Damage(place, "answers a message that is not in the file") if tree is None else Raw(place, tree)


def _to_row(
    source: ResolvedSource, file: DataFile, found: Raw | Damage, shape: ShapeOptions, number: int, noticed: Noticed
) -> ChatRow | Damage:
    """Shape one raw row; what has no known shape is damage."""
    if isinstance(found, Damage):
        return found
    try:
        shaped = _whole(shape_row(found.value, shape.format, shape.columns, shape.choices))
    except ShapeError as error:
        return Damage(found.place, str(error))
    except RecursionError:
        return Damage(found.place, "is nested too deeply to be read")
    value: dict[str, Any] = found.value if isinstance(found.value, dict) else {}
    row = _made(source, file, found, shape, number, shaped, value)
    if isinstance(row, ChatRow):
        noticed.take(value, shaped)
    return row


def _whole(shaped: Shaped) -> Shaped:
    """What was made of a row, of whole characters: JSON that stood as text in a column may have written out a half of one."""
    parts = {name: getattr(shaped, name) for name in ("messages", "chosen", "rejected", "tools", "meta")}
    changed = {name: whole for name, part in parts.items() if (whole := without_halves(part)) is not part}
    return replace(shaped, **changed) if changed else shaped


def _made(
    source: ResolvedSource,
    file: DataFile,
    found: Raw,
    shape: ShapeOptions,
    number: int,
    shaped: Shaped,
    value: dict[str, Any],
) -> ChatRow | Damage:
    """The row with its identity, its group and what was not used."""
    messages = shaped.messages
    if shape.system and messages and messages[0]["role"] not in {"system", TEXT_ROLE}:
        messages = [{"role": "system", "content": shape.system}, *messages]
    id_key = shape.columns.id or "id"
    given = value.get(id_key)
    meta = {key: other for key, other in value.items() if key not in shaped.used and key != id_key} | shaped.meta
    if len(source.files) > 1:
        meta["file"] = file.label
    group = None
    if shape.group is not None:
        tie = file.label if shape.group == "file" and "file" not in value else value.get(shape.group)
        if tie is None:
            columns = ", ".join(str(key) for key in value) or "none"
            return Damage(found.place, f"has no group column {shape.group!r}; its columns are {columns}")
        group = str(tie)
    identity = f"{source.name}/{given if given not in (None, '') else number}"
    return ChatRow(identity, messages, source.name, group, meta, shaped.chosen, shaped.rejected, shaped.tools)


def _glimpse(found: Raw | Damage) -> list[dict[str, str]]:
    """What can be shown of a row that could not be used."""
    return [] if isinstance(found, Damage) else [{"role": "user", "content": str(found.value)[:2000]}]
