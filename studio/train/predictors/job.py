"""What a training of a predictor works on: the preset, the rows it may learn from, and how it tells and stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.errors import DataError
from studio.core.workspace import read_run, run_dataset
from studio.data.examples import Examples, Wanted, read_examples
from studio.data.parquet import read_whole_dataset
from studio.train.opening import Say

if TYPE_CHECKING:
    from studio.core.records import DatasetRecord
    from studio.core.workspace import Workspace
    from studio.schema.predictors import AnyPredictorPreset
    from studio.train.recording import StopOnSignal


@dataclass
class Job:
    """A training that is about to begin.

    train, validation: the rows; validation is None where the Dataset has none. resume: go on from the newest checkpoint.
    stop: says whether a signal came. dataset: what is known of where the rows come from, None where they come from none.
    """

    run_folder: Path
    preset: AnyPredictorPreset
    train: Examples
    validation: Examples | None
    resume: bool
    say: Say
    stop: StopOnSignal
    dataset: DatasetRecord | None = None

    def note(self, text: str) -> None:
        """Say something that people have to know, and keep it in the record."""
        self.say(text)
        self.train.notes.append(text)

    @property
    def gives_labels(self) -> bool:
        """True for labels, False for numbers."""
        return self.preset.kind == "classifier"

    @property
    def labels(self) -> list[str]:
        """The labels of the training rows, in order; empty for numbers."""
        return labels_of(self.train)


def wanted_of(preset: AnyPredictorPreset) -> Wanted:
    """What a preset wants of the rows."""
    features = tuple(preset.features) if preset.features is not None else None
    return Wanted(preset.target, "category" if preset.kind == "classifier" else "number", features)


def labels_of(examples: Examples) -> list[str]:
    """The labels that occur, in order of the alphabet; empty for numbers."""
    if examples.target is None or examples.target.dtype != object:
        return []
    return sorted(set(examples.target))


def read_rows(folder: Path, preset: AnyPredictorPreset, splits: Sequence[str]) -> list[Examples | None]:
    """Splits of a Dataset as examples, None for those it has not.

    Raises:
        UserError, StudioError: as :func:`studio.data.examples.read_examples`.
        DataError: no row of the training split has a target.
    """
    there = read_whole_dataset(folder).splits
    found = [read_examples(folder, split, wanted_of(preset)) if split in there else None for split in splits]
    first = found[0]
    if first is None or not len(first):
        raise DataError(f"the dataset {folder.parent.name} has no row with a target in {splits[0]}. Build it with more rows.")
    return found


def open_job(
    run_folder: Path,
    preset: AnyPredictorPreset,
    workspace: Workspace,
    *,
    resume: bool,
    say: Say,
    stop: StopOnSignal,
) -> Job:
    """The rows of an opened Run."""
    folder = run_dataset(read_run(run_folder), workspace)
    train, validation = read_rows(folder, preset, ("train", "validation"))
    assert train is not None
    for note in train.notes:
        say(note)
    return Job(run_folder, preset, train, validation, resume, say, stop, read_whole_dataset(folder))
