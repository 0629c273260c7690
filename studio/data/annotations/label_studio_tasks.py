"""Rows as tasks of Label Studio, with the labelling interface they need.

Source of the form: https://labelstud.io/guide/tasks (basic JSON format) and https://labelstud.io/guide/predictions.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from studio.data.annotations.base import Annotation, Item, Suggestion
from studio.data.boxes import Box

ROW, SPLIT, DATASET = "studio_id", "studio_split", "studio_dataset"
ITEM, LABEL, TEXT, BOXES = "item", "label", "text", "boxes"
"""Names of the controls of the interface."""
PERSON, STATUS = "studio_annotator", "studio_status"
"""Who made an exported annotation: Label Studio takes ``completed_by`` only of its own users."""


def as_tasks(
    folder: Path,
    items: Sequence[Item],
    suggested: Mapping[str, Suggestion],
    given: Sequence[Annotation],
    *,
    dataset: str,
    pictures_at: str | None = None,
) -> list[dict[str, Any]]:
    """One task per row: what is shown, what was suggested (as a prediction), what people said already (as annotations).

    Args:
        folder: the Dataset. dataset: ``name/fingerprint``.
        pictures_at: address before the path of a picture (``/data/local-files/?d=``); None puts the picture itself in the task.
    """
    said: dict[str, list[Annotation]] = {}
    for annotation in given:
        said.setdefault(annotation.row, []).append(annotation)
    tasks = []
    for number, item in enumerate(items, start=1):
        data = {ROW: item.id, SPLIT: item.split, DATASET: dataset, **_shown(folder, item, pictures_at)}
        suggestion = suggested.get(item.id)
        predictions = [_prediction(item, suggestion)] if suggestion is not None or item.boxes else []
        annotations = [_annotation(item, one) for one in said.get(item.id, [])]
        tasks.append({"id": number, "data": data, "annotations": annotations, "predictions": predictions})
    return tasks


def _shown(folder: Path, item: Item, pictures_at: str | None) -> dict[str, Any]:
    """What the interface shows of a row."""
    if item.picture is not None:
        path = folder / item.picture
        inside = "" if pictures_at is not None else base64.b64encode(path.read_bytes()).decode()
        address = f"data:image/png;base64,{inside}" if pictures_at is None else f"{pictures_at}{item.picture}"
        return {"image": address, "file": item.picture, "text": item.text or ""}
    if item.turns:
        dialogue = [{"author": turn["role"], "text": turn["content"]} for turn in item.turns]
        return {"dialogue": dialogue, "text": item.text or ""}
    return {"row": {name: "" if value is None else value for name, value in item.fields.items()}}


def _prediction(item: Item, suggestion: Suggestion | None) -> dict[str, Any]:
    """A suggested label, and the boxes that the row has."""
    results = [] if suggestion is None else [_choice(suggestion.label)]
    results += [_rectangle(box, item.size) for box in item.boxes if item.size is not None]
    found: dict[str, Any] = {"model_version": suggestion.by if suggestion is not None else DATASET, "result": results}
    return found if suggestion is None or suggestion.score is None else found | {"score": suggestion.score}


def _annotation(item: Item, said: Annotation) -> dict[str, Any]:
    """What a person said already."""
    results = [] if said.label is None else [_choice(said.label)]
    if said.text is not None:
        results.append({"from_name": TEXT, "to_name": ITEM, "type": "textarea", "value": {"text": [said.text]}})
    results += [_rectangle(box, item.size) for box in said.boxes or () if item.size is not None]
    who = {"completed_by": {"email": said.by}} if "@" in said.by else {}
    return {**who, "result": results, "created_at": said.at or None, PERSON: said.by, STATUS: said.status}


def _choice(label: str) -> dict[str, Any]:
    """A label."""
    return {"from_name": LABEL, "to_name": ITEM, "type": "choices", "value": {"choices": [label]}}


def _rectangle(box: Box, size: tuple[int, int]) -> dict[str, Any]:
    """A box; Label Studio has it in percent of the picture."""
    width, height = size
    value = {
        "x": 100 * box.x / width,
        "y": 100 * box.y / height,
        "width": 100 * box.width / width,
        "height": 100 * box.height / height,
        "rotation": 0,
        "rectanglelabels": [box.label],
    }
    known = {"original_width": width, "original_height": height, "image_rotation": 0}
    return {"from_name": BOXES, "to_name": ITEM, "type": "rectanglelabels", "value": value, **known}


def interface(items: Sequence[Item], labels: Sequence[str], box_labels: Sequence[str], text_name: str | None) -> str:
    """The labelling interface (XML) that these tasks need, to be pasted into the project's settings."""
    first = items[0]
    if first.picture is not None:
        shown = f'<Image name="{ITEM}" value="$image"/>'
    elif first.turns:
        shown = f'<Paragraphs name="{ITEM}" value="$dialogue" layout="dialogue" nameKey="author" textKey="text"/>'
    else:
        shown = f'<Table name="{ITEM}" value="$row"/>'
    choices = "".join(f'\n    <Choice value="{escape(label)}"/>' for label in labels)
    parts = [shown, f'<Choices name="{LABEL}" toName="{ITEM}" choice="single">{choices}\n  </Choices>']
    if text_name is not None and any(item.text is not None for item in items):
        parts.append(f'<Header value="{escape(text_name)}"/>')
        parts.append(f'<TextArea name="{TEXT}" toName="{ITEM}" value="$text" maxSubmissions="1" editable="true" rows="4"/>')
    if first.picture is not None:
        kinds = "".join(f'\n    <Label value="{escape(label)}"/>' for label in box_labels)
        parts.append(f'<RectangleLabels name="{BOXES}" toName="{ITEM}">{kinds}\n  </RectangleLabels>')
    return "<View>\n  " + "\n  ".join(parts) + "\n</View>\n"
