"""From what several people said of the same rows to one edit per row; where they are level the row stays as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from studio.data.annotations.base import Annotation, Edit, Item, Status


@dataclass
class Merged:
    """What becomes of the rows.

    edits: by row. disagreed: rows on whose label the annotators are level, so that a third has to say; nothing of them changes.
    left_out: reason to number of rows. notes: for people.
    """

    edits: dict[str, Edit]
    disagreed: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def held_now(annotations: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    """What each person holds of each row now, by row: the last that they said, by time and then by place."""
    held: dict[tuple[str, str], Annotation] = {}
    for said in sorted(annotations, key=lambda one: one.at):
        held.pop((said.row, said.by), None)
        held[said.row, said.by] = said
    rows: dict[str, list[Annotation]] = {}
    for said in held.values():
        rows.setdefault(said.row, []).append(said)
    return rows


def majority(labels: Sequence[str]) -> str | None:
    """The label that more people gave than any other; None where two are level, or there is none."""
    (label, votes), *others = Counter(labels).most_common() or [("", 0)]
    return label if votes and not (others and others[0][1] == votes) else None


def merge(annotations: Sequence[Annotation], items: Mapping[str, Item], *, suggestions: bool = False) -> Merged:
    """One edit per row.

    The label is that of most people; a text or boxes that differ are those said last.

    Args:
        suggestions: take what was only suggested too, of rows that no person has annotated.
    """
    merged, texts = Merged({}), 0
    for row, said in held_now(annotations).items():
        people = [one for one in said if one.status != "suggested"]
        if not people and not suggestions:
            merged.left_out["only suggested, and confirmed by nobody"] += 1
            continue
        people = people or said
        labels = [one.label for one in people if one.label is not None]
        label = majority(labels)
        if labels and label is None:
            merged.disagreed.append(row)
            continue
        texts += len({(one.text, one.boxes) for one in people if one.text is not None or one.boxes is not None}) > 1
        merged.edits[row] = _edit(people, label, items[row])
    if texts:
        merged.notes.append(f"in {texts} rows the texts or boxes of several people differ; those said last were taken")
    return merged


def _edit(people: Sequence[Annotation], label: str | None, item: Item) -> Edit:
    """The edit of one row."""
    text = next((one.text for one in reversed(people) if one.text is not None), None)
    boxes = next((one.boxes for one in reversed(people) if one.boxes is not None), None)
    agreeing = [one for one in people if label is None or one.label in {None, label}]
    changed = (text is not None and text != item.text) or (boxes is not None and boxes != item.boxes)
    said: set[Status] = {one.status for one in agreeing}
    status: Status = "changed" if changed or "changed" in said else "confirmed" if "confirmed" in said else "given"
    if said == {"suggested"}:
        status = "suggested"
    return Edit(label, text, boxes, tuple(sorted({one.by for one in agreeing})), status, max(one.at for one in agreeing))
