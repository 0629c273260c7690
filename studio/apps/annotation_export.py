"""What annotators said, out of the annotate app: what they agree on as rows for a recipe, or a new Dataset."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.apps.entries import read_entries
from studio.core.errors import UserError
from studio.core.files import write_text
from studio.core.translation import later
from studio.core.workspace import Workspace
from studio.data.annotations.derive import Origin, annotate_dataset
from studio.data.annotations.merging import Merged
from studio.data.annotations.reading import app_annotations
from studio.data.build import BuildOutcome
from studio.feedback.export import BAD_LABEL
from studio.feedback.store import FeedbackStore


def save_dataset(workspace: Workspace, folder: Path) -> tuple[BuildOutcome, Merged]:
    """A new Dataset with what people said of this one in the app.

    Raises:
        StudioError: nothing was said that can be used, or it cannot be written.
    """
    return annotate_dataset(workspace, folder, app_annotations(workspace.root, folder), Origin("the annotate app"))


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
    reference, left_out = f"{folder.parent.name}/{folder.name}", Counter[str]()
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
