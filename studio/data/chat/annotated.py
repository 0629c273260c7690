"""Conversations that people label and correct: what is shown of them, and how an edited copy is written."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from studio.core.files import write_text
from studio.core.records import DatasetRecord
from studio.core.translation import later
from studio.data.annotations.base import AnnotatedRows, Edit, Item
from studio.data.chat.rows import ChatRow, RemovedRow, character_count, format_of, read_removed, read_split, write_rows
from studio.data.chat.turns import shown_turn
from studio.data.page import REPORT_FILE
from studio.data.parquet import REMOVED_FILE
from studio.schema.recipe import ChatRecipe
from studio.schema.scrubbing import ScrubStep

LABEL = "annotation"
"""Key of ``meta`` that holds the label."""
BEFORE = "answer_before"
"""Key of ``meta`` that holds the answer that was corrected."""


class Conversations(AnnotatedRows):
    """Conversations; the text is the last answer."""

    text_name = later("Correction")

    def items(self, folder: Path, split: str) -> list[Item]:
        """See :meth:`studio.data.annotations.base.AnnotatedRows.items`."""
        return [_item(row, split) for row in read_split(folder, split)]

    def write(self, folder: Path, place: Path, record: DatasetRecord, edits: Mapping[str, Edit]) -> DatasetRecord:
        """See :meth:`studio.data.annotations.base.AnnotatedRows.write`."""
        splits = {split: [_edited(row, edits.get(row.id)) for row in read_split(folder, split)] for split in _filled(record)}
        plain = all(row.is_plain for rows in splits.values() for row in rows)
        for split, rows in splits.items():
            write_rows(rows, plain, place / f"{split}.parquet")
        shutil.copyfile(folder / REMOVED_FILE, place / REMOVED_FILE)
        write_text(place / REPORT_FILE, _report(record, read_removed(folder), splits))
        return record.model_copy(update={"format": format_of(splits.values(), plain=plain)})


def _filled(record: DatasetRecord) -> list[str]:
    """Splits that have a file."""
    return [split for split, rows in record.splits.items() if rows]


def _report(record: DatasetRecord, removed: Sequence[RemovedRow], splits: Mapping[str, Sequence[ChatRow]]) -> str:
    """The page; what was read is told from the rows that stayed and those that went."""
    from studio.data.chat.build import make_step
    from studio.data.chat.intake import histogram
    from studio.data.chat.report import hiding, render_report, survey
    from studio.data.chat.topics import look_into

    recipe = ChatRecipe.model_validate(record.recipe)
    seen = survey(splits, removed)
    came = itertools.chain(*splits.values(), (gone.row for gone in removed))
    told = [{"lengths": histogram(map(character_count, came))}]
    hide = hiding([make_step(step) for step in recipe.steps if isinstance(step, ScrubStep)])
    return render_report(record, recipe, seen, look_into(*seen.samples), told, hide)


def _answer(row: ChatRow) -> int | None:
    """Place of the answer that may be corrected: the last of the assistant; None for preferences, which hold two."""
    if row.is_preference:
        return None
    return next((place for place in range(len(row.messages) - 1, -1, -1) if row.messages[place]["role"] == "assistant"), None)


def _item(row: ChatRow, split: str) -> Item:
    """A conversation."""
    place, label = _answer(row), row.meta.get(LABEL)
    return Item(
        row.id,
        split,
        label=None if label is None else str(label),
        text=None if place is None else row.messages[place]["content"],
        turns=[shown_turn(turn) for turn in row.turns],
        fields=row.meta,
    )


def _edited(row: ChatRow, edit: Edit | None) -> ChatRow:
    """A conversation after its edit; a corrected answer is words alone, as its thought and its calls led to the old one."""
    if edit is None:
        return row
    meta, messages = row.meta | edit.marks(), list(row.messages)
    meta |= {LABEL: edit.label} if edit.label is not None else {}
    place = _answer(row)
    if edit.text is not None and place is not None and edit.text != messages[place]["content"]:
        meta.setdefault(BEFORE, messages[place]["content"])
        messages[place] = {"role": "assistant", "content": edit.text}
    return replace(row, meta=meta, messages=messages)


CONVERSATIONS = Conversations()
