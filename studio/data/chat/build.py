"""The build of a Dataset of conversations: what :mod:`studio.data.build` needs to know of this kind."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from studio.core.errors import UserError
from studio.core.files import sha256_json, write_text
from studio.core.records import DatasetRecord
from studio.core.workspace import Workspace
from studio.data.build import Builder, peak_bytes
from studio.data.cache import code_files, code_version, library_versions
from studio.data.chat.exports import TalkOptions
from studio.data.chat.feedback import resolve_feedback
from studio.data.chat.folders import held_out_files, without_papers
from studio.data.chat.formats import Choices, ColumnNames
from studio.data.chat.mixing import MIX_STEP, Mix, Mixture, mix_settings, mixed, mixture_asked
from studio.data.chat.noticing import Noticed
from studio.data.chat.others import Compared
from studio.data.chat.personal.presidio import Presidio
from studio.data.chat.reading import CHAT_READERS, ChatReadOptions, ShapeOptions, read_source
from studio.data.chat.rows import CODEC, ChatRow, RemovedRow, character_count, write_removed, write_rows
from studio.data.chat.runner import run_step
from studio.data.chat.split import SplitPlan, divide
from studio.data.chat.steps import STEPS
from studio.data.chat.suite_texts import find_others
from studio.data.memo import HashMemo
from studio.data.page import REPORT_FILE
from studio.data.parquet import REMOVED_FILE
from studio.data.remote import resolve_url
from studio.data.shelf import Joined, Shelves
from studio.data.similarity import Shingling
from studio.data.sources import (
    READ_STEP,
    ResolvedSource,
    files_left_out,
    resolve_hub_source,
    resolve_local,
    resolve_query,
    resolve_wheel,
    resolved,
)
from studio.data.split import Division
from studio.data.stages import Stages, StepResult, judged
from studio.data.workers import Workers, workers
from studio.schema.duplicate_steps import DecontaminateStep, SemanticDuplicatesStep
from studio.schema.recipe import (
    ChatRecipe,
    Columns,
    DuckdbSource,
    FeedbackSource,
    HubSource,
    LengthStep,
    LocalSource,
    Source,
    SplitSettings,
    SqliteSource,
    Step,
    UrlSource,
    WheelSource,
)
from studio.schema.scrubbing import PresidioSettings, ScrubStep

LIBRARIES = ("ftfy", "py3langid", "phonenumbers", "tokenizers", "ijson", "charset-normalizer", "pyarrow", "numpy")

# Code that decides how rows are read; a change of it makes everything after new.
_READ_CODE = (
    "sources.py", "hub.py", "remote.py", *code_files("readers", "chat/formats", "chat/exports"), "chat/reading.py",
    "chat/noticing.py", "chat/documents.py", "chat/faqs.py", "chat/labels.py", "chat/folders.py", "chat/feedback.py",
    "chat/rows.py", "chat/turns.py",
)  # fmt: skip
_STEP_CODE = (
    "chat/steps/base.py",
    "similarity.py",
    "sketch.py",
    "bands.py",
    "text.py",
    "verdicts.py",
    "chat/tokens.py",
    "chat/rows.py",
    "chat/turns.py",
    "chat/likeness.py",
)
_COMPARED_CODE = ("chat/others.py", "chat/suite_texts.py", "overlap.py")
# Code that single steps rest on besides.
_LISTS_CODE = code_files("../language")
_MORE_CODE = {
    "scrub": code_files("chat/personal"),
    "language": (*_LISTS_CODE, "chat/prose.py"),
    "whitespace": ("chat/prose.py",),
    "length": _LISTS_CODE,
    "turns": (*_LISTS_CODE, "chat/steps/presence.py", "chat/steps/roles.py"),
    "refusals": (*_LISTS_CODE, "chat/steps/presence.py", "chat/steps/roles.py"),
    "boilerplate": _LISTS_CODE,
    **dict.fromkeys(("repetition", "gibberish", "score"), (*_LISTS_CODE, "chat/prose.py")),
}
# Edges of length histograms in characters: powers of the square root of two, so that before and after share them.
LENGTH_EDGES = [round(2 ** (power / 2)) for power in range(4, 45)]


class ChatBuilder(Builder[ChatRecipe, ChatRow, RemovedRow]):
    """Conversations: from any shape others write to messages, cleaned, divided by what resembles each other."""

    kind = "chat"
    codec = CODEC
    libraries = LIBRARIES

    _crew: Workers | None = None
    _others: dict[int, Compared]
    _mixture = Mixture()

    def resolve(self, memo: HashMemo) -> list[ResolvedSource]:
        """See :meth:`studio.data.build.Builder.resolve`."""
        return [_resolve(source, index, self.beside, memo, self.workspace) for index, source in enumerate(self.recipe.sources)]

    def keys(self, sources: Sequence[ResolvedSource], memo: HashMemo) -> list[str]:
        """See :meth:`studio.data.build.Builder.keys`."""
        self._others = find_others(self.recipe, self.workspace, self.beside, memo)
        self._mixture = mixture_asked(self.recipe, [source.name for source in sources])
        keys = _keys(self.recipe, sources, memo, self._others)
        if self._mixture.asks:
            mixed = [keys[-1], mix_settings(self.recipe), code_version("chat/mixing.py", "verdicts.py")]
            keys.append(sha256_json(mixed)[:32])
        return keys

    def identity(self, sources: Sequence[ResolvedSource], keys: Sequence[str]) -> list[object]:  # noqa: ARG002 - in the keys
        """See :meth:`studio.data.build.Builder.identity`."""
        return [keys[-1], self.recipe.split.model_dump(), code_version(*code_files("", "readers", "chat"))]

    @contextmanager
    def staffed(self) -> Iterator[None]:
        """Processes for the steps."""
        with workers() as self._crew:
            yield

    def read(self, sources: Sequence[ResolvedSource]) -> StepResult[ChatRow, RemovedRow]:
        """See :func:`read_rows`."""
        return read_rows(self.recipe, sources, self.shelves)

    def judge(self, number: int, rows: Sequence[ChatRow]) -> StepResult[ChatRow, RemovedRow]:
        """See :meth:`studio.data.build.Builder.judge`."""
        assert self._crew is not None
        if number == len(self.recipe.steps):
            return run_step(MIX_STEP, mix_settings(self.recipe), Mix(self._mixture), rows, self._crew, self.shelves)
        settings = self.recipe.steps[number]
        step = make_step(settings, self._others.get(number))
        return run_step(settings.step, settings.model_dump(exclude={"step"}), step, rows, self._crew, self.shelves)

    def divide(self, rows: Sequence[ChatRow]) -> Division[ChatRow]:
        """See :func:`studio.data.chat.split.divide`; the processes are not needed after it."""
        division = divide(rows, split_plan(self.recipe.split), self._crew)
        if self._crew is not None:
            self._crew.close()
        return division

    def more_facts(self, division: Division[ChatRow]) -> dict[str, Any]:  # noqa: ARG002 - the same for every division
        """Memory that reading and cleaning took."""
        return {"peak_bytes": peak_bytes()}

    def write(
        self, place: Path, record: DatasetRecord, work: Stages[ChatRow, RemovedRow], division: Division[ChatRow]
    ) -> DatasetRecord:
        """Tables and the report."""
        from studio.data.chat.report import render_report

        splits, mixture = mixed(division.splits, work.removed, work.figures["read"], self._mixture)
        plain = all(row.is_plain for rows in division.splits.values() for row in rows)
        for split, rows in splits.items():
            write_rows(rows, plain, place / f"{split}.parquet")
        write_removed(work.removed, place / REMOVED_FILE)
        kept = Joined(list(division.splits.values()))
        more = {"shapes": work.figures["shapes"], "columns_not_used": work.figures["unused"], "mixture": mixture}
        if added := sum(source["repeated"] for source in mixture.values()):
            told = [*(record.model_extra or {})["notes"], f"mix: {added:,} rows of train repeat others"]
            more |= {"splits": {name: len(rows) for name, rows in splits.items()}, "rows_added": added, "notes": told}
        record = record.model_copy(update=more | ({} if plain else {"format": 2}))
        lengths = histogram(map(character_count, kept))
        page = render_report(record, work.removed, kept, work.figures["lengths"], lengths, LENGTH_EDGES)
        write_text(place / REPORT_FILE, page)
        return record


build_chat_dataset = ChatBuilder.build


def _resolve(source: Source, index: int, beside: Path, memo: HashMemo, workspace: Workspace) -> ResolvedSource:
    """Know the bytes of one source."""
    match source:
        case LocalSource():
            location, identity, files = resolve_local(source.path, source.pattern, beside, memo, CHAT_READERS, links=source.links)
            return resolved(source, index, Path(location).stem, location, identity, files=files)
        case WheelSource():
            location, identity, files = resolve_wheel(source.package, source.version, source.files, source.sha256, memo)
            return resolved(source, index, source.package, location, identity, revision=source.version, files=files)
        case HubSource():
            return resolve_hub_source(source, source, index, memo)
        case SqliteSource() | DuckdbSource():
            return resolve_query(source, source, index, beside, memo)
        case UrlSource():
            return resolve_url(source, source, index, CHAT_READERS)
        case FeedbackSource():
            known, location, identity = resolve_feedback(
                workspace,
                source.form,
                path=_place(source.path, beside) if source.path else None,
                **source.model_dump(include={"per_user", "models", "keep_out", "scrub", "phone_region"}),
            )
            return resolved(source, index, f"feedback-{source.form}", location, identity, known=known)


def _place(path: str, beside: Path) -> Path:
    """A path of a recipe: looked for in the current folder, then beside the recipe."""
    given = Path(path).expanduser()
    return given if given.is_absolute() or given.exists() else beside / given


def _keys(recipe: ChatRecipe, sources: Sequence[ResolvedSource], memo: HashMemo, others: Mapping[int, Compared]) -> list[str]:
    """One key per stage (reading, then each step): a hash of all that its result depends on."""
    # Where a local file lies does not matter, what is in it does.
    unimportant = {"path", "attribution", "licence", "weight", "cap"}
    settings = [source.model_dump(exclude=unimportant) for source in recipe.sources]
    read = [
        settings,
        [(source.name, source.identity) for source in sources],
        code_version(*_READ_CODE),
        library_versions(LIBRARIES),
    ]
    keys = [sha256_json(read)[:32]]
    for number, step in enumerate(recipe.steps):
        module = _step_file(step.step)
        parts: list[object] = [keys[-1], step.model_dump(), code_version(module, *_STEP_CODE, *_MORE_CODE.get(step.step, ()))]
        if isinstance(step, LengthStep) and step.unit == "tokens" and (step.min is not None or step.max is not None):
            from studio.data.chat.tokens import tokenizer_identity

            parts.append(tokenizer_identity(step.model, memo))
        if isinstance(step, ScrubStep) and step.engine == "presidio":
            parts.append(_presidio(step).identity())
        if isinstance(step, SemanticDuplicatesStep):
            from studio.models.text_encoder import encoder_identity

            parts.append(encoder_identity(step.model))
        if number in others:
            # What is compared with is read as sources are.
            parts += [[(one.name, one.identity) for one in others[number].others], code_version(*_READ_CODE, *_COMPARED_CODE)]
        keys.append(sha256_json(parts)[:32])
    return keys


def _step_file(name: str) -> str:
    """Source file of a step, relative to this package."""
    return STEPS.target(name).partition(":")[0].removeprefix("studio.data.").replace(".", "/") + ".py"


def make_step(settings: Step, compared: Compared | None = None) -> Any:
    """The step a recipe asks for; ``compared``: what it compares rows with."""
    arguments = settings.model_dump(exclude={"step", "against", "suites", "presidio"})
    if compared is not None:
        arguments["others"] = compared.others
    if isinstance(settings, DecontaminateStep):
        arguments["missing"] = compared.missing if compared else ()
    if isinstance(settings, ScrubStep):
        arguments["engine"] = _presidio(settings) if settings.engine == "presidio" else None
    if isinstance(settings, LengthStep):
        from studio.data.chat.tokens import open_counter

        arguments["counter"] = partial(open_counter, settings.model)
    return STEPS.get(settings.step)(**arguments)


def _presidio(settings: ScrubStep) -> Presidio:
    """The engine that a step asks for, tried out."""
    given = settings.presidio or PresidioSettings()
    engine = Presidio(given.language, tuple(given.entities), given.min_score, given.model)
    engine.check()
    return engine


def read_rows(recipe: ChatRecipe, sources: Sequence[ResolvedSource], shelves: Shelves) -> StepResult[ChatRow, RemovedRow]:
    """Read every source; as a list, or onto a shelf where there are more rows than are held in memory."""
    started = time.perf_counter()
    rows, removed = shelves.new(CODEC.row_form), shelves.new(CODEC.gone_form)
    counts: dict[str, int] = {}
    notes: list[str] = []
    shapes: Counter[str] = Counter()
    unused: Counter[str] = Counter()
    for settings, source in zip(recipe.sources, sources, strict=True):
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
            notes.append(f"{several}{note}")
    _one_form(rows)
    # Sentences about damaged rows name the row, so they are counted together.
    reasons = {"damaged": len(removed)} if removed else {}
    figures = {"read": counts, "lengths": histogram(map(character_count, rows)), "shapes": dict(shapes), "unused": dict(unused)}
    read_in = sum(counts.values())
    found, gone = rows.held(), removed.held()
    return judged(READ_STEP, {}, read_in, found, gone, started=started, notes=notes, figures=figures, reasons=reasons)


def _read_options(settings: Source, note: Callable[[str], None]) -> ChatReadOptions:
    """How the files of a source are read; ``note`` takes what people should know of them."""
    return ChatReadOptions(
        settings.encoding,
        settings.records,
        prompt=settings.prompt,
        sheet=settings.sheet,
        note=note,
        talks=TalkOptions(tuple(settings.assistant), settings.pause),
        places=_by_number(settings.columns),
        exports="yes" if settings.format == "auto" else "only" if settings.format == "export" else "no",
    )


def _by_number(columns: Columns) -> bool:
    """True where every column that is named is named by its place."""
    named = [name for name in columns.model_dump().values() if name is not None]
    return bool(named) and all(name.isdecimal() for name in named)


def _shape_options(settings: Source) -> ShapeOptions:
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
    """Refuse conversations, pairs and single thumbs in one Dataset."""
    forms: dict[str, str] = {}
    for row in rows:
        forms.setdefault(_form(row), row.id)
    if len(forms) > 1:
        words = {"sft": "a conversation", "dpo": "a pair", "kto": "a single thumb"}
        firsts = ", ".join(f"{identity} is {words[form]}" for form, identity in forms.items())
        raise UserError(
            f"the sources give rows of several forms ({firsts}), and a training reads one form. Write a recipe for each."
        )


def _form(row: ChatRow) -> str:
    """What a row teaches: an answer to imitate (sft), a pair (dpo), or a single thumb (kto)."""
    return "sft" if not row.is_preference else "kto" if row.chosen is None or row.rejected is None else "dpo"


def histogram(lengths: Iterable[int]) -> list[int]:
    """Rows per length class; class i holds lengths from LENGTH_EDGES[i-1] up to but not including LENGTH_EDGES[i]."""
    counts = [0] * (len(LENGTH_EDGES) + 1)
    for length in lengths:
        counts[bisect_right(LENGTH_EDGES, length)] += 1
    return counts


def split_plan(split: SplitSettings) -> SplitPlan:
    """Plain arguments of a recipe's split."""
    return SplitPlan(
        split.validation, split.test, split.seed, split.threshold, Shingling(split.unit, split.size), split.same_question
    )
