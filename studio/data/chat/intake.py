"""Reading all sources of a recipe: rows, what could not be used, and what people should know of them."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from studio.core.errors import UserError
from studio.data.chat.exports import TalkOptions
from studio.data.chat.folders import held_out_files, without_papers
from studio.data.chat.formats import Choices, ColumnNames
from studio.data.chat.noticing import Noticed
from studio.data.chat.reading import CHAT_READERS, ChatReadOptions, ShapeOptions, read_source
from studio.data.chat.rows import CODEC, ChatRow, RemovedRow, character_count
from studio.data.chat.writing.lines import known_rows
from studio.data.documents.base import DOCUMENTS
from studio.data.shelf import Shelf, Shelves
from studio.data.sources import READ_STEP, ResolvedSource, files_left_out
from studio.data.stages import StepResult, judged
from studio.schema.mixing import DatasetSource
from studio.schema.recipe import ChatRecipe, Columns, LocalSource, SourceSettings
from studio.schema.written_sources import ReadSource, SyntheticSource

READS_DOCUMENTS = "Sources of 'type: documents' read pdf, docx, html and epub: studio data build chat/own-documents."
# Edges of length histograms in characters: powers of the square root of two, so that before and after share them.
LENGTH_EDGES = [round(2 ** (power / 2)) for power in range(4, 45)]


def read_rows(recipe: ChatRecipe, sources: Sequence[ResolvedSource], shelves: Shelves) -> StepResult[ChatRow, RemovedRow]:
    """Read every source; as a list, or onto a shelf where there are more rows than are held in memory."""
    started = time.perf_counter()
    rows, removed = shelves.new(CODEC.row_form), shelves.new(CODEC.gone_form)
    counts: dict[str, int] = {}
    notes: list[str] = []
    shapes: Counter[str] = Counter()
    unused: Counter[str] = Counter()
    for settings, source in zip(recipe.sources, sources, strict=True):
        if isinstance(settings, ReadSource | SyntheticSource | DatasetSource):
            counts[source.name] = _take_known(source, settings.system, rows, removed, notes)
            continue
        told: list[str] = []
        read = _read_options(settings, told.append)
        noticed = Noticed(ColumnNames(**settings.columns.model_dump()))
        if settings.format not in {"auto", "preference"}:
            noticed.decided()
        files, papers = without_papers(source.files) if isinstance(settings, LocalSource) else (source.files, None)
        before = len(rows) + len(removed)
        for outcome in read_source(replace(source, files=files), read, _shape_options(settings), noticed):
            if isinstance(outcome, ChatRow):
                rows.append(outcome)
            else:
                removed.append(outcome)
        counts[source.name] = len(rows) + len(removed) - before
        shapes.update(noticed.shapes)
        unused.update(noticed.unused + noticed.other)
        several = f"{source.name}: " if len(sources) > 1 else ""
        notes += [*(source.known.notes if source.known else ()), *(f"{several}{note}" for note in (*source.notes, *told))]
        notes += [f"{several}{note}" for note in noticed.notes()]
        notes += [f"{several}{note}" for note in (papers, held_out_files(files)) if note and isinstance(settings, LocalSource)]
        if isinstance(settings, LocalSource) and (note := files_left_out(source.location, settings.pattern, CHAT_READERS)):
            more = f". {READS_DOCUMENTS}" if documents_in(Path(source.location), settings.pattern) else ""
            notes.append(f"{several}{note}{more.rstrip('.')}")
    _one_form(rows)
    # Sentences about damaged rows name the row, so they are counted together.
    reasons = dict(Counter("damaged" if gone.step == READ_STEP else gone.reason for gone in removed).most_common())
    writers = {source.name: source.known.figures for source in sources if source.known and source.known.figures}
    turns: Counter[int] = Counter()
    lengths = histogram(_counted(rows, turns))
    figures = {"read": counts, "lengths": lengths, "turns": as_figures(turns), "shapes": dict(shapes), "unused": dict(unused)}
    figures |= {"writers": writers} if writers else {}
    crawls = {source.name: source.known.fetched for source in sources if source.known and source.known.fetched}
    figures |= {"crawls": crawls} if crawls else {}
    read_in = sum(counts.values())
    found, gone = rows.held(), removed.held()
    return judged(READ_STEP, {}, read_in, found, gone, started=started, notes=notes, figures=figures, reasons=reasons)


def _read_options(settings: SourceSettings, note: Callable[[str], None]) -> ChatReadOptions:
    """How the files of a source are read; ``note`` takes what people should know of them."""
    return ChatReadOptions(
        settings.encoding,
        settings.records,
        prompt=settings.prompt,
        sheet=settings.sheet,
        note=note,
        talks=TalkOptions(tuple(settings.assistant), settings.pause),
        places=_by_number(settings.columns),
        whole=settings.format == "document",
        exports="yes" if settings.format == "auto" else "only" if settings.format == "export" else "no",
    )


def _by_number(columns: Columns) -> bool:
    """True where every column that is named is named by its place."""
    named = [name for name in columns.model_dump().values() if name is not None]
    return bool(named) and all(name.isdecimal() for name in named)


def _take_known(
    source: ResolvedSource, system: str | None, rows: Shelf[ChatRow], removed: Shelf[RemovedRow], notes: list[str]
) -> int:
    """Add the rows of a source that were written before, kept and dropped; how many there are."""
    known = known_rows(source, system)
    rows.extend(row for row in known if isinstance(row, ChatRow))
    removed.extend(row for row in known if isinstance(row, RemovedRow))
    notes += source.known.notes if source.known else ()
    return len(known)


def _shape_options(settings: SourceSettings) -> ShapeOptions:
    """Plain arguments of a source."""
    return ShapeOptions(
        settings.format,
        ColumnNames(**settings.columns.model_dump()),
        settings.group,
        settings.system,
        settings.damaged == "keep",
        settings.limit,
        Choices(
            lenient=settings.damaged == "keep",
            split_thoughts=settings.thoughts == "split",
            roles={written.strip().lower(): role for written, role in settings.roles.items()},
            liked=tuple(settings.liked),
            prompt_end=settings.prompt_end,
            answer_end=settings.answer_end,
        ),
    )


def _one_form(rows: Iterable[ChatRow]) -> None:
    """Refuse pairs or single thumbs beside rows of another form; conversations and raw texts may stand together."""
    forms: dict[str, str] = {}
    for row in rows:
        forms.setdefault(form_of_row(row), row.id)
    if len(forms) > 1 and set(forms) != {"sft", "text"}:
        words = {"sft": "a conversation", "text": "a raw text", "dpo": "a pair", "kto": "a single thumb"}
        firsts = ", ".join(f"{identity} is {words[form]}" for form, identity in forms.items())
        raise UserError(
            f"the sources give rows of several forms ({firsts}), and a training reads one form. Write a recipe for each."
        )


def form_of_row(row: ChatRow) -> str:
    """What a row teaches: an answer to imitate (sft), raw text, a pair (dpo), or a single thumb (kto)."""
    if row.is_text:
        return "text"
    return "sft" if not row.is_preference else "kto" if row.chosen is None or row.rejected is None else "dpo"


def _counted(rows: Iterable[ChatRow], turns: Counter[int]) -> Iterable[int]:
    """Lengths of rows in characters; ``turns`` gets how many have how many, because rows on disk are walked once."""
    for row in rows:
        turns[turn_count(row)] += 1
        yield character_count(row)


def turn_count(row: ChatRow) -> int:
    """Turns without the system's; the answers of a preference count as one."""
    turns = len([turn for turn in row.messages if turn["role"] != "system"])
    return turns + 1 if row.is_preference else turns


def as_figures(turns: Mapping[int, int]) -> dict[str, int]:
    """Rows by number of turns, as JSON holds them."""
    return {str(count): rows for count, rows in sorted(turns.items())}


def histogram(lengths: Iterable[int]) -> list[int]:
    """Rows per length class; class i holds lengths from LENGTH_EDGES[i-1] up to but not including LENGTH_EDGES[i]."""
    counts = [0] * (len(LENGTH_EDGES) + 1)
    for length in lengths:
        counts[bisect_right(LENGTH_EDGES, length)] += 1
    return counts


def documents_in(folder: Path, pattern: str) -> bool:
    """True where a folder holds documents that only a source of documents reads."""
    return any(file.suffix.lower() in DOCUMENTS and file.suffix.lower() not in CHAT_READERS for file in folder.glob(pattern))
