"""Annotations as a csv: one line per row and person, to be filled in with any spreadsheet."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.core.errors import DataError, nearest
from studio.data.annotations.base import Annotation, Found, Item, Suggestion
from studio.data.boxes import boxes_json, read_boxes
from studio.data.readers import Raw, ReadOptions, read_file

ROW, SPLIT, SUGGESTION, SUGGESTED_BY, SCORE = "studio_id", "studio_split", "suggestion", "suggested_by", "suggestion_score"
LABEL, TEXT, BOXES, PERSON, TIME = "annotation", "annotation_text", "annotation_boxes", "annotator", "annotated_at"
_OWN = (ROW, SPLIT, SUGGESTION, SUGGESTED_BY, SCORE, LABEL, TEXT, BOXES, PERSON, TIME)
UNNAMED = "unnamed"
"""Who labelled, where a file does not say."""


def as_csv(items: Sequence[Item], suggested: Mapping[str, Suggestion], given: Sequence[Annotation]) -> str:
    """The rows to annotate, with what was said of them already; rows nobody has annotated have one line with empty cells."""
    said: dict[str, list[Annotation]] = {}
    for annotation in given:
        said.setdefault(annotation.row, []).append(annotation)
    nobody: list[Annotation | None] = [None]
    lines = [_line(item, suggested.get(item.id), one) for item in items for one in said.get(item.id) or nobody]
    shown = list(dict.fromkeys(name for line in lines for name in line if name not in _OWN))
    out = io.StringIO()
    writer = csv.DictWriter(out, [ROW, SPLIT, *shown, *_OWN[2:]], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _line(item: Item, suggestion: Suggestion | None, said: Annotation | None) -> dict[str, Any]:
    """One line."""
    shown: dict[str, Any] = {name: value for name, value in item.fields.items() if name not in _OWN}
    if item.turns:
        shown |= {"conversation": "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in item.turns)}
    shown |= {"picture": item.picture} if item.picture else {}
    shown |= {"text": item.text} if item.text is not None else {}
    line = {ROW: item.id, SPLIT: item.split, **shown}
    if suggestion is not None:
        score = "" if suggestion.score is None else repr(suggestion.score)
        line |= {SUGGESTION: suggestion.label, SUGGESTED_BY: suggestion.by, SCORE: score}
    if said is not None:
        boxes = boxes_json(said.boxes) or ""
        line |= {LABEL: said.label or "", TEXT: said.text or "", BOXES: boxes, PERSON: said.by, TIME: said.at}
    return line


def read_csv(path: Path, items: Mapping[str, Item], by: str | None = None) -> Found:
    """Annotations of a filled-in csv.

    Args:
        by: who filled it in, where the file has no column of annotators.
    Raises:
        DataError: the file cannot be read, or has no column of rows or of labels, texts or boxes.
    """
    annotations, left_out = [], Counter[str]()
    for number, line in enumerate(_lines(path), start=1):
        item = items.get(line[ROW])
        cells = {name: (line.get(name) or "").strip() for name in _OWN}
        boxes = read_boxes(cells[BOXES], f"{path}, row {number}") if cells[BOXES] else None
        if item is None:
            left_out["rows that the dataset does not have"] += 1
        elif boxes and (item.size is None or not all(box.within(item.size) for box in boxes)):
            left_out["boxes outside their picture"] += 1
        else:
            said = Annotation(
                item.id, cells[PERSON] or by or UNNAMED, cells[LABEL] or None, cells[TEXT] or None, boxes, cells[TIME]
            )
            if said.is_empty:
                left_out["nothing filled in"] += 1
            else:
                annotations.append(said.judged(_suggestion(cells, f"{path}, row {number}")))
    return Found(annotations, left_out)


def _suggestion(cells: Mapping[str, str], place: str) -> Suggestion | None:
    """What the line says was suggested.

    Raises:
        DataError: the score is no number.
    """
    if not cells[SUGGESTION]:
        return None
    try:
        score = float(cells[SCORE]) if cells[SCORE] else None
    except ValueError:
        raise DataError(f"{place}: {SCORE} is {cells[SCORE]!r} and no number. Leave it empty, or give one from 0 to 1.") from None
    return Suggestion(cells[SUGGESTION], cells[SUGGESTED_BY] or UNNAMED, score)


def _lines(path: Path) -> Iterator[dict[str, str]]:
    """Lines of the file by column.

    Raises:
        DataError: see :func:`read_csv`.
    """
    for found in read_file(path, ReadOptions()):
        if not isinstance(found, Raw) or not isinstance(found.value, dict):
            reason = "it is no table" if isinstance(found, Raw) else found.reason
            raise DataError(f"{path} cannot be read ({reason}). Save it as csv, with the columns it was exported with.")
        line = {str(name): "" if value is None else str(value) for name, value in found.value.items()}
        if ROW not in line:
            raise DataError(f"{path} has no column {ROW!r}.{nearest(ROW, line)} Columns: {', '.join(line)}.")
        if not {LABEL, TEXT, BOXES} & line.keys():
            raise DataError(f"{path} has none of the columns {LABEL}, {TEXT} and {BOXES}, so there is nothing to read.")
        yield line
