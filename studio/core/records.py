"""The JSON at the heart of each artefact. Written strictly, read tolerantly; the contract is ``docs/artefacts.md``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import StudioError

FORMAT = 1


class Record(BaseModel):
    """Base of the saved records: unknown keys are kept (a newer studio may have written them)."""

    model_config = ConfigDict(extra="allow")

    known: ClassVar[int] = FORMAT
    """Newest format of this record that this studio reads."""

    format: int = FORMAT


R = TypeVar("R", bound=Record)


class SourceRecord(Record):
    """One source of a Dataset as it was read."""

    name: str
    kind: str
    location: str
    revision: str | None = None
    licence: str | None = None
    sha256: str | None = None
    rows: int = 0


class StepRecord(Record):
    """What one cleaning step did. Counts are rows (conversations)."""

    name: str
    settings: dict[str, Any] = {}
    rows_in: int
    rows_out: int
    changed: int = 0
    removed: dict[str, int] = {}
    seconds: float = 0.0


class DatasetRecord(Record):
    """``dataset.json``: a finished Dataset. ``splits`` maps split name to rows.

    Format 2 is that of conversations in which a turn holds more than role and content, or a row has tools; format 3 that of rows
    some of which are raw texts.
    """

    known: ClassVar[int] = 3

    kind: str
    name: str
    fingerprint: str
    created: str
    recipe: dict[str, Any]
    sources: list[SourceRecord]
    steps: list[StepRecord]
    splits: dict[str, int]
    rows_read: int
    rows_removed: int
    files: dict[str, str] = {}
    studio_version: str


class RunRecord(Record):
    """``run.json``: a Run. ``status`` says whether the folder is whole.

    ``base`` holds name, path, revision, sha256, licence and source of the base weights; ``dataset`` holds path, name and
    fingerprint; ``start`` holds run, id, path, rank and sha256 of the adapter that it started from, and is empty for a base;
    ``template`` holds name, file, sha256, day (the date it was given, where it asks for one), changes, arguments,
    client_arguments and thinking;
    ``result`` the final figures (losses, steps, tokens, seconds, peak bytes).
    """

    kind: str
    name: str
    id: str
    status: Literal["running", "finished", "interrupted", "failed"]
    created: str
    finished: str | None = None
    method: str
    base: dict[str, Any]
    dataset: dict[str, Any]
    start: dict[str, Any] = {}
    template: dict[str, Any] = {}
    seed: int
    versions: dict[str, str] = {}
    git_commit: str | None = None
    machine: dict[str, Any] = {}
    mask_report: dict[str, Any] = {}
    plan: dict[str, Any] = {}
    result: dict[str, Any] = {}
    files: dict[str, str] = {}
    error: str | None = None


class Score(Record):
    """One number of a report. ``low`` and ``high`` are a 95% interval, None where there are too few examples for one;
    ``interval`` says how it was made, or why there is none. ``clusters`` is the number of independent groups that the examples
    come from, None where each stands for itself. ``lowest`` and ``highest`` are what the metric can reach, None without an end.

    ``ideal`` is the value of no bias, where there is one (0.5 for CrowS-Pairs); such a score is better the nearer it is.
    ``reason`` says why there is no value. ``note`` qualifies the value (a small group). ``task`` is the suite's task.
    """

    metric: str
    value: float | None
    unit: str
    better: Literal["higher", "lower", "neither"]
    n: int
    low: float | None = None
    high: float | None = None
    interval: str = ""
    clusters: int | None = None
    lowest: float | None = None
    highest: float | None = None
    coverage: float = 1.0
    made_with: str
    title: str = ""
    explains: str = ""
    ideal: float | None = None
    reason: str | None = None
    note: str | None = None
    task: str | None = None


class Difference(Record):
    """Tuned minus baseline of one metric on the same examples, with a paired 95% interval.

    ``verdict`` is ``better``, ``worse`` or ``no difference shown`` (the interval holds 0, or the p-value is too large once it is
    corrected for all comparisons of the suite), ``not computed`` without one. ``p`` is the p-value, ``p_holm`` the same after
    Holm's correction. With an ``ideal``, ``distance`` is the change of the distance from it, with its own interval.
    """

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    method: str
    verdict: str
    p: float | None = None
    p_holm: float | None = None
    distance: float | None = None
    distance_low: float | None = None
    distance_high: float | None = None
    task: str | None = None


class GroupScores(Record):
    """One measure for each group of the examples (a category, a class, a group of people), for each model.

    ``scores`` maps label to a list of Scores whose ``metric`` is the group's name.
    """

    task: str | None = None
    title: str
    unit: str
    ideal: float | None = None
    explains: str = ""
    scores: dict[str, list[Score]]


class TaskRecord(Record):
    """One task of a suite in a report. ``reason`` says why it was not computed and what to do; None when it was.

    ``marks`` holds scores of what is no model, to hold the models against (``real`` pictures, ``noise``). ``lead`` holds
    sentences for people in a hurry.
    """

    name: str
    type: str
    title: str = ""
    reason: str | None = None
    rows: int = 0
    seconds: float = 0.0
    data: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    notes: list[str] = []
    limits: list[str] = []
    marks: dict[str, list[Score]] = {}
    lead: list[str] = []


class ReportRecord(Record):
    """``scores.json``: a finished Report. ``models`` maps a label (``tuned``, ``base``) to what was measured.

    ``gate`` holds the number of thresholds, how many were met, and a sentence for each that was missed and for each that so few
    examples do not show.
    """

    suite: str
    created: str
    dataset: dict[str, Any]
    models: dict[str, dict[str, Any]]
    scores: dict[str, list[Score]]
    differences: list[Difference] = []
    groups: list[GroupScores] = []
    tasks: list[TaskRecord] = []
    gate: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    seconds: float = 0.0
    studio_version: str


def shared_name(base: Mapping[str, Any]) -> str | None:
    """What a Run's base is called where others read it: of a folder the last name alone, for its path is this machine's.

    Args:
        base: as in ``run.json``.
    """
    name = base.get("name")
    return Path(name).name if name and base.get("source") == "local" else name


def side_names(models: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the two models of a Report are called before people: what predicts by itself was not tuned and has no base.

    Args:
        models: as in :class:`ReportRecord`.
    """
    if models.get("tuned", {}).get("kind") == "predictor":
        return {"tuned": "model", "base": "baseline"}
    return {"tuned": "tuned", "base": "base"}


def read_record(path: Path, model: type[R]) -> R:
    """Read a saved record, warning about what a newer studio wrote and refusing what is not one.

    Raises:
        StudioError: the file is missing, cut off or not of this shape.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        record = model.model_validate(value)
    except FileNotFoundError:
        raise StudioError(f"{path.parent} is not whole: it has no {path.name}. Make the artefact again.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StudioError(f"{path} is cut off or damaged ({error}). Make the artefact again.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = f"{path} is not a {model.__name__}: '{place}' {first['msg'].lower()}"
        raise StudioError(f"{what}. Make the artefact again.") from error
    if record.format > model.known:
        warnings.warn(f"{path} was written in format {record.format}, this studio knows {model.known}", stacklevel=2)
    return record
