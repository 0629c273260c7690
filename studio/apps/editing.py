"""Editing rows in the data app: captions, answers and labels, kept in the page until they are saved as a new Dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr

from studio.apps.entries import read_items
from studio.apps.frame import account
from studio.core.errors import StudioError, UserError
from studio.core.translation import t
from studio.core.workspace import Workspace, read_dataset
from studio.data.annotations.base import Annotation, Item, annotated_rows
from studio.data.annotations.derive import Origin, annotate_dataset
from studio.data.entries import REMOVED

Update = Any
Edited = dict[str, dict[str, dict[str, str]]]
"""Dataset to row to what was edited of it (``text``, ``label``)."""
_LONGEST_TEXT = 20_000
_ORIGIN = "the data app"


class EditPanel:
    """The panel below a row, and its handlers."""

    def __init__(self, workspace: Workspace, folder_of: Callable[[str], Path]) -> None:
        """``folder_of``: folder of a Dataset by its reference on the page."""
        self._workspace, self._folder_of = workspace, folder_of

    def build(self, dataset: gr.Dropdown, part: gr.Radio, row: gr.Textbox) -> None:
        """Lay the panel out and connect it.

        Args:
            dataset, part: what is looked at. row: id of the row that is shown.
        """
        edited = gr.State({})
        with gr.Accordion(t("Edit this row"), open=False, visible=False, elem_id="edit") as panel:
            text = gr.Textbox(lines=2, max_lines=14, max_length=_LONGEST_TEXT, elem_id="edit-text")
            with gr.Row():
                label = gr.Textbox(label=t("Label"), max_length=200, elem_id="edit-label")
                who = gr.Textbox(label=t("Your name"), max_length=60, elem_id="edit-name")
            keep = gr.Button(t("Keep this edit"), size="sm", elem_id="edit-keep")
            with gr.Row():
                name = gr.Textbox(
                    label=t("Name of the new Dataset"),
                    placeholder=t("Without one it is named after this one"),
                    max_length=100,
                    elem_id="edit-dataset",
                )
                save = gr.Button(t("Save as a new Dataset"), variant="primary", elem_id="edit-save")
            note = gr.Markdown(elem_id="edit-note", elem_classes="studio-note")
        fields = [panel, text, label, note]
        gr.on([row.change, dataset.change, part.change], self.fill, [dataset, part, row, edited], fields, queue=False)
        keep.click(self.keep, [dataset, row, text, label, edited], [edited, note], queue=False)
        save.click(self.save, [dataset, who, name, edited], [edited, note, dataset], queue=False)

    def fill(self, dataset: str, part: str, row: str, edited: Edited) -> tuple[Update, ...]:
        """The row's text and label as they are, or as they were edited; nothing to edit in rows that were removed."""
        item = self._item(dataset, part, row)
        if item is None:
            return gr.update(visible=False), gr.skip(), gr.skip(), gr.skip()
        mine = edited.get(dataset, {}).get(row, {})
        name = self._text_name(dataset)
        text = gr.update(
            label=t(name or "Correction"),
            value=mine.get("text", item.text or ""),
            visible=name is not None and item.text is not None,
        )
        return gr.update(visible=True), text, mine.get("label", item.label or ""), self._pending(edited, dataset)

    def keep(self, dataset: str, row: str, text: str, label: str, edited: Edited) -> tuple[Update, Update]:
        """Keep an edit in the page; one that changes nothing is forgotten."""
        items = self._items(dataset)
        if row not in items:
            return gr.skip(), t("There is no row to edit here.")
        item = items[row]
        said = {"label": label.strip()} if label.strip() and label.strip() != (item.label or "") else {}
        if item.text is not None and text.strip() != item.text.strip():
            if not text.strip() and item.turns:
                return gr.skip(), f"**{t('An answer cannot be empty. Write what it should have been.')}**"
            said["text"] = text.strip()
        others = {one: edit for one, edit in edited.get(dataset, {}).items() if one != row}
        changed = {**edited, dataset: {**others, row: said} if said else others}
        return changed, self._pending(changed, dataset)

    def save(self, dataset: str, who: str, name: str, edited: Edited, request: gr.Request) -> tuple[Update, Update, Update]:
        """Write the edits of this Dataset into a new one, which can be chosen from then on."""
        by = (account(request) or str(who or "")).strip()
        mine = edited.get(dataset, {})
        if not mine:
            return gr.skip(), t("There is no edit to save yet."), gr.skip()
        if not by:
            return gr.skip(), f"**{t('Write your name first: the new Dataset says who edited it.')}**", gr.skip()
        try:
            folder = self._folder_of(dataset)
            outcome, _ = annotate_dataset(
                self._workspace, folder, _annotations(mine, by), Origin(_ORIGIN), name=name.strip() or None
            )
        except StudioError as error:
            return gr.skip(), f"**{str(error)[:1].upper()}{str(error)[1:]}**", gr.skip()
        made = f"{outcome.record.name}/{outcome.record.fingerprint}"
        names = [f"{one.parent.name}/{one.name}" for one in self._workspace.list_datasets()]
        told = t("{rows} rows edited in the new Dataset {name}. This one stays as it was.", rows=len(mine), name=made)
        return {**edited, dataset: {}}, told, gr.update(choices=list(dict.fromkeys([dataset, *names])))

    def _item(self, dataset: str, part: str, row: str) -> Item | None:
        """The row that is shown, where it can be edited."""
        return None if part == REMOVED or not row else self._items(dataset).get(row)

    def _items(self, dataset: str) -> Mapping[str, Item]:
        """Rows of a Dataset; none where its kind is not edited, or it went away meanwhile (the listing says so)."""
        try:
            return read_items(self._folder_of(dataset))
        except StudioError:
            return {}

    def _text_name(self, dataset: str) -> str | None:
        """What the text of these rows is called."""
        try:
            return annotated_rows(read_dataset(self._folder_of(dataset))).text_name
        except UserError:
            return None

    @staticmethod
    def _pending(edited: Edited, dataset: str) -> str:
        """How many edits wait to be saved."""
        count = len(edited.get(dataset, {}))
        return t("{count} edits are not saved yet.", count=count) if count else ""


def _annotations(edits: Mapping[str, Mapping[str, str]], by: str) -> list[Annotation]:
    """Edits of the page as annotations of now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [Annotation(row, by, said.get("label"), said.get("text"), at=now, status="changed") for row, said in edits.items()]
