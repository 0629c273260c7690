"""Whether an exported predictor is the run: the same rows asked of both, in several sizes, and of the program beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studio.core.errors import StudioError
from studio.data.examples import Examples
from studio.exports.formatted import ask_program
from studio.exports.writing import hold
from studio.models.exported import ExportRecord
from studio.models.predictors.base import Predictor, PredictorInfo, chosen
from studio.models.predictors.exported import answers_of, items_of, open_reader
from studio.models.runtimes.sessions import Session, open_session

EXACT = 1e-3
"""Most that a probability may differ by, and a number in units of the spread of the numbers."""
LEAST_AGREEMENT, SMALL_SHIFT = 0.95, 0.05
"""With small numbers: least share of equal labels, and most mean difference of numbers in units of their spread."""
_BATCHES = (32, 1)
_SINGLE_ROWS, _PROGRAM_ROWS, _FURTHER = 8, 4, 3


def prove(predictor: Predictor, rows: Examples, folder: Path, record: ExportRecord) -> tuple[dict[str, Any], dict[str, float]]:
    """Figures of the proof, and what they were held to.

    Raises:
        StudioError: the export does not say what the run says.
    """
    info = predictor.info
    items = items_of(rows.features, info, record.extra["reading"]["reader"])
    reader, session = open_reader(folder, record), open_session(folder, record)
    truth = predictor.scores(rows.features)
    row_by_row = next(iter(record.inputs.values()))["shape"][0] == 1  # by its runtime, however many it is given
    found, shapes = _asked(items, reader, session, info, (len(items),) if row_by_row else _BATCHES)
    if row_by_row:
        shapes = {(1, *shape[1:]) for shape in shapes}
    differences = [_difference(info, truth, said, record) for said in found.values()]
    if record.inputs.get("input_ids", {}).get("shape", [1, 1])[1] == "length":
        differences.append(_difference(info, truth, _filled_further(items, reader, session, info, shapes), record))
    whole = next(iter(found.values()))
    proof: dict[str, Any] = {"rows": len(items), "shapes": sorted(shapes), "difference": max(differences)}
    limits: dict[str, float] = {}
    if info.task == "labels":
        proof["agreement"] = float(np.mean(_labels(info, truth) == _labels(info, whole)))
        limits["agreement"] = 1.0 if record.quant is None else LEAST_AGREEMENT
        hold("share of equal labels", proof["agreement"], limits["agreement"], form=record.form, least=True)
    elif record.quant is not None:
        proof["shift"] = float(np.mean(np.abs(truth - whole)) / _spread(truth))
        limits["shift"] = SMALL_SHIFT
        hold("the mean difference of numbers", proof["shift"], SMALL_SHIFT, form=record.form)
    if record.quant is None:
        limits["difference"] = EXACT
        hold("the largest difference", proof["difference"], EXACT, form=record.form)
    few, said = items[:_PROGRAM_ROWS], whole[:_PROGRAM_ROWS]
    if record.quant is not None:  # small numbers depend on what else is in a batch
        said = answers_of(info, session(reader(few)))
    proof["program"] = _program(folder, record, few, info, said)
    return proof, limits


def words_of_proof(record: ExportRecord, task: str) -> list[tuple[str, str]]:
    """The proof for people."""
    proof, limits = record.proof, record.limits
    shapes = ", ".join(" x ".join(map(str, shape)) for shape in _extremes(proof["shapes"]))
    told = [("rows asked of both", f"{proof['rows']} of the split {proof['split']}"), ("in tensors of", shapes)]
    unit = "" if task == "labels" else " of the spread of the numbers"
    name = "largest difference of a probability" if task == "labels" else "largest difference of a number"
    bound = f" (at most {limits['difference']:.0e})" if "difference" in limits else ""
    told.append((name, f"{proof['difference']:.1e}{unit}{bound}"))
    if "agreement" in proof:
        told.append(("same label as the run", f"{proof['agreement']:.1%} (at least {limits['agreement']:.0%})"))
    if "shift" in proof:
        told.append(("mean difference of a number", f"{proof['shift']:.1e}{unit} (at most {limits['shift']:.0e})"))
    told.append(("predict.py beside it", f"the same for {proof['program']} rows"))
    return told


def _extremes(shapes: Iterable[Any]) -> list[Any]:
    """The smallest and the largest."""
    ordered = sorted(shapes, key=lambda shape: (int(np.prod(shape)), shape))
    return ordered[:1] if len(ordered) < 2 else [ordered[0], ordered[-1]]


def _asked(
    items: Any, reader: Any, session: Session, info: PredictorInfo, batches: Sequence[int]
) -> tuple[dict[int, np.ndarray], set[tuple[int, ...]]]:
    """What an export says in batches of each size, and the shapes of its first input that came up."""
    found, shapes = {}, set()
    for size in batches:
        some = items if size > 1 else items[:_SINGLE_ROWS]
        parts = []
        for first in range(0, len(some), size):
            arrays = reader(some[first : first + size])
            shapes.add(tuple(next(iter(arrays.values())).shape))
            parts.append(answers_of(info, session(arrays)))
        found[size] = np.concatenate(parts)
    return found, shapes


def _filled_further(items: Any, reader: Any, session: Session, info: PredictorInfo, shapes: set[tuple[int, ...]]) -> np.ndarray:
    """The first rows once more, filled up further than needed: what fills up must change nothing."""
    arrays = reader(items[: _BATCHES[0]])
    wider = {name: np.pad(value, ((0, 0), (0, _FURTHER))) for name, value in arrays.items()}
    shapes.add(tuple(next(iter(wider.values())).shape))
    return answers_of(info, session(wider))


def _difference(info: PredictorInfo, truth: np.ndarray, found: np.ndarray, record: ExportRecord) -> float:
    """Largest difference to the first rows of the truth."""
    if found.shape[1:] != truth.shape[1:]:
        raise StudioError(f"the {record.form} export gives {found.shape[1:]} numbers for a row, and the run {truth.shape[1:]}.")
    worst = float(np.max(np.abs(truth[: len(found)] - found)))
    return worst if info.task == "labels" else worst / _spread(truth)


def _spread(numbers: np.ndarray) -> float:
    """Standard deviation of numbers; their size where all are equal."""
    return float(numbers.std()) or float(np.abs(numbers).max()) or 1.0


def _labels(info: PredictorInfo, scores: np.ndarray) -> np.ndarray:
    """The label of each row."""
    return chosen(scores, info.labels, info.positive, info.threshold)


def _program(folder: Path, record: ExportRecord, items: Any, info: PredictorInfo, whole: np.ndarray) -> int:
    """Ask the program beside an export, as people will, in a process of its own; gives back the number of rows.

    Raises:
        StudioError: it fails, or says something else.
    """
    answers = ask_program(folder, record.form, json.dumps([plain_item(item) for item in items]))
    if info.task == "numbers":
        numbers = np.array([answer["value"] for answer in answers])
        hold(
            "the largest difference of predict.py",
            float(np.max(np.abs(numbers - whole)) / _spread(whole)),
            EXACT,
            form=record.form,
        )
        return len(answers)
    said = [answer["label"] for answer in answers]
    if said != _labels(info, whole).tolist():
        raise StudioError(f"predict.py of the {record.form} export gives other labels than its file, so nothing was written.")
    return len(answers)


def plain_item(item: Any) -> Any:
    """An item as JSON holds it."""
    if isinstance(item, dict):
        return {name: plain_item(value) for name, value in item.items()}
    if hasattr(item, "isoformat"):
        return None if item != item else item.isoformat()
    return None if isinstance(item, float) and item != item else item
