"""Annotate: people judge or correct the rows of a Dataset, and see live how far they agree."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr

from studio.apps.entries import as_html, read_entries
from studio.apps.frame import in_order, page
from studio.apps.recording import open_store
from studio.core.errors import StudioError, UserError
from studio.core.files import write_text
from studio.core.translation import later, t
from studio.core.workspace import Workspace, read_dataset
from studio.data.entries import Entry
from studio.data.kinds import dataset_kind
from studio.feedback.agreement import agreements
from studio.feedback.answers import beside_of
from studio.feedback.export import BAD_LABEL, GOOD_LABEL
from studio.feedback.store import FeedbackStore, Origin

APP = "annotate"
DEFAULT_LABELS = (GOOD_LABEL, BAD_LABEL)
_KIND = "chat"
_MOST_LABELS = 12
_LONGEST_TEXT = 20_000
_NOT_JUDGED = frozenset({"system", "user", "tool"})

Update = Any
_AGREEMENT = tuple(map(later, ("annotators", "rows both labelled", "same label", "Cohen's kappa", "95% interval")))


def build(workspace: Workspace, reference: str | None = None) -> gr.Blocks:
    """The page of the app.

    Args:
        reference: the Dataset to judge (name, fingerprint or folder); None takes the newest of conversations.
    Raises:
        UserError: there is no such Dataset, or none at all.
    """
    folder = workspace.find_dataset(reference) if reference else _newest(workspace)
    return _Page(workspace, folder, open_store(workspace)).build()


def _newest(workspace: Workspace) -> Path:
    """The newest Dataset that can be annotated.

    Raises:
        UserError: there is none.
    """
    for folder in workspace.list_datasets():
        if read_dataset(folder).kind == _KIND:
            return folder
    raise UserError(f"there is no dataset of conversations in {workspace.datasets} yet. Build one: studio data build RECIPE")


def read_labels(text: str) -> list[str]:
    """Labels a person wrote with commas between them.

    Raises:
        UserError: fewer than two, or too many to choose from.
    """
    labels = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not 2 <= len(labels) <= _MOST_LABELS:
        raise UserError(f"{len(labels)} labels were given. Write 2 to {_MOST_LABELS}, with commas between them.")
    return labels


def export_annotations(store: FeedbackStore, workspace: Workspace, folder: Path) -> tuple[Path, int, Counter[str]]:
    """Write what the annotators agree on as a JSON lines file that a recipe reads.

    A row has the corrected answer where someone corrected it, and as ``annotation`` the label most annotators gave (a column
    ``label`` would say of the answer itself whether it was liked). Left out are rows on which they
    disagree, bad ones that nobody corrected, and rows of the validation and test splits, which must not be trained on.

    Returns:
        the file, rows written, and reason to number of rows left out.
    Raises:
        UserError: nothing was labelled that can be used.
    """
    reference, left_out = _reference(folder), Counter[str]()
    splits = [split for split in ("validation", "test") if (folder / f"{split}.parquet").is_file()]
    held_out = {entry.id for split in splits for entry in read_entries(folder, split)}
    by_row: dict[str, list[dict[str, Any]]] = {}
    for row in store.current_annotations(reference):
        by_row.setdefault(row["row"], []).append(row)
    lines = []
    for identity, said in sorted(by_row.items()):
        (label, votes), *others = Counter(row["label"] for row in said).most_common()
        corrections = [row["correction"] for row in said if row["correction"]]
        if identity in held_out:
            left_out[later("held out for evaluation")] += 1
        elif others and others[0][1] == votes:
            left_out[later("annotators disagree")] += 1
        elif label == BAD_LABEL and not corrections:
            left_out[later("bad and not corrected")] += 1
        else:
            beside = dict(said[-1]["beside"] or {})
            tools = {"tools": beside.pop("tools")} if beside.get("tools") else {}
            answer = {"role": "assistant", "content": corrections[-1]} if corrections else _as_judged(said[-1], beside)
            about = {"annotation": label, "annotators": len({row["user"] for row in said}), "corrected": bool(corrections)}
            lines.append({"id": identity, "messages": [*said[-1]["prompt"], answer], **tools, **about})
    if not lines:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "nothing was labelled yet"
        raise UserError(f"there is nothing to export: {reasons}.")
    name = f"{folder.parent.name}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.jsonl"
    path = workspace.root / "annotations" / name
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path, len(lines), left_out


def _as_judged(row: dict[str, Any], beside: dict[str, Any]) -> dict[str, Any]:
    """The answer of a stored row as a turn."""
    return {"role": "assistant", "content": row["completion"], **beside}


class _Page:
    """The handlers of the page."""

    def __init__(self, workspace: Workspace, folder: Path, store: FeedbackStore) -> None:
        self._workspace, self._folder, self._store = workspace, folder, store
        self._record = read_dataset(folder)
        if self._record.kind != _KIND:
            rows = dataset_kind(self._record).rows
            raise UserError(
                f"the dataset {self._record.name} holds {rows}; rows of conversations are annotated here. "
                f"Look at it with: studio app data {self._record.name}"
            )

    def build(self) -> gr.Blocks:
        """Lay the page out and connect it."""
        parts = [split for split, rows in self._record.splits.items() if rows]
        about = t("Judge and correct the rows of {name}. Nobody sees what the others said.", name=self._record.name)
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
                labels = gr.Textbox(label=t("Labels"), value=", ".join(DEFAULT_LABELS), max_length=300, elem_id="labels")
            progress = gr.Markdown(elem_id="progress", elem_classes="studio-note", min_height=26)
            # Apart from the progress: leaving the field of the name counts anew while a click says what is still missing.
            remark = gr.Markdown(elem_id="remark", elem_classes="studio-note")
            row = gr.HTML(elem_id="row")
            label = gr.Radio(list(DEFAULT_LABELS), label=t("Label"), elem_id="label")
            correction = gr.Textbox(
                label=t("Correction"),
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
                export = gr.Button(t("Export what we agree on"), size="sm", elem_id="export")
            exported = gr.Markdown(elem_id="exported")
            timer = gr.Timer(5)

            view = [current, shown, progress, remark, row, label, correction]
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
        return blocks

    def open(self, remembered: str | None, request: gr.Request) -> Update:
        """The account's name where there are accounts, else the one this browser used last."""
        account = getattr(request, "username", None)
        if account:
            return gr.update(value=str(account), interactive=False)
        # Not an empty name either: on a slow line the person may have written theirs already.
        return remembered if isinstance(remembered, str) and remembered else gr.skip()

    def go_on(self, current: tuple[str, str], name: str, part: str, labels: str, request: gr.Request) -> tuple[Update, ...]:
        """The first row this person has not judged; where they are at a row still to judge, it and what was begun there stay."""
        who = self._who(name, request)
        before, row = current
        entry = self._next(who, part, after=None)
        same_row = entry is not None and entry.id == row
        if same_row or (who == before and row in self._ids(part) - self._mine(who)):
            return ((who, row), gr.skip(), self._progress(who, part), *(gr.skip() for _ in range(4)))
        return self._show(entry, name, part, labels, request)

    def relabel(self, labels: str) -> tuple[Update, Update]:
        """Take other labels."""
        try:
            return "", gr.update(choices=read_labels(labels or ""))
        except UserError as error:
            return _alert(error), gr.skip()

    def skip(self, shown: str, name: str, part: str, labels: str, request: gr.Request) -> tuple[Update, ...]:
        """The next row, without a word about this one."""
        return self._show(self._next(self._who(name, request), part, after=shown), name, part, labels, request)

    def save(
        self, shown: str, name: str, part: str, labels: str, label: str | None, correction: str, request: gr.Request
    ) -> tuple[Update, ...]:
        """Keep a judgement and go on."""
        who, entry = self._who(name, request), self._entry(part, shown)
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
        prompt, answer = _asked(entry)
        words = answer["content"]
        changed = correction.strip() if correction.strip() and correction.strip() != words.strip() else None
        self._store.annotate(
            Origin(f"dataset:{self._record.name}", who, APP),
            dataset=_reference(self._folder),
            row=entry.id,
            prompt=prompt,
            completion=words,
            label=label,
            correction=changed,
            beside=beside_of(answer, entry.tools),
        )
        return self._show(self._next(who, part, after=shown), name, part, labels, request)

    def take_back(self, name: str, part: str, labels: str, request: gr.Request) -> tuple[Update, ...]:
        """Take this person's last judgement back and show its row again."""
        who = self._who(name, request)
        mine = [row for row in self._store.current_annotations(_reference(self._folder)) if row["user"] == who]
        mine = [row for row in mine if self._entry(part, row["row"]) is not None]
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
        return self._show(self._entry(part, last["row"]), name, part, labels, request)

    def agreement(self) -> list[list[str]]:
        """Cohen's kappa of every two annotators, as it stands now."""
        lines = []
        for pair in agreements(self._store.current_annotations(_reference(self._folder))):
            kappa = t("not defined (all the same label)") if pair.rows > 1 else t("needs two rows")
            if pair.kappa is not None:
                kappa = f"{pair.kappa:.2f}"
            interval = ""
            if pair.low is not None and pair.high is not None:
                interval = t("{low:.2f} to {high:.2f}", low=pair.low, high=pair.high)
            same = f"{pair.same} ({100 * pair.same / pair.rows:.0f}%)"
            lines.append([t("{one} and {two}", one=pair.one, two=pair.two), str(pair.rows), same, kappa, interval])
        return lines or [[t("Two people have to label the same rows first."), "", "", "", ""]]

    def export(self) -> str:
        """Write the file and say how a recipe reads it."""
        try:
            path, rows, left_out = export_annotations(self._store, self._workspace, self._folder)
        except StudioError as error:
            return _alert(error)
        gone = "".join(t(", {count} left out ({reason})", count=count, reason=t(reason)) for reason, count in left_out.items())
        source = f"sources:\n  - {{type: local, path: {path}, licence: own data}}"
        return t("{rows} rows written{gone}. In a recipe:", rows=rows, gone=gone) + f"\n\n```yaml\n{source}\n```"

    @staticmethod
    def _remark(note: str) -> tuple[Update, ...]:
        """A word to the person; the row stays as it is."""
        return (*(gr.skip() for _ in range(3)), _alert(note), *(gr.skip() for _ in range(3)))

    # -- rows ----------------------------------------------------------------------------------------------------

    def _show(self, entry: Entry | None, name: str, part: str, labels: str, request: gr.Request) -> tuple[Update, ...]:
        """Row, progress and empty fields."""
        try:
            choices = read_labels(labels or "")
        except UserError as error:
            return self._remark(str(error))
        who = self._who(name, request)
        progress, label = self._progress(who, part), gr.update(choices=choices, value=None)
        if entry is None:
            return (who, ""), "", t("{progress}. All done, thank you.", progress=progress), "", "", label, ""
        return (who, entry.id), entry.id, progress, "", as_html(entry), label, _asked(entry)[1]["content"]

    def _progress(self, who: str, part: str) -> str:
        """How far this person is."""
        ids = self._ids(part)
        return t("{done} of {all} rows labelled by you", done=len(self._mine(who) & ids), all=len(ids))

    def _order(self, part: str) -> list[Entry]:
        """Rows in an order of their own, the same for everybody, so that two annotators meet."""
        entries = [entry for entry in read_entries(self._folder, part) if entry.turns]
        return random.Random(self._folder.name).sample(entries, len(entries))

    def _next(self, who: str, part: str, *, after: str | None) -> Entry | None:
        """The first row after another one that this person has not judged; from the start again when none is left there."""
        order, mine = self._order(part), self._mine(who)
        ids = [entry.id for entry in order]
        start = ids.index(after) + 1 if after in ids else 0
        return next((entry for entry in [*order[start:], *order[:start]] if entry.id not in mine), None)

    def _entry(self, part: str, identity: str) -> Entry | None:
        """A row by its id."""
        return next((entry for entry in self._order(part) if entry.id == identity), None)

    def _ids(self, part: str) -> set[str]:
        """Ids of all rows of a part."""
        return {entry.id for entry in self._order(part)}

    def _mine(self, who: str) -> set[str]:
        """Rows this person has judged."""
        return {row["row"] for row in self._store.current_annotations(_reference(self._folder)) if row["user"] == who}

    @staticmethod
    def _who(name: str, request: gr.Request) -> str:
        """The annotator: the account, else the name that was written."""
        return str(getattr(request, "username", None) or name or "").strip()


def _asked(entry: Entry) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The prompt of a row and the answer that is judged: the last turn that is not the user's."""
    last = max((index for index, turn in enumerate(entry.messages) if turn["role"] not in _NOT_JUDGED), default=None)
    if last is None:
        return entry.messages, {"role": "assistant", "content": ""}
    return [turn for turn in entry.messages[:last] if turn["role"] in {*_NOT_JUDGED, "assistant"}], entry.messages[last]


def _alert(said: StudioError | str) -> str:
    """A word to the person as the page shows it."""
    return f"**{str(said)[:1].upper()}{str(said)[1:]}**"


def _reference(folder: Path) -> str:
    """``name/fingerprint`` of a Dataset folder."""
    return f"{folder.parent.name}/{folder.name}"
