"""What people did in Label Studio: its JSON export (not JSON-MIN) back as annotations.

Source of the form: https://labelstud.io/guide/export (JSON) and https://labelstud.io/guide/task_format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.errors import DataError, nearest
from studio.data.annotations.base import Annotation, Found, Item, Suggestion, read_json
from studio.data.annotations.label_studio_tasks import DATASET, PERSON, ROW
from studio.data.annotations.matching import Names
from studio.data.boxes import Box

_LABELS = {"choices": "choices", "rating": "rating", "number": "number"}
_UNNAMED = "unnamed"


@dataclass(frozen=True)
class Controls:
    """Which control of the labelling interface says the label, and which the text; None takes the only one there is."""

    label: str | None = None
    text: str | None = None


def is_label_studio(value: Any) -> bool:
    """True for tasks of Label Studio."""
    tasks = value if isinstance(value, list) else []
    return bool(tasks) and all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks)


def read_label_studio(path: Path, items: Mapping[str, Item], controls: Controls | None = None) -> Found:
    """Annotations of an export.

    Args:
        items: the Dataset's rows; a task names its row (``data.studio_id``), or its picture by the file's name.
    Raises:
        DataError: it is no such export, or several controls give labels and none was chosen.
    """
    tasks = read_json(path)
    if not is_label_studio(tasks):
        raise DataError(
            f"{path} is no list of Label Studio's tasks. Export the project as JSON (JSON-MIN leaves out who labelled)."
        )
    reading = _Reading(path, controls or Controls(), Counter())
    reading.check_controls(tasks)
    names, annotations = Names(items), list[Annotation]()
    for number, task in enumerate(tasks, start=1):
        item = names.find(*_names_of(task))
        if item is None:
            reading.left_out["tasks whose row the dataset does not have"] += 1
            continue
        annotations += reading.task(task, item, f"{path}, task {task.get('id', number)}")
    return Found(annotations, reading.left_out)


def _names_of(task: Mapping[str, Any]) -> list[str]:
    """What may say which row a task is."""
    data = task["data"]
    return [str(data[key]) for key in (ROW, "file", "image", "img", "url") if isinstance(data.get(key), str | int)]


@dataclass
class _Reading:
    """One file on its way. left_out: reason to number of annotations or results."""

    path: Path
    controls: Controls
    left_out: Counter[str]

    def check_controls(self, tasks: list[dict[str, Any]]) -> None:
        """Refuse to guess between several controls, and a name that none has.

        Raises:
            DataError: says which there are.
        """
        results = [result for task in tasks for said in _annotations(task) for result in _results(said)]
        for what, chosen, types in (("label", self.controls.label, set(_LABELS)), ("text", self.controls.text, {"textarea"})):
            there = sorted({str(result.get("from_name")) for result in results if result.get("type") in types})
            if chosen is None and len(there) > 1:
                raise DataError(
                    f"{self.path}: {len(there)} controls give a {what}: {', '.join(there)}. Say which: --{what}-from NAME"
                )
            if chosen is not None and chosen not in there:
                known = ", ".join(there) or "none"
                raise DataError(f"{self.path}: no control {chosen!r} gives a {what}.{nearest(chosen, there)} There: {known}.")

    def task(self, task: dict[str, Any], item: Item, place: str) -> Iterator[Annotation]:
        """What was said in one task; what was only predicted is a suggestion."""
        predictions = [part for part in task.get("predictions") or [] if isinstance(part, dict)]
        suggestion = next(filter(None, (self._suggestion(one) for one in predictions)), None)
        said = _annotations(task)
        for annotation in said:
            if annotation.get("was_cancelled"):
                self.left_out["skipped by the annotator"] += 1
                continue
            found = self._annotation(annotation, item, place, _who(annotation))
            if found.is_empty:
                self.left_out["annotations that say nothing"] += 1
            else:
                yield found.judged(suggestion)
        if not said and suggestion is not None and suggestion.by not in {"dataset", DATASET}:
            yield Annotation(item.id, suggestion.by, suggestion.label, status="suggested", suggestion=suggestion)

    def _annotation(self, said: dict[str, Any], item: Item, place: str, who: str) -> Annotation:
        """One person's results of one task."""
        label, text = None, None
        boxes: list[Box] = []
        boxed = False
        for result in _results(said):
            kind, value = result.get("type"), result.get("value")
            if not isinstance(value, dict):
                self.left_out["results without a value"] += 1
            elif kind in _LABELS and self.controls.label in {None, result.get("from_name")}:
                label = self._label(value, str(kind)) or label
            elif kind == "textarea" and self.controls.text in {None, result.get("from_name")}:
                text = _text(value)
            elif kind == "rectanglelabels":
                boxed = True
                boxes += self._box(value, item, place)
            else:
                self.left_out[f"results of type {kind} (control {result.get('from_name')})"] += 1
        at = str(said.get("updated_at") or said.get("created_at") or "")
        # An answer that is as it was is no correction.
        changed = text if text is not None and text.strip() and text != item.text else None
        return Annotation(item.id, who, label, changed, tuple(boxes) if boxed else None, at)

    def _label(self, value: dict[str, Any], kind: str) -> str | None:
        """A label; several chosen at once are none."""
        given = value.get(_LABELS[kind])
        given = given if isinstance(given, list) else [given]
        if len(given) != 1 or given[0] is None:
            self.left_out["several choices at once (a row has one label)"] += 1
            return None
        return str(given[0])

    def _box(self, value: dict[str, Any], item: Item, place: str) -> list[Box]:
        """A rectangle in pixels.

        Raises:
            DataError: its sides are no numbers.
        """
        names = value.get("rectanglelabels")
        if item.size is None:
            self.left_out["rectangles on rows that are no pictures"] += 1
            return []
        if value.get("rotation"):
            self.left_out["rotated rectangles"] += 1
            return []
        if not isinstance(names, list) or len(names) != 1:
            self.left_out["rectangles without exactly one label"] += 1
            return []
        try:
            x, y, width, height = (float(value[side]) for side in ("x", "y", "width", "height"))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{place}: a rectangle has no usable side ({error}). Export the project again.") from error
        across, down = item.size[0] / 100, item.size[1] / 100
        box = Box(str(names[0]), round(x * across, 2), round(y * down, 2), round(width * across, 2), round(height * down, 2))
        if not box.within(item.size):
            self.left_out["rectangles outside their picture"] += 1
            return []
        return [box]

    def _suggestion(self, prediction: dict[str, Any]) -> Suggestion | None:
        """The label that a prediction suggests."""
        for result in _results(prediction):
            value = result.get("value")
            if (
                result.get("type") in _LABELS
                and isinstance(value, dict)
                and self.controls.label in {None, result.get("from_name")}
            ):
                given = value.get(_LABELS[str(result["type"])])
                label = given[0] if isinstance(given, list) and given else given
                score = prediction.get("score")
                certain = float(score) if isinstance(score, int | float) else None
                return Suggestion(str(label), str(prediction.get("model_version") or "prediction"), certain)
        return None


def _annotations(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Annotations of a task; older versions called them completions."""
    found = task.get("annotations", task.get("completions")) or []
    return [one for one in found if isinstance(one, dict)]


def _results(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Results of an annotation or a prediction."""
    return [one for one in said.get("result") or [] if isinstance(one, dict)]


def _who(said: Mapping[str, Any]) -> str:
    """Who labelled: an e-mail address, a name, or the number of the account."""
    if isinstance(said.get(PERSON), str):
        return str(said[PERSON])
    who = said.get("completed_by")
    if isinstance(who, dict):
        name = " ".join(str(who[key]) for key in ("first_name", "last_name") if who.get(key))
        return str(who.get("email") or name or who.get("username") or f"user {who.get('id')}")
    return _UNNAMED if who is None else f"user {who}" if isinstance(who, int) else str(who)


def _text(value: Mapping[str, Any]) -> str:
    """A text; a text area may hold several."""
    given = value.get("text")
    return "\n".join(map(str, given)) if isinstance(given, list) else str(given or "")
