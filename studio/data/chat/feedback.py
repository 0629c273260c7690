"""Feedback as a source of a recipe: what people said of answers, scrubbed, without the questions that evaluations use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import DataError, StudioError
from studio.core.files import sha256_json
from studio.core.workspace import Workspace, read_dataset
from studio.data.chat.rows import ChatRow, read_split
from studio.data.chat.steps.scrub import Scrub
from studio.data.sources import KnownRows
from studio.feedback.export import Form, Harvest, Lesson, comparable, harvest
from studio.feedback.store import FILE_NAME, FeedbackStore
from studio.schema.scrubbing import USUAL_KINDS

KIND = "feedback"
_HELD_OUT_SPLITS = ("validation", "test")


def read_feedback(
    workspace: Workspace,
    form: Form,
    *,
    path: Path | None = None,
    per_user: int | None = None,
    models: Sequence[str] = (),
    keep_out: Sequence[str] | None = None,
    scrub: Sequence[str] = tuple(USUAL_KINDS),
    phone_region: str | None = None,
    refuse: Callable[[str, float], str] = lambda _user, _created: "",
) -> tuple[Harvest, Path]:
    """What people said, as rows of one form.

    Args:
        path: the feedback file; None means that of the workspace.
        keep_out: Datasets whose validation and test questions stay out; None means all of the workspace that are not
            themselves made from feedback.
        refuse: see :func:`studio.feedback.export.harvest`.
    Raises:
        DataError: there is no feedback file.
    """
    file = path or workspace.root / FILE_NAME
    store = FeedbackStore.existing(file)
    try:
        found = harvest(
            store,
            form,
            clean=_cleaner(scrub, phone_region),
            held_out=held_out_questions(workspace, keep_out),
            per_user=per_user,
            models=models or None,
            refuse=refuse,
        )
    finally:
        store.close()
    return found, file


def resolve_feedback(workspace: Workspace, form: Form, **settings: Any) -> tuple[KnownRows, str, str]:
    """The rows of a recipe's source ``feedback``.

    Args:
        settings: as those of :func:`read_feedback`.
    Returns:
        table, location, identity (hash of the rows).
    Raises:
        DataError: nothing was said yet that can be used.
    """
    found, file = read_feedback(workspace, form, **settings)
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(found.left_out.items()))
    if not found.lessons:
        raise DataError(
            f"{file} holds nothing that makes {form} rows yet ({left_out or 'nobody has said anything'}). "
            "Thumbs make kto rows; votes and corrections make dpo and sft rows."
        )
    lines = tuple(as_line(lesson, form) for lesson in found.lessons)
    notes = (f"feedback left out: {left_out}",) if left_out else ()
    return KnownRows(file.name, lines, notes), str(file.resolve()), sha256_json(lines)


def feedback_lines(workspace: Workspace, form: Form, **settings: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Training rows of one form, and how much was left out for which reason; settings as those of :func:`read_feedback`."""
    found, _ = read_feedback(workspace, form, **settings)
    return [as_line(lesson, form) for lesson in found.lessons], dict(found.left_out)


def as_line(lesson: Lesson, form: Form) -> dict[str, Any]:
    """A lesson in the columns that TRL's trainers, other tools and the recipe format ``preference`` read.

    Who said it is not in it, only how many did.
    """
    about = {"said_as": ", ".join(lesson.kinds), "people": len(lesson.users), "models": ", ".join(lesson.models)}
    about |= {"tools": lesson.tools} if lesson.tools else {}
    if form == "sft":
        answer = {"role": "assistant", "content": lesson.chosen or "", **lesson.beside}
        return {"messages": [*lesson.messages, answer], **about}
    if form == "dpo":
        return {"prompt": lesson.messages, "chosen": _turn(lesson.chosen), "rejected": _turn(lesson.rejected), **about}
    liked = lesson.chosen is not None
    return {"prompt": lesson.messages, "completion": _turn(lesson.chosen if liked else lesson.rejected), "label": liked, **about}


def _turn(text: str | None) -> list[dict[str, str]]:
    """An answer as a list of one turn."""
    return [{"role": "assistant", "content": text or ""}]


def held_out_questions(workspace: Workspace, datasets: Sequence[str] | None) -> frozenset[str]:
    """Questions of the validation and test rows of some Datasets, as :func:`studio.feedback.export.comparable` writes them.

    Args:
        datasets: names; None means every conversation Dataset of the workspace that is not made from feedback.
    Raises:
        UserError: a Dataset that was named does not exist.
    """
    if datasets is not None:
        folders = [workspace.find_dataset(name) for name in datasets]
    else:
        folders = [folder for folder in workspace.list_datasets() if _is_evaluated(folder)]
    found: set[str] = set()
    for folder in folders:
        for split in _HELD_OUT_SPLITS:
            if (folder / f"{split}.parquet").is_file():
                rows = read_split(folder, split)
                found.update(comparable(turn["content"]) for row in rows for turn in row.messages if turn["role"] == "user")
    return frozenset(found)


def _is_evaluated(folder: Path) -> bool:
    """True for a whole Dataset of conversations that does not itself come from feedback."""
    try:
        record = read_dataset(folder)
    except StudioError:
        return False
    return record.kind == "chat" and all(source.kind != KIND for source in record.sources)


def _cleaner(scrub: Sequence[str], phone_region: str | None) -> Callable[[str], str]:
    """The cleaning step ``scrub`` for single texts."""
    step = Scrub(tuple(scrub), "replace", phone_region)

    def clean(text: str) -> str:
        verdict = step.judge(ChatRow("", [{"role": "user", "content": text}], ""))
        return verdict.messages[0]["content"] if isinstance(verdict, ChatRow) else text

    return clean
