"""A comparison of presets on the same folds: ``comparisons/<name>/<time>-<id>/``, with its record, its folds and its Runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from studio import __version__
from studio.core.errors import UserError
from studio.core.files import write_json
from studio.core.records import Record, read_record
from studio.core.workspace import Workspace, read_dataset
from studio.data.parquet import write_table
from studio.schema.loading import Settings, load_yaml, read_value
from studio.search.folds import Rows, divide, rows_of, write_folds
from studio.search.record import new_place, newest_first
from studio.search.space import assignments
from studio.train.kinds import RunKind, preset_kind
from studio.train.opening import find_preset, named_dataset

FILE = "comparison.json"
ROWS_FILE = "rows.parquet"
"""Row to its fold, and to the cluster of rows that it belongs to or resembles."""
FOLDS = 5


class CandidateRecord(Record):
    """One of those that are compared. label: as tables name it. preset: file; called: as the person named it. settings:
    ``key=value`` lines.
    """

    label: str
    preset: str
    called: str
    settings: list[str] = []


class ComparisonRecord(Record):
    """``comparison.json``. data, dataset: as in ``search.json``; folds: folders of the folds' Datasets, in the comparison's own.
    One fold with ``split`` validation is the Dataset itself, whose trainings rehearse on rows that they have not seen yet.
    rows: that were held out once each; clusters: of rows that belong together, among them. result: what came of it.
    """

    kind: str
    name: str
    id: str
    status: Literal["running", "finished", "interrupted", "failed"]
    created: str
    finished: str | None = None
    candidates: list[CandidateRecord]
    data: str
    dataset: dict[str, Any]
    model: str | None = None
    folds: list[str]
    split: Literal["test", "validation"] = "test"
    rows: int | None = None
    clusters: int | None = None
    metric: str | None = None
    better: Literal["higher", "lower"] | None = None
    seed: int = 0
    processes: int = 1
    notes: list[str] = []
    seconds: float = 0.0
    result: dict[str, Any] = {}
    error: str | None = None
    studio_version: str


@dataclass(frozen=True)
class Wish:
    """A comparison as a person asks for it. vary: ``key=a,b,c`` lines."""

    presets: tuple[str, ...]
    data: str | None = None
    model: str | None = None
    settings: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    folds: int | None = None
    metric: str | None = None
    seed: int = 0
    processes: int = 1
    name: str | None = None


def open_comparison(wish: Wish, workspace: Workspace) -> Path:
    """Check what can be checked before anything trains, divide the rows, and make the folder.

    Raises:
        UserError: presets of several kinds, or rows that cannot be divided; DataError: too few rows of a label.
    """
    kind, candidates = _candidates(wish, workspace)
    first = _preset(candidates[0], kind, wish.model)
    folder = workspace.find_dataset(named_dataset(wish.data or getattr(first, "data", None), workspace))
    dataset = read_dataset(folder)
    divided = None
    if not kind.rehearses:
        rows = rows_of(lambda split: kind.examples(first, folder, split), dataset)
        divided = rows, divide(rows, FOLDS if wish.folds is None else wish.folds, wish.seed)
    elif wish.folds is not None:
        raise UserError(
            f"--folds {wish.folds}: runs of kind {kind.name} are compared on what each forecasts while it trains, so there are "
            "no folds. Leave it out."
        )
    workspace.check_writable()
    place, identity, created = new_place(workspace.root / "comparisons", wish.name or dataset.name)
    save(
        place,
        ComparisonRecord(
            kind=kind.name,
            name=place.parent.name,
            id=identity,
            status="running",
            created=created,
            candidates=candidates,
            data=str(folder),
            dataset={"name": dataset.name, "fingerprint": dataset.fingerprint},
            model=wish.model,
            metric=wish.metric,
            seed=wish.seed,
            processes=wish.processes,
            studio_version=__version__,
            **_folds(place, folder, divided, wish.seed),
        ),
    )
    return place


def _folds(place: Path, folder: Path, divided: tuple[Rows, NDArray[np.int64]] | None, seed: int) -> dict[str, Any]:
    """The Datasets that are trained on, written, and what the record says of their rows."""
    if divided is None:
        return {"folds": [str(folder)], "split": "validation"}
    rows, fold_of = divided
    folds = write_folds(folder, place / "datasets", rows, fold_of, seed)
    table = pa.table({"id": rows.ids, "fold": fold_of + 1, "cluster": rows.clusters})
    write_table(table.filter(pa.array(~rows.copies)), place / ROWS_FILE)
    return {
        "folds": [fold.relative_to(place).as_posix() for fold in folds],
        "rows": int((~rows.copies).sum()),
        "clusters": len(set(rows.clusters[~rows.copies].tolist())),
        "notes": rows.notes,
    }


def _candidates(wish: Wish, workspace: Workspace) -> tuple[RunKind, list[CandidateRecord]]:
    """Everything that is compared, each checked against its schema.

    Raises:
        UserError: fewer than two, or of several kinds.
    """
    paths = [find_preset(name, workspace) for name in wish.presets]
    kinds = [preset_kind(path) for path in paths]
    other = next((place for place, kind in enumerate(kinds) if kind is not kinds[0]), None)
    if other is not None:
        raise UserError(
            f"{wish.presets[0]} is of kind {kinds[0].name} and {wish.presets[other]} of kind {kinds[other].name}, and only what "
            "answers the same question can be compared."
        )
    variants = _variants(wish.vary)
    found = [
        CandidateRecord(
            label=_label(name, values, len(wish.presets) == 1),
            preset=str(path.resolve()),
            called=name,
            settings=[*wish.settings, *assignments(values)],
        )
        for name, path in zip(wish.presets, paths, strict=True)
        for values in variants
    ]
    if len(found) < 2:
        raise UserError(
            f"comparing takes two, and {found[0].label} is one. Name another preset, or vary a setting: --vary KEY=1,2,4"
        )
    labels = [item.label for item in found]
    repeated = next((label for place, label in enumerate(labels) if label in labels[:place]), None)
    if repeated is not None:
        raise UserError(f"{repeated} is named twice. Leave one out, or vary a setting: --vary KEY=1,2,4")
    for item in found:
        _preset(item, kinds[0], wish.model)
    return kinds[0], found


def _preset(item: CandidateRecord, kind: RunKind, model: str | None) -> Settings:
    """A candidate's preset, resolved; raises ConfigError for a slip."""
    return load_yaml(Path(item.preset), kind.schema, [*item.settings, *([f"model={model}"] if model else [])])


def _variants(vary: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of the values that are varied; one empty one where none are.

    Raises:
        UserError: a line that varies nothing.
    """
    varied: list[list[tuple[str, Any]]] = []
    for line in vary:
        key, equals, text = line.partition("=")
        inner = text.strip().removeprefix("[").removesuffix("]") if "[[" not in text else text.strip()[1:-1]
        values = read_value(f"[{inner}]", f"--vary {line}") if equals and key.strip() else []
        if not isinstance(values, list) or len(values) < 2:
            raise UserError(f"--vary {line}: write the setting and at least two values, for example --vary estimator.C=0.1,1,10.")
        varied.append([(key.strip(), value) for value in values])
    return [dict(combined) for combined in itertools.product(*varied)]


def _label(name: str, values: dict[str, Any], alone: bool) -> str:
    """How a candidate is named: the preset, and what varies."""
    said = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())
    return said if alone and said else f"{name} {said}".strip()


def run_name(label: str, fold: int) -> str:
    """Name of the Run of a candidate on a fold, as a folder."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")
    return f"{plain or 'preset'}-fold-{fold + 1}"


def save(place: Path, record: ComparisonRecord) -> ComparisonRecord:
    """Write ``comparison.json`` in one step."""
    write_json(place / FILE, record.model_dump(mode="json"))
    return record


def read(place: Path) -> ComparisonRecord:
    """Read ``comparison.json``."""
    return read_record(place / FILE, ComparisonRecord)


def comparisons(workspace: Workspace) -> list[Path]:
    """Folders of all comparisons, newest first."""
    return newest_first(workspace.root / "comparisons", FILE)
