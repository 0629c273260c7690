"""Labelled predictions: read from a file, or made by asking models; what classification, regression and fairness stand on.

How rows are read and models are asked about them is a matter of the Dataset's kind, or of the Run's where it reads rows by
itself, and stands in the room of that kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from studio.core.errors import DataError, nearest
from studio.core.files import sha256_file
from studio.core.records import side_names
from studio.core.registry import Registry
from studio.core.workspace import read_dataset
from studio.evals.evidence import Evidence
from studio.evals.label_reading import free_label, strict_label
from studio.evals.metrics.base import Metric
from studio.evals.task import NotComputedError, Part, TaskContext, TaskResult
from studio.language.number_reading import Typed, strict_number
from studio.schema.tasks import LabelledTask, PredictionFile

# How models are asked about rows whose truth is known, by the kind of the Dataset.
ASKING = Registry("kind of Dataset", {"chat": "studio.evals.chat.labelled:CONVERSATIONS"})
# How Runs are asked that read rows by themselves, by the kind of the Run; the kind of the Dataset does not matter.
PREDICTING = Registry(
    "kind of Run",
    {"classifier": "studio.evals.predictors.asking:PREDICTORS", "regressor": "studio.evals.predictors.asking:PREDICTORS"},
)


@dataclass
class Labelled:
    """Examples with a truth and what each model said.

    ids, truth: one per example. said: label of the model to what it said, as text (None: it could not be asked).
    groups: the group of each example, None where it has none; None when no group was asked for. clusters: what each belongs to,
    where examples are not independent. scores: label of the model to its probabilities of the positive label. shares: label of
    the model to its probabilities of all labels, where it was asked for likelihoods.
    prompts: what was asked, empty for predictions from a file. rows: as the kind of the Dataset has them, empty likewise.
    values: column to its value in each example, of those that slices are made of.

    Of models that give labels or numbers and nothing else: labels: all that they can give. positive, threshold: of two labels,
    the one that is given from this probability on. true_numbers: the truth. numbers, bounds: label of the model to its numbers,
    and the interval around each. level: how much of the truth these intervals are to hold. about: label of the model to its
    description. prompted: what ``prompts`` are, for people. picture_of: a row's picture as an URI that holds it. kept: what the
    room that asked needs again for what it adds at the end.
    """

    ids: list[str]
    truth: list[str]
    said: dict[str, list[str | None]]
    groups: list[str | None] | None = None
    clusters: list[str] | None = None
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    shares: dict[str, list[dict[str, float] | None]] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    values: dict[str, list[str | None]] = field(default_factory=dict)
    labels: list[str] | None = None
    positive: str | None = None
    threshold: float | None = None
    true_numbers: list[float] | None = None
    numbers: dict[str, list[float | None]] = field(default_factory=dict)
    bounds: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    level: float | None = None
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    prompted: str = "asked"
    picture_of: Callable[[Any], str] | None = None
    kept: Any = None

    def shown(self, place: int) -> tuple[list[Part], str | None]:
        """What an example is, for its card: texts, and a picture where it has one."""
        picture = self.picture_of(self.rows[place]) if self.picture_of is not None else None
        return [Part(self.prompted, self.prompts[place])] if self.prompts and self.prompts[place] else [], picture

    def called(self, label: str) -> str:
        """A model's label for people."""
        return side_names(self.about).get(label, label)

    def part(self, places: Sequence[int]) -> Labelled:
        """Some of the examples, with all that is known about them."""
        return replace(
            self,
            ids=[self.ids[place] for place in places],
            truth=[self.truth[place] for place in places],
            said={label: [values[place] for place in places] for label, values in self.said.items()},
            groups=[self.groups[place] for place in places] if self.groups is not None else None,
            clusters=[self.clusters[place] for place in places] if self.clusters is not None else None,
            scores={label: [values[place] for place in places] for label, values in self.scores.items()},
            shares={label: [values[place] for place in places] for label, values in self.shares.items()},
            prompts=[self.prompts[place] for place in places] if self.prompts else [],
            rows=[self.rows[place] for place in places] if self.rows else [],
            values={name: [values[place] for place in places] for name, values in self.values.items()},
            true_numbers=[self.true_numbers[place] for place in places] if self.true_numbers is not None else None,
            numbers={label: [values[place] for place in places] for label, values in self.numbers.items()},
            bounds={label: [values[place] for place in places] for label, values in self.bounds.items()},
        )


@dataclass(frozen=True)
class Asking:
    """How models are asked about the rows of one kind of Dataset, or how one kind of Run is.

    truth_rows: the rows with their truth and, for a column that is named, their group; nothing is asked yet.
    answers: fills ``said`` with what every model says, given the labels there are (none: it says a number).
    likelihoods: fills ``said`` with the label that every model finds most likely, and ``shares`` with its probabilities of all.
    evidence: fills ``said`` with free answers, and gives all that these metrics need, by label of the model.
    text_columns: the columns of the rows that hold text, and so may name a group.
    complete: adds to the finished result of a task what only such models can show; None adds nothing.
    """

    truth_rows: Callable[[TaskContext[Any], str | None], Labelled]
    answers: Callable[[TaskContext[Any], Labelled, Sequence[str]], None]
    likelihoods: Callable[[TaskContext[Any], Labelled, Sequence[str]], None]
    evidence: Callable[[TaskContext[Any], Labelled, Sequence[Metric]], dict[str, list[Evidence]]]
    text_columns: Callable[[TaskContext[Any]], list[str]]
    complete: Callable[[TaskContext[Any], Labelled, TaskResult], TaskResult] | None = None


def asking_about(context: TaskContext[Any]) -> Asking:
    """How the Run that is measured is asked, or else models about the Dataset of a task of
    :class:`studio.schema.tasks.LabelledTask`.

    Raises:
        NotComputedError: no dataset is named, or models are asked about no rows of its kind (the kinds are named).
    """
    if context.run is not None and context.run.kind in PREDICTING:
        predicting: Asking = PREDICTING.get(context.run.kind)
        return predicting
    record = read_dataset(context.dataset_folder(context.task.data.dataset))
    if record.kind not in ASKING:
        raise NotComputedError(
            f"the dataset {record.name} holds {record.kind} rows, and models are asked about {' or '.join(ASKING)} rows only. "
            "Give another with --data DATASET, or give predictions.file."
        )
    found: Asking = ASKING.get(record.kind)
    return found


def labelled_rows(context: TaskContext[Any], group: str | None) -> tuple[Labelled, Asking | None]:
    """The examples of a task, and how models are asked about them: None where the predictions come from a file.

    Raises:
        DataError: a column or file is missing. NotComputedError: there is no data, or none of a kind that models are asked about.
    """
    if context.task.predictions is not None:
        slices = getattr(context.task, "slices", ())
        return _drawn(context, read_predictions(context.task.predictions, group, slices)), None
    asking = asking_about(context)
    return asking.truth_rows(context, group), asking


def completed(context: TaskContext[Any], asking: Asking | None, found: Labelled, result: TaskResult) -> TaskResult:
    """The result with what only the models that were asked can show."""
    result.about = found.about
    return result if asking is None or asking.complete is None else asking.complete(context, found, result)


def _drawn(context: TaskContext[Any], found: Labelled) -> Labelled:
    """At most the task's limit of a file's rows."""
    places = context.draw(range(len(found.truth)))
    if len(places) < len(found.truth):
        note = f"{len(places)} of the file's {len(found.truth)} rows were taken (limit {context.task.limit})."
        found = replace(found.part(places), notes=[*found.notes, note], data=found.data | {"rows": len(places)})
    return found


def read_predictions(source: PredictionFile, group: str | None, slices: Sequence[str] = ()) -> Labelled:
    """Predictions of a .csv or .parquet file.

    Raises:
        DataError: the file cannot be read, has no rows, or lacks a column (the nearest name is offered).
    """
    table = _read_table(Path(source.file).expanduser())
    others = (source.base_prediction, source.id, source.cluster, source.score, source.base_score, group, *slices)
    wanted = [source.label, source.prediction, *(name for name in others if name)]
    for name in wanted:
        if name not in table.columns:
            raise DataError(
                f"{source.file} has no column '{name}'.{nearest(name, [str(column) for column in table.columns])} "
                f"Columns: {', '.join(map(str, table.columns))}."
            )
    empty = table[source.label].isna()
    notes = [f"{int(empty.sum())} of {len(table)} rows have no true label and were left out."] if empty.any() else []
    columns = {"tuned": source.score, "base": source.base_score}
    # Before rows are left out: a message counts the rows of the file.
    given = {label: _probabilities(table[name], source.file) for label, name in columns.items() if name}
    table = table[~empty]
    if table.empty:
        raise DataError(f"{source.file} has no row with a value in '{source.label}'. Give a file with at least one.")
    said = {"tuned": _texts(table[source.prediction])}
    if source.base_prediction:
        said["base"] = _texts(table[source.base_prediction])
    return Labelled(
        scores={label: [value for value, left in zip(values, empty, strict=True) if not left] for label, values in given.items()},
        ids=[str(value) for value in table[source.id]] if source.id else [str(value) for value in table.index],
        truth=[text or "" for text in _texts(table[source.label])],
        said=said,
        groups=_texts(table[group]) if group else None,
        values={name: _texts(table[name]) for name in slices},
        # An example without a cluster stands for itself.
        clusters=[text or f"\0{place}" for place, text in enumerate(_texts(table[source.cluster]))] if source.cluster else None,
        data={"name": source.file, "sha256": sha256_file(Path(source.file).expanduser())[:16], "rows": len(table)},
        notes=notes,
    )


def _probabilities(column: Any, file: str) -> list[float | None]:
    """Probabilities of a column; None where it is empty.

    Raises:
        DataError: a value is no number from 0 to 1.
    """
    found: list[float | None] = []
    for place, text in enumerate(_texts(column)):
        value = None if text is None else strict_number(text, ".")
        if text is not None and (value is None or not 0 <= value <= 1):
            raise DataError(
                f"{file}, row {place + 1}: '{column.name}' is {text!r}, expected a probability from 0 to 1. Where it is a "
                "score of another kind, turn it into a probability first."
            )
        found.append(value)
    return found


def read_labels(task: LabelledTask, found: Labelled, labels: Sequence[str]) -> dict[str, list[str | None]]:
    """The label of every prediction, by model; None where it cannot be read.

    A column of labels is read strictly, and so is the label that a model found most likely, or gives by itself; free answers by
    :func:`studio.evals.label_reading.free_label`.
    """
    if found.labels is not None:
        known = {text: strict_label(text, labels) for said in found.said.values() for text in set(said)}
        return {name: [known[text] for text in said] for name, said in found.said.items()}
    strict = task.predictions.holds == "labels" if task.predictions else getattr(task, "by", "answer") == "likelihood"
    read = strict_label if strict else free_label
    return {name: [read(value, labels) for value in said] for name, said in found.said.items()}


def unread_examples(said: Sequence[str | None], read: Sequence[object]) -> str:
    """The first texts in which nothing could be read, in brackets for a remark; nothing where all are empty."""
    texts = dict.fromkeys(text for text, value in zip(said, read, strict=True) if value is None and text)
    shown = [repr(text[:40]) for text in list(texts)[:3]]
    return f" ({', '.join(shown)}{' …' if len(texts) > 3 else ''})" if shown else ""


def as_text(value: Any) -> str | None:
    """A value of a table as text; True and 1.0 as ``True`` and ``1``."""
    if value is None or isinstance(value, Mapping):
        return None
    if isinstance(value, float):
        return Typed(int(value) if value.is_integer() else value)
    return str(value)


def labels_of(found: Labelled, given: Sequence[str] | None, most: int) -> list[str]:
    """The labels there are, in order, with those that a model can give. Where they are given, the truth is put into their
    spelling (1.0 where 1 is given).

    Raises:
        NotComputedError: the truth is free text.
        DataError: a true label is not among those that were given.
    """
    occurring = sorted(set(found.truth))
    if given is not None:
        spelled = {label: strict_label(label, given) for label in occurring}
        unknown = [label for label, known in spelled.items() if known is None]
        if unknown:
            raise DataError(
                f"the true label {unknown[0]!r} is not in 'labels'.{nearest(unknown[0], given)} Labels: {', '.join(given)}."
            )
        found.truth = [spelled[label] or label for label in found.truth]
        return list(given)
    if found.labels is not None:
        return sorted({*occurring, *found.labels})
    if len(occurring) > most or (len(occurring) > 10 and len(occurring) > len(found.truth) / 2):
        raise NotComputedError(
            f"the {len(found.truth)} true answers have {len(occurring)} different values, so they are free text and no labels. "
            "Name a column of labels with label_column, give predictions.file, or raise max_labels."
        )
    twins = [(one, other) for place, one in enumerate(occurring) for other in occurring[:place] if strict_label(one, [other])]
    if twins:
        pairs = ", ".join(f"{other!r} and {one!r}" for one, other in twins[:5])
        found.notes.append(f"These true labels differ in spelling only and count as different ones: {pairs}.")
    return occurring


def _read_table(path: Path) -> pd.DataFrame:
    """A table by its file's ending."""
    if not path.is_file():
        raise DataError(f"there is no file {path}. Give the path of a .csv or .parquet file of predictions.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Give a file of predictions whose first line names its columns.")
    try:
        if path.suffix == ".csv":
            # Every column as text: a label 01 is not the number 1.
            return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:]} ({str(error).splitlines()[0]}).") from error
    raise DataError(f"{path} ends in '{path.suffix}'. Allowed: .csv, .parquet.")


def _texts(column: Any) -> list[str | None]:
    """A column as texts, None where it is empty."""
    return [None if pd.isna(value) else as_text(value) for value in column]
