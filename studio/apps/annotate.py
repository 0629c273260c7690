"""Annotate: people judge or correct the rows of a Dataset, and see live how far they agree."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from studio.apps.annotation_export import export_annotations, save_dataset
from studio.apps.annotation_rows import RowsToAnnotate, newest, read_labels
from studio.apps.boxes import picture_of
from studio.apps.entries import as_html
from studio.apps.frame import account, in_order, page
from studio.apps.inert import inert
from studio.apps.recording import open_store
from studio.core.errors import StudioError, UserError
from studio.core.translation import later, t
from studio.core.workspace import Workspace
from studio.data.annotations.base import Suggestion
from studio.data.entries import Entry
from studio.evals.agreement import Coefficient, Ratings, coefficients, needs_third
from studio.feedback.answers import beside_of
from studio.feedback.store import FeedbackStore, Origin

APP = "annotate"
_LONGEST_TEXT = 20_000

Update = Any
_AGREEMENT = tuple(map(later, ("annotators", "rows", "same label", "agreement", "95% interval")))
_MEASURES = {"cohen": later("{who}: Cohen's kappa"), "fleiss": later("all: Fleiss' kappa")}
_ALPHA = later("all: Krippendorff's alpha")
_UNCHANGED = 9
"""Parts of the view that an event fills."""


def build(
    workspace: Workspace, reference: str | None = None, *, guidelines: str | None = None, suggest: str | None = None
) -> gr.Blocks:
    """The page of the app.

    Args:
        reference: the Dataset to judge (name, fingerprint or folder); None takes the newest that can be annotated.
        guidelines: a markdown file or a text that is shown beside every row.
        suggest: a run that predicts, or a column, whose labels people confirm or change; the least certain come first.
    Raises:
        UserError: there is no such Dataset, run or column, or none at all.
    """
    folder = workspace.find_dataset(reference) if reference else newest(workspace)
    rows = RowsToAnnotate(workspace, folder, suggest)
    return _Page(workspace, rows, open_store(workspace), read_guidelines(guidelines)).build()


def read_guidelines(given: str | None) -> str:
    """The text of a markdown file, or the text itself; empty without any.

    Raises:
        UserError: a file of that name is not there, or is no UTF-8 text.
    """
    if given is None:
        return ""
    path = Path(given).expanduser()
    if "\n" not in given and path.suffix.lower() in {".md", ".markdown", ".txt"}:
        try:
            return path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise UserError(
                f"--guidelines {given}: the file cannot be read ({error.strerror}). Give its path, or a text."
            ) from None
        except UnicodeDecodeError:
            raise UserError(f"--guidelines {given}: the file is no UTF-8 text. Save it as UTF-8.") from None
    if not given.strip():
        raise UserError("--guidelines is empty. Give a markdown file, or a text.")
    return given


class _Page:
    """The handlers of the page."""

    def __init__(self, workspace: Workspace, rows: RowsToAnnotate, store: FeedbackStore, guidelines: str) -> None:
        self._workspace, self._rows, self._store, self._guidelines = workspace, rows, store, guidelines
        self._measured: tuple[Ratings, list[list[str]]] = ({}, [])

    def build(self) -> gr.Blocks:
        """Lay the page out and connect it."""
        record, start = self._rows.record, self._rows.labels
        parts = [split for split, rows in record.splits.items() if rows]
        about = t("Judge and correct the rows of {name}. Nobody sees what the others said.", name=record.name)
        with page(t("Annotate"), about) as blocks:
            current = gr.State(("", ""))
            # What the browser shows, sent back with every judgement: the server may know of a newer row than the person saw.
            shown = gr.Textbox(visible=False)
            remembered = gr.BrowserState(None, storage_key="studio-annotator", secret="studio-annotator")
            with gr.Row():
                name = gr.Textbox(
                    label=t("Your name"), max_length=60, elem_id="name", placeholder=t("So that two can be compared")
                )
                part = gr.Dropdown(parts, value=parts[0], label=t("Rows of"), elem_id="part")
                labels = gr.Textbox(label=t("Labels"), value=", ".join(start), max_length=1000, elem_id="labels")
            progress = gr.Markdown(elem_id="progress", elem_classes="studio-note", min_height=26)
            # Apart from the progress: leaving the field of the name counts anew while a click says what is still missing.
            remark = gr.Markdown(elem_id="remark", elem_classes="studio-note")
            with gr.Row():
                with gr.Column(scale=3):
                    picture = gr.Image(
                        show_label=False, visible=False, interactive=False, height=320, buttons=[], elem_id="picture"
                    )
                    row = gr.HTML(elem_id="row")
                if self._guidelines:
                    with gr.Column(scale=2, elem_id="guidelines"):
                        gr.Markdown(f"## {t('Guidelines')}")
                        gr.Markdown(inert(self._guidelines))
            suggested = gr.Markdown(elem_id="suggested", elem_classes="studio-note")
            label = gr.Radio(start, label=t("Label"), elem_id="label")
            correction = gr.Textbox(
                label=t(self._rows.kind.text_name or "Correction"),
                visible=self._rows.kind.text_name is not None,
                info=t("What the answer should have been. Leave it as it is when there is nothing to correct."),
                lines=3,
                max_lines=14,
                max_length=_LONGEST_TEXT,
                elem_id="correction",
            )
            with gr.Row():
                save = gr.Button(t("Save and go on"), variant="primary", elem_id="save")
                skip = gr.Button(t("Skip"), elem_id="skip")
                undo = gr.Button(t("Back to my last"), elem_id="undo")
            agreement = gr.Dataframe(
                headers=[t(name) for name in _AGREEMENT],
                datatype="str",
                interactive=False,
                label=t("Agreement"),
                elem_id="agreement",
            )
            with gr.Row():
                export = gr.Button(t("Export what we agree on"), size="sm", visible=self._rows.spoken, elem_id="export")
                keep = gr.Button(t("Save as a new Dataset"), size="sm", elem_id="keep")
            exported = gr.Markdown(elem_id="exported")
            timer = gr.Timer(5)

            view = [current, shown, progress, remark, row, label, correction, suggested, picture]
            place = [name, part, labels]
            # One after the other: an answer to the opening of the page that came late would empty what was chosen meanwhile.
            blocks.load(self.open, remembered, name, queue=False).then(self.go_on, [current, *place], view, **in_order("rows"))
            blocks.load(self.agreement, None, agreement, queue=False)
            timer.tick(self.agreement, None, agreement, queue=False, show_progress="hidden")
            name.blur(lambda text: text, name, remembered, queue=False)
            gr.on([name.submit, name.blur, part.input], self.go_on, [current, *place], view, **in_order("rows"))
            gr.on([labels.submit, labels.blur], self.relabel, labels, [remark, label], **in_order("rows"))
            saved = save.click(self.save, [shown, *place, label, correction], view, **in_order("rows"))
            saved.then(self.agreement, None, agreement, queue=False)
            skip.click(self.skip, [shown, *place], view, **in_order("rows"))
            undo.click(self.take_back, place, view, **in_order("rows")).then(self.agreement, None, agreement, queue=False)
            export.click(self.export, None, exported, queue=False)
            keep.click(self.keep, None, exported, queue=False)
        return blocks

    def open(self, remembered: str | None, request: gr.Request) -> Update:
        """The account's name where there are accounts, else the one this browser used last."""
        if (own := account(request)) is not None:
            return gr.update(value=own, interactive=False)
        # Not an empty name either: on a slow line the person may have written theirs already.
        return remembered if isinstance(remembered, str) and remembered else gr.skip()

    def go_on(self, current: tuple[str, str], name: str, part: str, labels: str, request: gr.Request) -> tuple[Update, ...]:
        """The first row this person has not judged; where they are at a row still to judge, it and what was begun there stay."""
        who = self._who(name, request)
        before, row = current
        entry = self._rows.next(part, done=self._mine(who), after=None)
        same_row = entry is not None and entry.id == row
        if same_row or (who == before and row in self._rows.ids(part) - self._mine(who)):
            return ((who, row), gr.skip(), self._progress(who, part), *(gr.skip() for _ in range(_UNCHANGED - 3)))
        return self._show(entry, name, part, labels, request)

    def relabel(self, labels: str) -> tuple[Update, Update]:
        """Take other labels."""
        try:
            return "", gr.update(choices=read_labels(labels or ""))
        except UserError as error:
            return _alert(error), gr.skip()

    def skip(self, shown: str, name: str, part: str, labels: str, request: gr.Request) -> tuple[Update, ...]:
        """The next row, without a word about this one."""
        entry = self._rows.next(part, done=self._mine(self._who(name, request)), after=shown)
        return self._show(entry, name, part, labels, request)

    def save(
        self, shown: str, name: str, part: str, labels: str, label: str | None, correction: str, request: gr.Request
    ) -> tuple[Update, ...]:
        """Keep a judgement and go on."""
        who, entry = self._who(name, request), self._rows.entry(part, shown)
        if not who:
            return self._remark(t("Write your name first, so that your labels can be told from the others'."))
        if entry is None:
            return self._remark(t("There is no row to judge here."))
        try:
            allowed = read_labels(labels or "")
        except UserError as error:
            return self._remark(str(error))
        if label is None or label not in allowed:
            return self._remark(t("Choose a label first."))
        correction = correction or ""
        prompt, answer = self._rows.asked(entry)
        words = answer["content"]
        changed = correction.strip() if correction.strip() and correction.strip() != words.strip() else None
        self._store.annotate(
            Origin(f"dataset:{self._rows.record.name}", who, APP),
            dataset=self._reference,
            row=entry.id,
            prompt=prompt,
            completion=words,
            label=label,
            correction=changed,
            beside=beside_of(answer, entry.tools),
            suggestion=asdict(found) if (found := self._rows.suggested.get(entry.id)) else None,
        )
        return self._show(self._rows.next(part, done=self._mine(who), after=shown), name, part, labels, request)

    def take_back(self, name: str, part: str, labels: str, request: gr.Request) -> tuple[Update, ...]:
        """Take this person's last judgement back and show its row again."""
        who = self._who(name, request)
        mine = [row for row in self._store.current_annotations(self._reference) if row["user"] == who]
        mine = [row for row in mine if self._rows.entry(part, row["row"]) is not None]
        if not mine:
            return self._remark(t("You have not labelled a row here yet."))
        last = mine[-1]
        self._store.annotate(
            Origin(last["model"], who, APP),
            dataset=last["dataset"],
            row=last["row"],
            prompt=last["prompt"],
            completion=last["completion"],
            label=None,
            beside=last["beside"],
        )
        return self._show(self._rows.entry(part, last["row"]), name, part, labels, request)

    def agreement(self) -> list[list[str]]:
        """How far people agree as it stands now; computed anew only when somebody has said something."""
        ratings: dict[str, dict[str, str]] = {}
        for row in self._store.current_annotations(self._reference):
            ratings.setdefault(row["row"], {})[row["user"]] = row["label"]
        if ratings != self._measured[0] or not self._measured[1]:
            self._measured = (ratings, _agreement_lines(ratings))
        return self._measured[1]

    def keep(self) -> str:
        """Make a new Dataset of what people said, and say where it is."""
        try:
            outcome, merged = save_dataset(self._workspace, self._rows.folder)
        except StudioError as error:
            return _alert(error)
        name = f"{outcome.record.name}/{outcome.record.fingerprint}"
        level = t(", {count} left as they are, for people are level", count=len(merged.disagreed)) if merged.disagreed else ""
        return t("{rows} rows in the new Dataset {name}{level}.", rows=len(merged.edits), name=name, level=level)

    def export(self) -> str:
        """Write the file and say how a recipe reads it."""
        try:
            path, rows, left_out = export_annotations(self._store, self._workspace, self._rows.folder)
        except StudioError as error:
            return _alert(error)
        gone = "".join(t(", {count} left out ({reason})", count=count, reason=t(reason)) for reason, count in left_out.items())
        source = f"sources:\n  - {{type: local, path: {path}, licence: own data}}"
        return t("{rows} rows written{gone}. In a recipe:", rows=rows, gone=gone) + f"\n\n```yaml\n{source}\n```"

    @staticmethod
    def _remark(note: str) -> tuple[Update, ...]:
        """A word to the person; the row stays as it is."""
        return (*(gr.skip() for _ in range(3)), _alert(note), *(gr.skip() for _ in range(_UNCHANGED - 4)))

    # -- rows ----------------------------------------------------------------------------------------------------

    def _show(self, entry: Entry | None, name: str, part: str, labels: str, request: gr.Request) -> tuple[Update, ...]:
        """Row, progress and empty fields."""
        try:
            choices = read_labels(labels or "")
        except UserError as error:
            return self._remark(str(error))
        who = self._who(name, request)
        progress, label = self._progress(who, part), gr.update(choices=choices, value=None)
        no_picture = gr.update(visible=False, value=None)
        if entry is None:
            return (who, ""), "", t("{progress}. All done, thank you.", progress=progress), "", "", label, "", "", no_picture
        suggestion = self._rows.suggested.get(entry.id)
        if suggestion is not None and suggestion.label in choices:
            label = gr.update(choices=choices, value=suggestion.label)
        picture = gr.update(visible=True, value=shown) if (shown := picture_of(entry)) is not None else no_picture
        text = self._rows.asked(entry)[1]["content"]
        return (who, entry.id), entry.id, progress, "", as_html(entry), label, text, _suggested(suggestion), picture

    @property
    def _reference(self) -> str:
        """``name/fingerprint`` of the Dataset."""
        return f"{self._rows.folder.parent.name}/{self._rows.folder.name}"

    def _progress(self, who: str, part: str) -> str:
        """How far this person is."""
        ids = self._rows.ids(part)
        return t("{done} of {all} rows labelled by you", done=len(self._mine(who) & ids), all=len(ids))

    def _mine(self, who: str) -> set[str]:
        """Rows this person has judged."""
        return {row["row"] for row in self._store.current_annotations(self._reference) if row["user"] == who}

    @staticmethod
    def _who(name: str, request: gr.Request) -> str:
        """The annotator: the account, else the name that was written."""
        return (account(request) or str(name or "")).strip()


def _alert(said: StudioError | str) -> str:
    """A word to the person as the page shows it."""
    return f"**{str(said)[:1].upper()}{str(said)[1:]}**"


def _suggested(suggestion: Suggestion | None) -> str:
    """What is suggested, by whom and how sure; nothing where nothing is."""
    if suggestion is None:
        return ""
    text = t("Suggested by {by}: {label}", by=inert(suggestion.by), label=inert(suggestion.label))
    return text if suggestion.score is None else f"{text} ({100 * suggestion.score:.0f}%)"


def _agreement_lines(ratings: Ratings) -> list[list[str]]:
    """The table of agreement: every two annotators, all of them, and how many rows need a third opinion."""
    try:
        found = coefficients(ratings)
    except UserError:
        return [[t("Two people have to label the same rows first."), "", "", "", ""]]
    pairs = [one for one in found if one.name == "cohen"]
    together = [one for one in found if one.name != "cohen" and one.label is None] if len(pairs) > 1 else []
    lines = [_agreement_line(one) for one in [*sorted(pairs, key=lambda one: -one.rows), *together]]
    third = len(needs_third(ratings))
    return [*lines, [t("rows that need a third opinion"), str(third), "", "", ""]] if third else lines


def _agreement_line(one: Coefficient) -> list[str]:
    """A line of the table."""
    who = t("{one} and {two}", one=one.of.partition(" and ")[0], two=one.of.partition(" and ")[2])
    name = t(_MEASURES.get(one.name, _ALPHA), **({"who": who} if one.name == "cohen" else {}))
    value = t("not defined (all the same label)") if one.value is None else f"{one.value:.2f}"
    interval = ""
    if one.interval.bounds is not None:
        interval = t("{low:.2f} to {high:.2f}", low=one.interval.bounds[0], high=one.interval.bounds[1])
    same = (
        f"{round((one.same or 0) * one.rows)} ({100 * (one.same or 0):.0f}%)"
        if one.name == "cohen"
        else f"{100 * (one.same or 0):.0f}%"
    )
    return [name, str(one.rows), same, value, interval]
