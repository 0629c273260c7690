"""A new Dataset out of an old one and what people said of its rows. The old one is only read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

import studio
from studio.core.errors import UserError
from studio.core.files import new_folder, sha256_file, sha256_json, write_json, write_text
from studio.core.records import DatasetRecord, StepRecord
from studio.core.workspace import Workspace, read_dataset
from studio.data.annotations.base import Annotation, Edit, Item, Suggestion, all_items, annotated_rows
from studio.data.annotations.merging import Merged, merge
from studio.data.boxes import boxes_json, read_boxes
from studio.data.build import BuildOutcome, check_name, mark_newest
from studio.data.card import CARD_FILE, card_text
from studio.data.parquet import read_checked, write_table

ANNOTATIONS_FILE = "annotations.parquet"
"""Every annotation that a Dataset was made with, one line each."""
STEP = "annotations"
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("row", "by", "label", "text", "boxes", "at", "status", "suggestion", "suggested_by")]
    + [("suggestion_score", pa.float64())]
)


@dataclass(frozen=True)
class Origin:
    """Where annotations come from: a file with its hash, or an app. left_out: reason to number of what could not be used."""

    source: str
    sha256: str | None = None
    left_out: Mapping[str, int] | None = None


def annotate_dataset(
    workspace: Workspace,
    folder: Path,
    annotations: Sequence[Annotation],
    origin: Origin,
    *,
    name: str | None = None,
    suggestions: bool = False,
) -> tuple[BuildOutcome, Merged]:
    """Make a Dataset with what people said, or find the one that was made of the same.

    Args:
        folder: the Dataset they spoke of.
        name: of the new one; None takes the old one's with ``-annotated``.
        suggestions: take what was only suggested too.
    Raises:
        UserError: nothing that was said can be used. DataError: a label does not fit the Dataset.
        StudioError: a file is damaged, no space, no permission.
    """
    base, items = read_dataset(folder), all_items(folder)
    merged = merge(annotations, items, suggestions=suggestions)
    if not merged.edits:
        reasons = {**(origin.left_out or {}), **merged.left_out}
        if merged.disagreed:
            reasons["annotators are level"] = len(merged.disagreed)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "nothing was annotated yet"
        raise UserError(f"no row of {base.name} changes by {origin.source}: {told}.")
    called = name or (base.name if base.name.endswith("-annotated") else f"{base.name}-annotated")
    check_name(called)
    # What a file brings back that was said before is no second opinion.
    kept = list(dict.fromkeys([*read_annotations(folder), *annotations]))
    fingerprint = _fingerprint(base, kept, merged.edits)
    target = workspace.datasets / called / fingerprint
    if (target / "dataset.json").is_file():
        mark_newest(target)
        return BuildOutcome(target, read_dataset(target), cached=True), merged
    workspace.check_writable()
    record = _record(base, called, fingerprint, origin, merged, items)
    with new_folder(target) as place:
        record = annotated_rows(base).write(folder, place, record, merged.edits)
        write_table(_to_table(kept), place / ANNOTATIONS_FILE)
        write_text(place / CARD_FILE, card_text(record))
        files = {file.name: sha256_file(file) for file in sorted(place.iterdir()) if file.is_file() and file.name[0] != "."}
        write_json(place / "dataset.json", record.model_copy(update={"files": files}).model_dump(mode="json"))
    mark_newest(target)
    return BuildOutcome(target, read_dataset(target), cached=False), merged


def _fingerprint(base: DatasetRecord, kept: Sequence[Annotation], edits: Mapping[str, Edit]) -> str:
    """All that the new Dataset depends on."""
    said = [asdict(one) for one in kept]
    return sha256_json([base.fingerprint, said, {row: asdict(edit) for row, edit in edits.items()}, studio.__version__])[:16]


def _record(
    base: DatasetRecord, name: str, fingerprint: str, origin: Origin, merged: Merged, items: Mapping[str, Item]
) -> DatasetRecord:
    """``dataset.json`` of the new Dataset: the old one's, and one line more of history."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    changed = sum(_changes(edit, items[row]) for row, edit in merged.edits.items())
    left_out = dict(Counter(origin.left_out or {}) + merged.left_out)
    history = {
        "from": {"name": base.name, "fingerprint": base.fingerprint},
        "source": origin.source,
        "sha256": origin.sha256,
        "made": now,
        "rows": len(merged.edits),
        "changed": changed,
        "by": dict(Counter(who for edit in merged.edits.values() for who in edit.by).most_common()),
        "status": dict(Counter(edit.status for edit in merged.edits.values())),
        "first": min((edit.at for edit in merged.edits.values() if edit.at), default=None),
        "last": max((edit.at for edit in merged.edits.values() if edit.at), default=None),
        "disagreed": merged.disagreed,
        "left_out": left_out,
    }
    extra: dict[str, Any] = base.model_extra or {}
    rows = sum(base.splits.values())
    step = StepRecord(
        name=STEP, settings={"source": origin.source, "by": history["by"]}, rows_in=rows, rows_out=rows, changed=changed
    )
    return base.model_copy(
        update={
            "name": name,
            "fingerprint": fingerprint,
            "created": now,
            "studio_version": studio.__version__,
            "steps": [*base.steps, step],
            "notes": [*extra.get("notes", []), *(f"annotations: {note}" for note in merged.notes)],
            "annotations": [*extra.get("annotations", []), history],
        }
    )


def _changes(edit: Edit, item: Item) -> bool:
    """True where a row is another afterwards, its marks not counted."""
    pairs = ((edit.label, item.label), (edit.text, item.text), (edit.boxes, item.boxes))
    return any(new is not None and new != old for new, old in pairs)


def read_annotations(folder: Path) -> list[Annotation]:
    """Every annotation that a Dataset was made with; none where it was not made of any.

    Raises:
        StudioError: the file is damaged.
    """
    record = read_dataset(folder)
    if ANNOTATIONS_FILE not in record.files:
        return []
    return [_from_line(line) for line in read_checked(folder, ANNOTATIONS_FILE, record.files).to_pylist()]


def _to_table(annotations: Sequence[Annotation]) -> pa.Table:
    """Annotations as they lie on disk."""
    lines = [
        {
            **{name: getattr(said, name) for name in ("row", "by", "label", "text", "at", "status")},
            "boxes": boxes_json(said.boxes),
            "suggestion": said.suggestion.label if said.suggestion else None,
            "suggested_by": said.suggestion.by if said.suggestion else None,
            "suggestion_score": said.suggestion.score if said.suggestion else None,
        }
        for said in annotations
    ]
    return pa.Table.from_pylist(lines, schema=_SCHEMA)


def _from_line(line: Mapping[str, Any]) -> Annotation:
    """One line of the table."""
    boxes = read_boxes(line["boxes"], ANNOTATIONS_FILE) if line["boxes"] is not None else None
    suggestion = None
    if line["suggestion"] is not None:
        suggestion = Suggestion(line["suggestion"], line["suggested_by"], line["suggestion_score"])
    return Annotation(line["row"], line["by"], line["label"], line["text"], boxes, line["at"], line["status"], suggestion)
