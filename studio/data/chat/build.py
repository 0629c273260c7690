"""The build of a Dataset of conversations: what :mod:`studio.data.build` needs to know of this kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from studio.core.children import prepare_child
from studio.core.errors import DataError
from studio.core.files import sha256_json, write_text
from studio.core.records import DatasetRecord
from studio.core.telling import counted
from studio.core.workspace import Workspace
from studio.data.build import Builder, peak_bytes
from studio.data.cache import code_files, code_version, library_versions
from studio.data.chat.feedback import resolve_feedback
from studio.data.chat.intake import READS_DOCUMENTS, documents_in, read_rows
from studio.data.chat.mixing import MIX_STEP, Mix, Mixture, mix_settings, mixed, mixture_asked
from studio.data.chat.others import Compared
from studio.data.chat.personal.presidio import Presidio
from studio.data.chat.reading import CHAT_READERS
from studio.data.chat.replay import divide_with_replay
from studio.data.chat.rows import CODEC, ChatRow, RemovedRow, format_of, write_removed, write_rows
from studio.data.chat.runner import run_step
from studio.data.chat.split import SplitPlan
from studio.data.chat.steps import STEPS
from studio.data.chat.suite_texts import find_others
from studio.data.memo import HashMemo
from studio.data.page import REPORT_FILE
from studio.data.parquet import REMOVED_FILE
from studio.data.remote import resolve_url
from studio.data.shelf import Shelf
from studio.data.similarity import Shingling
from studio.data.sources import (
    DataFile,
    ResolvedSource,
    resolve_hub_source,
    resolve_local,
    resolve_query,
    resolve_wheel,
    resolved,
)
from studio.data.split import Division
from studio.data.stages import Stages, StepResult
from studio.data.workers import Workers
from studio.schema.chat_cleaning import ScoreStep
from studio.schema.duplicate_steps import DecontaminateStep, SemanticDuplicatesStep
from studio.schema.mixing import DatasetSource
from studio.schema.recipe import (
    ChatRecipe,
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
from studio.schema.written_sources import DocumentsSource, SyntheticSource, WebSource

LIBRARIES = ("ftfy", "py3langid", "phonenumbers", "tokenizers", "ijson", "charset-normalizer", "pyarrow", "numpy")

# Code that decides how rows are read; a change of it makes everything after new.
_READ_CODE = (
    "sources.py", "hub.py", "remote.py",
    *code_files("readers", "documents", "web", "chat/formats", "chat/exports", "chat/writing"),
    "chat/intake.py", "chat/reading.py", "chat/noticing.py", "chat/documents.py", "chat/faqs.py", "chat/labels.py",
    "chat/folders.py", "chat/feedback.py", "chat/reused.py", "chat/rows.py", "chat/turns.py",
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


class ChatBuilder(Builder[ChatRecipe, ChatRow, RemovedRow]):
    """Conversations: from any shape others write to messages, cleaned, divided by what resembles each other."""

    kind = "chat"
    codec = CODEC
    libraries = LIBRARIES

    _crew: Workers | None = None
    _others: Mapping[int, Compared] = MappingProxyType({})
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
            if self._mixture.replay is not None:
                mixed += [
                    self.recipe.split.model_dump(),
                    code_version("chat/replay.py", "chat/split.py", "split.py", *_STEP_CODE),
                ]
            keys.append(sha256_json(mixed)[:32])
        return keys

    def identity(self, sources: Sequence[ResolvedSource], keys: Sequence[str]) -> list[object]:  # noqa: ARG002 - in the keys
        """See :meth:`studio.data.build.Builder.identity`."""
        return [keys[-1], self.recipe.split.model_dump(), code_version(*code_files("", "readers", "documents", "chat"))]

    @contextmanager
    def staffed(self) -> Iterator[None]:
        """Processes for the steps."""
        with self.hire(prepare_child, self.libraries) as self._crew:
            yield

    def read(self, sources: Sequence[ResolvedSource]) -> StepResult[ChatRow, RemovedRow]:
        """See :func:`read_rows`."""
        return read_rows(self.recipe, sources, self.shelves)

    def judge(self, number: int, rows: Sequence[ChatRow]) -> StepResult[ChatRow, RemovedRow]:
        """See :meth:`studio.data.build.Builder.judge`."""
        assert self._crew is not None
        if number == len(self.recipe.steps):
            step = Mix(self._mixture, split_plan(self.recipe.split))
            return run_step(MIX_STEP, mix_settings(self.recipe), step, rows, self._crew, self.shelves)
        settings = self.recipe.steps[number]
        step = make_step(settings, self._others.get(number))
        return run_step(settings.step, settings.model_dump(exclude={"step"}), step, rows, self._crew, self.shelves)

    def divide(self, rows: Sequence[ChatRow]) -> Division[ChatRow]:
        """See :func:`studio.data.chat.split.divide`; rows that are replayed train."""
        return divide_with_replay(rows, self._mixture.replay, split_plan(self.recipe.split), self._crew)

    def more_facts(self, division: Division[ChatRow]) -> dict[str, Any]:  # noqa: ARG002 - the same for every division
        """Memory that reading and cleaning took."""
        return {"peak_bytes": peak_bytes()}

    def write(
        self, place: Path, record: DatasetRecord, work: Stages[ChatRow, RemovedRow], division: Division[ChatRow]
    ) -> DatasetRecord:
        """Tables and the report."""
        from studio.data.chat.report import hiding, render_report, survey
        from studio.data.chat.survey import form_of
        from studio.data.chat.topics import look_into

        assert self._crew is not None
        seen = survey(division.splits, work.removed)
        if isinstance(work.rows, Shelf):
            # What the processes take is wanted for the rows, and another library in one of them would come on top.
            self._crew.close()
        insight = self._crew.beside(look_into, *seen.samples)
        splits, mixture = mixed(division.splits, work.removed, work.figures["read"], self._mixture)
        plain = all(row.is_plain for rows in division.splits.values() for row in rows)
        for split, rows in splits.items():
            write_rows(rows, plain, place / f"{split}.parquet")
        write_removed(work.removed, place / REMOVED_FILE)
        found = insight()
        # The processes are not needed any more.
        self._crew.close()
        more = _figures(work.figures) | {"mixture": mixture, "form": form_of(seen.kept), "languages": found.languages}
        if added := sum(source["repeated"] for source in mixture.values()):
            told = [
                *(record.model_extra or {})["notes"],
                f"mix: {counted(added)} of train taken more than once",
            ]
            more |= {"splits": {name: len(rows) for name, rows in splits.items()}, "rows_added": added, "notes": told}
        record = record.model_copy(update=more | {"format": format_of(division.splits.values(), plain=plain)})
        hide = hiding([make_step(step) for step in self.recipe.steps if isinstance(step, ScrubStep)])
        write_text(place / REPORT_FILE, render_report(record, self.recipe, seen, found, work.told, hide))
        return record


def _figures(read: Mapping[str, Any]) -> dict[str, Any]:
    """What ``dataset.json`` takes over from reading."""
    names = {"shapes": "shapes", "columns_not_used": "unused", "writers": "writers", "crawls": "crawls"}
    return {name: read[key] for name, key in names.items() if key in read}


build_chat_dataset = ChatBuilder.build


def _resolve(source: Source, index: int, beside: Path, memo: HashMemo, workspace: Workspace) -> ResolvedSource:
    """Know the bytes of one source."""
    match source:
        case LocalSource():
            location, identity, files = _local(source, beside, memo)
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
        case DocumentsSource():
            from studio.data.chat.writing.source import resolve_documents

            return resolve_documents(source, index, beside, memo, workspace)
        case WebSource():
            from studio.data.chat.writing.pages import resolve_web

            return resolve_web(source, index, memo, workspace)
        case DatasetSource():
            from studio.data.chat.reused import resolve_dataset

            return resolve_dataset(source, index, workspace)
        case SyntheticSource():
            from studio.data.chat.writing.rewriting import resolve_synthetic

            return resolve_synthetic(source, index, beside, memo, workspace)


def _local(source: LocalSource, beside: Path, memo: HashMemo) -> tuple[str, str, tuple[DataFile, ...]]:
    """The files of a local source; where there are only documents that it does not read, what does."""
    try:
        return resolve_local(source.path, source.pattern, beside, memo, CHAT_READERS, links=source.links)
    except DataError as error:
        place = _place(source.path, beside)
        if not place.is_dir() or not documents_in(place, source.pattern):
            raise
        raise DataError(f"{error} {READS_DOCUMENTS}") from None


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

            parts += [encoder_identity(step.model), code_version("chat/contrasts.txt")]
        if isinstance(step, ScoreStep) and "meaning" in step.what:
            from studio.models.text_encoder import encoder_identity

            parts += [encoder_identity(step.model), code_version("chat/steps/meaning.py")]
        if number in others:
            # What is compared with is read as sources are.
            parts += [others[number].identity(), code_version(*_READ_CODE, *_COMPARED_CODE)]
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


def split_plan(split: SplitSettings) -> SplitPlan:
    """Plain arguments of a recipe's split."""
    return SplitPlan(
        split.validation, split.test, split.seed, split.threshold, Shingling(split.unit, split.size), split.same_question
    )
