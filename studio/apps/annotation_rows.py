"""The rows that are annotated in the app: in which order, with which suggestion, and what of them is judged."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.apps.entries import read_entries, read_items
from studio.apps.suggesting import least_certain_first, suggestions
from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_dataset
from studio.data.annotations.base import ANNOTATED, AnnotatedRows, Item, Suggestion, annotated_rows
from studio.data.entries import Entry
from studio.feedback.export import BAD_LABEL, GOOD_LABEL

MOST_LABELS = 12
_NOT_JUDGED = frozenset({"system", "user", "tool"})


def newest(workspace: Workspace) -> Path:
    """The newest Dataset that can be annotated.

    Raises:
        UserError: there is none.
    """
    for folder in workspace.list_datasets():
        if read_dataset(folder).kind in ANNOTATED:
            return folder
    raise UserError(f"there is no dataset to annotate in {workspace.datasets} yet. Build one: studio data build RECIPE")


def read_labels(text: str) -> list[str]:
    """Labels a person wrote with commas between them.

    Raises:
        UserError: fewer than two, or too many to choose from.
    """
    labels = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not 2 <= len(labels) <= MOST_LABELS:
        raise UserError(f"{len(labels)} labels were given. Write 2 to {MOST_LABELS}, with commas between them.")
    return labels


class RowsToAnnotate:
    """The rows of one Dataset."""

    def __init__(self, workspace: Workspace, folder: Path, suggest: str | None) -> None:
        """``suggest``: a run or a column whose labels are suggested; None suggests nothing.

        Raises:
            UserError: rows of this kind are not annotated, or there is neither such a run nor such a column.
        """
        self.folder, self.record = folder, read_dataset(folder)
        self.kind: AnnotatedRows = annotated_rows(self.record)
        self.spoken = self.record.kind == "chat"
        self.suggested: dict[str, Suggestion] = {}
        if suggest is not None:
            self.suggested = suggestions(workspace, folder, self.items, suggest)

    @property
    def items(self) -> Mapping[str, Item]:
        """Rows by id."""
        return read_items(self.folder)

    @property
    def labels(self) -> list[str]:
        """Labels to begin with: those that are suggested or that rows have, else good and bad."""
        suggested = {one.label for one in self.suggested.values()}
        known = sorted(suggested | {item.label for item in self.items.values() if item.label is not None})
        return known if 2 <= len(known) <= MOST_LABELS else [GOOD_LABEL, BAD_LABEL]

    def order(self, part: str) -> list[Entry]:
        """Rows in an order of their own, the same for everybody, so that two annotators meet; the least certain first."""
        entries = [entry for entry in read_entries(self.folder, part) if entry.turns or not self.spoken]
        mixed = {entry.id: entry for entry in random.Random(self.folder.name).sample(entries, len(entries))}
        return [mixed[row] for row in least_certain_first(list(mixed), self.suggested)]

    def ids(self, part: str) -> set[str]:
        """Ids of all rows of a part."""
        return {entry.id for entry in self.order(part)}

    def entry(self, part: str, identity: str) -> Entry | None:
        """A row by its id."""
        return next((entry for entry in self.order(part) if entry.id == identity), None)

    def next(self, part: str, *, done: set[str], after: str | None) -> Entry | None:
        """The first row after another one that is not done; from the start again when none is left there."""
        order = self.order(part)
        ids = [entry.id for entry in order]
        start = ids.index(after) + 1 if after in ids else 0
        return next((entry for entry in [*order[start:], *order[:start]] if entry.id not in done), None)

    def asked(self, entry: Entry) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The prompt of a row, and as a turn what may be corrected in it; no prompt where the row is no conversation."""
        return asked(entry) if self.spoken else ([], {"role": "assistant", "content": self.items[entry.id].text or ""})


def asked(entry: Entry) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The prompt of a row and the answer that is judged: the last turn that is not the user's."""
    last = max((index for index, turn in enumerate(entry.messages) if turn["role"] not in _NOT_JUDGED), default=None)
    if last is None:
        return entry.messages, {"role": "assistant", "content": ""}
    return [turn for turn in entry.messages[:last] if turn["role"] in {*_NOT_JUDGED, "assistant"}], entry.messages[last]
