"""Data: look through a Dataset row by row, and through what was removed from it and why."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from studio.apps.boxes import picture_of
from studio.apps.editing import EditPanel
from studio.apps.entries import as_html, read_entries
from studio.apps.frame import in_order, page
from studio.core.errors import StudioError, UserError
from studio.core.records import DatasetRecord
from studio.core.translation import later, t
from studio.core.workspace import Workspace, read_dataset
from studio.data.entries import REMOVED, Entry

_ROWS = 15
_PICTURES = 24
# Facts of a row beside each other; the row that is chosen shows all.
_FACTS = 8
_ANY = later("any reason")

Update = Any


def build(workspace: Workspace, reference: str | None = None) -> gr.Blocks:
    """The page of the app.

    Args:
        reference: the Dataset to begin with (name, fingerprint or folder); None takes the newest.
    Raises:
        UserError: there is no such Dataset, or none at all.
    """
    if reference is None and not workspace.list_datasets():
        raise UserError(f"there is no dataset in {workspace.datasets} yet. Build one: studio data build RECIPE")
    first = workspace.find_dataset(reference) if reference else workspace.list_datasets()[0]
    return _Page(workspace, first).build()


def summary(record: DatasetRecord) -> str:
    """What a Dataset is, in a few lines of markdown."""
    splits = ", ".join(f"{name} {rows:,}" for name, rows in record.splits.items())
    sources = "; ".join(
        t(
            "{name} ({rows:,} rows, {licence})",
            name=source.name,
            rows=source.rows,
            licence=source.licence or t("no licence stated"),
        )
        for source in record.sources
    )
    steps = " → ".join(
        f"{step.name} −{step.rows_in - step.rows_out:,}" if step.rows_out < step.rows_in else step.name for step in record.steps
    )
    return "\n\n".join(
        [
            t("**{read:,} rows read, {removed:,} removed**", read=record.rows_read, removed=record.rows_removed) + f" · {splits}",
            t("From {sources}", sources=sources),
            t("Steps: {steps}", steps=steps),
        ]
    )


class _Page:
    """The handlers of the page."""

    def __init__(self, workspace: Workspace, first: Path) -> None:
        self._workspace, self._first = workspace, first

    def build(self) -> gr.Blocks:
        """Lay the page out and connect it."""
        with page(t("Data"), t("What a model was taught with, and what was left out and why."), wide=True) as blocks:
            at = gr.State(0)
            listed = gr.State("")
            with gr.Row():
                dataset = gr.Dropdown([], label=t("Dataset"), interactive=True, scale=2, elem_id="dataset")
                part = gr.Radio([], label=t("Part"), interactive=True, scale=3, elem_id="part")
            about = gr.Markdown(elem_id="about", elem_classes="studio-note")
            with gr.Row():
                search = gr.Textbox(
                    label=t("Search"), placeholder=t("Words in a row …"), max_length=200, scale=3, elem_id="search"
                )
                reason = gr.Dropdown(
                    [(t(_ANY), _ANY)], value=_ANY, label=t("Removed because"), visible=False, scale=2, elem_id="reason"
                )
            table = gr.Dataframe(
                headers=["id", t("question"), t("answer")],
                datatype="str",
                interactive=False,
                wrap=True,
                show_label=False,
                column_widths=["18%", "36%", "46%"],
                elem_id="rows",
            )
            gallery = gr.Gallery(
                show_label=False,
                columns=6,
                height="auto",
                visible=False,
                allow_preview=False,
                buttons=[],
                elem_id="pictures",
            )
            with gr.Row(equal_height=True):
                back = gr.Button(t("Previous"), size="sm", elem_id="previous")
                place = gr.Markdown(elem_id="place", elem_classes="studio-note studio-centre")
                on = gr.Button(t("Next"), size="sm", elem_id="next")
            with gr.Row():
                picture = gr.Image(show_label=False, visible=False, interactive=False, height=320, buttons=[], elem_id="picture")
                detail = gr.HTML(elem_id="detail")
            row = gr.Textbox(visible=False)
            EditPanel(self._workspace, self._folder).build(dataset, part, row)

            filters = [dataset, part, search, reason]
            listing = [at, listed, table, gallery, place, detail, picture, row]
            # One after the other: leaving the search box and switching the split start two listings; the newer one stays.
            blocks.load(self.open, None, [dataset, part, about], queue=False).then(
                self.reasons, [dataset, part], reason, queue=False
            ).then(self.first_page, filters, listing, **in_order("listing"))
            dataset.input(self.choose, dataset, [part, about], queue=False).then(
                self.reasons, [dataset, part], reason, queue=False
            ).then(self.first_page, filters, listing, **in_order("listing"))
            part.input(self.reasons, [dataset, part], reason, queue=False).then(
                self.first_page, filters, listing, **in_order("listing")
            )
            gr.on([search.submit, reason.input], self.first_page, filters, listing, **in_order("listing"))
            search.blur(self.searched, [listed, *filters], listing, **in_order("listing"))
            on.click(self.next_page, [at, *filters], listing, **in_order("listing"))
            back.click(self.previous_page, [at, *filters], listing, **in_order("listing"))
            table.select(self.look, [at, *filters], [detail, picture, row], queue=False)
            gallery.select(self.look, [at, *filters], [detail, picture, row], queue=False)
        return blocks

    def open(self) -> tuple[Update, ...]:
        """Show which Datasets there are."""
        names = [_reference(folder) for folder in self._workspace.list_datasets()]
        first = _reference(self._first)
        names = [first, *(name for name in names if name != first)]
        return (gr.update(choices=names, value=first), *self.choose(first))

    def choose(self, name: str) -> tuple[Update, Update]:
        """Open a Dataset."""
        try:
            record = read_dataset(self._folder(name))
        except StudioError as error:
            return gr.update(choices=[], value=None), _alert(error)
        parts = [*(split for split, rows in record.splits.items() if rows), REMOVED]
        return gr.update(choices=parts, value=parts[0]), summary(record)

    def reasons(self, name: str, part: str) -> Update:
        """Why rows were removed, to choose from."""
        if part != REMOVED:
            return gr.update(visible=False, value=_ANY)
        try:
            counts = Counter(entry.reason for entry in read_entries(self._folder(name), part))
        except StudioError:
            # The listing that follows says what is wrong.
            return gr.update(visible=False, value=_ANY)
        choices = [(f"{t(_ANY)} ({sum(counts.values()):,})", _ANY), *((f"{why} ({n:,})", why) for why, n in counts.most_common())]
        return gr.update(visible=True, choices=choices, value=_ANY)

    def first_page(self, name: str, part: str, search: str, reason: str) -> tuple[Update, ...]:
        """The first rows that the filters let through."""
        return self._list(0, name, part, search, reason)

    def searched(self, listed: str, name: str, part: str, search: str, reason: str) -> tuple[Update, ...]:
        """The search box was left; where it says what it said, the page that is shown stays."""
        if search == listed:
            return tuple(gr.skip() for _ in range(8))
        return self._list(0, name, part, search, reason)

    def next_page(self, at: int, name: str, part: str, search: str, reason: str) -> tuple[Update, ...]:
        """The rows after those shown."""
        return self._list(at + 1, name, part, search, reason)

    def previous_page(self, at: int, name: str, part: str, search: str, reason: str) -> tuple[Update, ...]:
        """The rows before those shown."""
        return self._list(at - 1, name, part, search, reason)

    def look(self, at: int, name: str, part: str, search: str, reason: str, chosen: gr.SelectData) -> tuple[Update, ...]:
        """One row in full."""
        index = chosen.index if isinstance(chosen.index, int) else chosen.index[0]
        try:
            shown = self._page(at, self._found(name, part, search, reason))[0]
        except StudioError as error:
            return html.escape(str(error)), gr.update(visible=False), ""
        if not 0 <= index < len(shown):
            return gr.skip(), gr.skip(), gr.skip()
        return self._shown(shown[index])

    def _list(self, at: int, name: str, part: str, search: str, reason: str) -> tuple[Update, ...]:
        """Page number, search, table, gallery, place, and the first row in full with its id."""
        try:
            found = self._found(name, part, search, reason)
        except StudioError as error:
            nothing = gr.update(visible=True, value=[]), gr.update(visible=False, value=[])
            return 0, search, *nothing, _alert(error), "", gr.update(visible=False), ""
        shown, at, start = self._page(at, found)
        pictures = bool(found) and found[0].picture is not None
        place = t("No pictures here." if pictures else "No rows here.")
        if shown:
            text = "{first:,} to {last:,} of {all:,} pictures" if pictures else "{first:,} to {last:,} of {all:,} rows"
            place = t(text, first=start + 1, last=start + len(shown), all=len(found))
        detail, picture, row = self._shown(shown[0]) if shown else ("", gr.update(visible=False), "")
        if pictures:
            tiles = [(picture_of(entry), entry.answer or entry.reason) for entry in shown]
            return at, search, gr.update(visible=False), gr.update(visible=True, value=tiles), place, detail, picture, row
        removed = part == REMOVED
        table = gr.update(visible=True, **_table(shown, removed=removed))
        return at, search, table, gr.update(visible=False, value=[]), place, detail, picture, row

    @staticmethod
    def _shown(entry: Entry) -> tuple[str, Update, str]:
        """A row in full, with its picture, and its id."""
        image = picture_of(entry)
        return as_html(entry), gr.update(visible=image is not None, value=image), entry.id

    @staticmethod
    def _page(at: int, found: Sequence[Entry]) -> tuple[Sequence[Entry], int, int]:
        """Rows of a page, its number kept within what there is, and the place of its first row."""
        size = _PICTURES if found and found[0].picture is not None else _ROWS
        at = max(0, min(at, (len(found) - 1) // size))
        return found[at * size : (at + 1) * size], at, at * size

    def _found(self, name: str, part: str, search: str, reason: str) -> list[Entry]:
        """Rows that the filters let through.

        Raises:
            StudioError: the Dataset is damaged or was removed meanwhile.
        """
        words = (search or "").casefold().split()
        found = [entry for entry in read_entries(self._folder(name), part) if all(word in entry.text for word in words)]
        if part == REMOVED and reason not in {None, _ANY}:
            found = [entry for entry in found if entry.reason == reason]
        return found

    def _folder(self, name: str) -> Path:
        """Folder of a Dataset of the workspace; a path from outside is not followed.

        Raises:
            UserError: it is not there, or not any more.
        """
        known = {_reference(folder): folder for folder in [self._first, *self._workspace.list_datasets()]}
        if name not in known:
            raise UserError(f"there is no dataset {name!r} here any more. Reload the page.")
        return known[name]


def _table(shown: Sequence[Entry], *, removed: bool) -> dict[str, Any]:
    """Headers, lines and widths: question and answer of rows in which someone speaks, else the facts that rows have."""
    before = ["id", t("reason")] if removed else ["id"]
    lines = [[entry.id, entry.reason] if removed else [entry.id] for entry in shown]
    if any(entry.turns for entry in shown) or not shown:
        widths = ["16%", "18%", "30%", "36%"] if removed else ["18%", "36%", "46%"]
        spoken = [[*line, entry.question, entry.answer] for line, entry in zip(lines, shown, strict=True)]
        return {"headers": [*before, t("question"), t("answer")], "value": spoken, "column_widths": widths}
    names = list(dict.fromkeys(name for entry in shown for name in entry.facts))[:_FACTS]
    facts = [[*line, *(entry.facts.get(name, "") for name in names)] for line, entry in zip(lines, shown, strict=True)]
    width = f"{100 / (len(before) + len(names)):.0f}%"
    return {"headers": [*before, *names], "value": facts, "column_widths": [width] * (len(before) + len(names))}


def _alert(error: StudioError) -> str:
    """An error as a note of the page; an exception in an event would show as the word "Error" only."""
    return f"**{str(error)[:1].upper()}{str(error)[1:]}**"


def _reference(folder: Path) -> str:
    """``name/fingerprint`` of a Dataset folder."""
    return f"{folder.parent.name}/{folder.name}"
