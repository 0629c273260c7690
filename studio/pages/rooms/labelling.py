"""Labelling rows with keys: one row at a time, kept where the annotate app keeps what people say, so that both count together."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from studio.apps.annotation_rows import RowsToAnnotate, read_labels
from studio.core.errors import UserError
from studio.core.records import DatasetRecord
from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.data.annotations.base import ANNOTATED
from studio.data.entries import REMOVED, Entry
from studio.feedback.answers import beside_of
from studio.feedback.store import FILE_NAME, FeedbackStore, Origin
from studio.pages import shown
from studio.pages.edits import UNNAMED
from studio.pages.posted import posted, text_of
from studio.pages.rendering import go_to, visitor_of
from studio.pages.rooms.dataset import AT, address, dataset_page
from studio.pages.site import allowed, workspace_of
from studio.pages.work import begin_and_show

_APP = "annotate"


@functools.lru_cache(maxsize=4)
def _rows_of(folder: Path, root: Path) -> RowsToAnnotate:
    """The rows of a Dataset in the order in which everybody gets them."""
    return RowsToAnnotate(Workspace(root), folder, None)


@functools.lru_cache(maxsize=4)
def _order(folder: Path, root: Path, part: str) -> tuple[str, ...]:
    """Ids of a part in that order."""
    return tuple(entry.id for entry in _rows_of(folder, root).order(part))


class _Desk:
    """One person at one part of a Dataset."""

    def __init__(self, request: Request) -> None:
        """Read the address.

        Raises:
            HTTPException: 404; there is no such Dataset or part, or its rows are not labelled.
        """
        self.folder, self.record = shown.find(request)
        self.part = shown.part_of(request, self.record)
        if self.record.kind not in ANNOTATED or self.part == REMOVED:
            raise HTTPException(404)
        query, self._root = request.query_params, workspace_of(request).root
        self.reference = f"{self.folder.parent.name}/{self.folder.name}"
        self.who = visitor_of(request).name or query.get("who", "").strip()[:60] or UNNAMED
        self.given, self.labels_given = query.get("labels", "")[:1000], query.get("labels", "")[:1000].strip()
        self.store = FeedbackStore(workspace_of(request).root / FILE_NAME)
        self.order = _order(self.folder, self._root, self.part)

    @property
    def rows(self) -> RowsToAnnotate:
        """All rows."""
        return _rows_of(self.folder, self._root)

    @property
    def labels(self) -> list[str]:
        """The labels to choose from.

        Raises:
            UserError: fewer than two were written, or too many.
        """
        return read_labels(self.labels_given) if self.labels_given else self.rows.labels

    def mine(self) -> list[dict[str, Any]]:
        """What this person holds of the rows of this part, oldest first."""
        here = set(self.order)
        held = self.store.current_annotations(self.reference)
        return [row for row in held if row["user"] == self.who and row["row"] in here]

    def next(self, after: str = "") -> str | None:
        """The first row after another that this person has not judged; from the start again where none is left there."""
        done = {row["row"] for row in self.mine()}
        start = self.order.index(after) + 1 if after in self.order else 0
        return next((row for row in [*self.order[start:], *self.order[:start]] if row not in done), None)

    def entry(self, row: str) -> Entry | None:
        """A row by its id."""
        return shown.entry_of(self.folder, self.part, row) if row in self.order else None

    def go(self, what: str = "label", **more: str) -> Response:
        """Send the browser on to this desk."""
        who = "" if self.who == UNNAMED else self.who
        return go_to(address(self.reference, what, part=self.part, labels=self.given, who=who, **more))

    def keep(self, entry: Entry, label: str | None, correction: str) -> None:
        """Write a judgement down; a label of None takes it back."""
        prompt, answer = self.rows.asked(entry)
        words = answer["content"]
        changed = correction.strip() if correction.strip() and correction.strip() != words.strip() else None
        self.store.annotate(
            Origin(f"dataset:{self.record.name}", self.who, _APP), dataset=self.reference, row=entry.id, prompt=prompt,
            completion=words, label=label, correction=changed, beside=beside_of(answer, entry.tools),
        )  # fmt: skip


def _shown(request: Request) -> Response:
    """The row that is to be labelled now."""
    return _page(request, _Desk(request))


def _page(request: Request, desk: _Desk, *, wrong: str = "", typed: str | None = None) -> Response:
    """The page of a desk."""
    wanted = request.query_params.get("row", "")
    held = {row["row"]: row for row in desk.mine()}
    row = wanted if wanted in desk.order else desk.next(request.query_params.get("after", ""))
    entry = desk.entry(row) if row is not None else None
    try:
        labels = desk.labels
    except UserError as error:
        labels, wrong = desk.rows.labels, wrong or str(error)
    text = desk.rows.asked(entry)[1]["content"] if entry is not None else ""
    before = held.get(entry.id) if entry is not None else None
    values = {
        "entry": entry, "labels": labels, "done": len(held), "all": len(desk.order), "wrong": wrong, "part": desk.part,
        "who": desk.who, "labels_text": desk.given or ", ".join(labels), "text_name": desk.rows.kind.text_name or "",
        "text": typed if typed is not None else (before and before["correction"]) or text, "chosen": before and before["label"],
        "everybody": len({one["row"] for one in desk.store.current_annotations(desk.reference)}),
        "asked": {"part": desk.part, "labels": desk.given, "who": "" if desk.who == UNNAMED else desk.who},
        "command": ["annotate", "import", "--data", desk.reference],
    }  # fmt: skip
    return dataset_page(request, "label", desk.folder, desk.record, status=422 if wrong else 200, **values)


def _judge(request: Request) -> Response:
    """Keep a label and go on; skip; or take the last one back."""
    desk, form = _Desk(request), posted(request)
    row, do = text_of(form, "row"), text_of(form, "do")
    if do == "undo":
        mine = desk.mine()
        if not mine:
            return _page(request, desk, wrong=t("You have not labelled a row here yet."))
        last = mine[-1]["row"]
        entry = desk.entry(last)
        if entry is not None:
            desk.keep(entry, None, "")
        return desk.go(row=last)
    entry = desk.entry(row)
    if entry is None:
        return desk.go()
    if do == "skip":
        return desk.go(after=row)
    label, typed = text_of(form, "label"), text_of(form, "text")
    if label not in desk.labels:
        return _page(request, desk, wrong=t("Choose a label first."), typed=typed)
    desk.keep(entry, label, typed)
    return desk.go(after=row)


def _save(request: Request) -> Response:
    """Make a new Dataset of what people said, as a job."""
    folder, record = shown.find(request)
    return begin_and_show(request, _arguments(folder, record))


def _arguments(folder: Path, record: DatasetRecord) -> list[str]:
    """The command that makes a Dataset of all labels."""
    return ["annotate", "import", "--data", f"{record.name}/{folder.name}"]


ROUTES = [
    Route(f"{AT}/label", _shown),
    Route(f"{AT}/label", allowed("talk", _judge), methods=["POST"]),
    Route(f"{AT}/label/save", allowed("train", _save), methods=["POST"]),
]
