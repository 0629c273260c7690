"""How Runs of predictors are asked: rows with their truth, and what every model says of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.core.workspace import read_dataset
from studio.data.examples import Examples, read_examples
from studio.evals.evidence import Evidence
from studio.evals.example_rows import picture_of, row_texts
from studio.evals.label_reading import strict_label
from studio.evals.labelled import Asking, Labelled
from studio.evals.metrics.base import Metric
from studio.evals.predictors.completing import Kept, complete
from studio.evals.predictors.models import described, open_models
from studio.evals.predictors.rows import column_values, columns_of, read_rows, wanted_of
from studio.evals.task import NotComputedError, TaskContext
from studio.models.predictors.base import Predictor, PredictorInfo
from studio.schema.tasks import FairnessTask, LabelledTask, RegressionTask


def truth_rows(context: TaskContext[LabelledTask], group: str | None) -> Labelled:
    """The rows of a Dataset with their truth and group; nothing is asked yet.

    Raises:
        NotComputedError: no dataset is named, or the Run predicts something else than the task measures.
        UserError: a column is missing, or rows were trained on.
    """
    task = context.task
    if task.prompt is not None:
        raise UserError("'prompt' is for language models, and a run that predicts is asked in columns. Leave it out.")
    models = open_models(context)
    info = models["tuned"].info
    _check_task(task, info.task, info.target, context)
    rows, notes = read_rows(context, info)
    notes += _unknown_labels(rows, info)
    if isinstance(task, FairnessTask):
        rows, notes = _independent(context, rows, notes)
    folder = context.dataset_folder(task.data.dataset)
    dataset = read_dataset(folder)
    names = info.target if task.label_column is None else task.label_column
    assert rows.target is not None
    truth = [_spelled(str(value), info.labels) for value in rows.target]
    # With a label that the model does not know there are more than two, and all count.
    two = info.task == "labels" and set(truth) <= set(info.labels)
    return Labelled(
        ids=rows.ids,
        truth=truth,
        said={},
        groups=column_values(rows, group, "group") if group else None,
        clusters=_clusters(rows),
        prompts=row_texts(rows),
        rows=list(range(len(rows))),
        values={name: column_values(rows, name, "slices") for name in getattr(task, "slices", ())},
        data={
            "path": str(folder), "name": dataset.name, "fingerprint": dataset.fingerprint, "split": task.data.split,
            "rows": len(rows), "rows_in_split": dataset.splits[task.data.split], "predicted": names,
        },
        notes=notes,
        labels=list(info.labels) if info.task == "labels" else None,
        positive=info.positive if two else None,
        threshold=info.threshold,
        true_numbers=rows.target.astype(float).tolist() if info.task == "numbers" else None,
        level=info.interval.get("level"),
        about={label: described(model, context.targets[label]) for label, model in models.items()},
        prompted="row",
        picture_of=picture_of(rows),
        kept=Kept(models, rows),
    )  # fmt: skip


def ask(context: TaskContext[LabelledTask], found: Labelled, labels: Sequence[str]) -> None:
    """Fill ``said`` with what every model predicts, and ``shares`` or ``numbers`` and ``bounds`` with how sure it is."""
    kept: Kept = found.kept
    for label, model in kept.models.items():
        features = _features(context, model, kept)
        started = time.perf_counter()
        prediction = model.predict(features)
        found.about[label]["seconds"] = {"predictions": round(time.perf_counter() - started, 3)}
        kept.predictions[label] = prediction
        if prediction.probabilities is None:
            found.numbers[label] = prediction.values.tolist()
            found.said[label] = [repr(value) for value in prediction.values.tolist()]
            if prediction.low is not None and prediction.high is not None:
                found.bounds[label] = list(zip(prediction.low.tolist(), prediction.high.tolist(), strict=True))
            continue
        found.said[label] = [str(value) for value in prediction.values]
        others = dict.fromkeys(labels, 0.0)
        found.shares[label] = [
            others | dict(zip(prediction.labels, row, strict=True)) for row in prediction.probabilities.tolist()
        ]


def _features(context: TaskContext[LabelledTask], model: Predictor, kept: Kept) -> pd.DataFrame:
    """What a model reads of the rows; another Run may read other columns than the one that is measured."""
    wanted, task = wanted_of(model.info, context.task.label_column), context.task
    if set(wanted.features or ()) <= set(kept.rows.features):
        return kept.rows.features
    rows = read_examples(context.dataset_folder(task.data.dataset), task.data.split, wanted)
    places = {name: place for place, name in enumerate(rows.ids)}
    return rows.part([places[name] for name in kept.rows.ids]).features


def _check_task(task: LabelledTask, gives: str, target: str, context: TaskContext[LabelledTask]) -> None:
    """Refuse to measure numbers as labels, and the other way round.

    Raises:
        NotComputedError: says which suite measures such a Run.
    """
    name = context.targets["tuned"].name
    if gives == "labels" and isinstance(task, RegressionTask):
        raise NotComputedError(f"{name} gives labels of {target} and no numbers. Measure it with the suite classification.")
    if gives == "numbers" and not isinstance(task, RegressionTask):
        raise NotComputedError(
            f"{name} gives numbers of {target} and no labels. Measure it with the suite regression; --set "
            "'tasks.0.slices=[COLUMN]' shows its errors for the groups in a column."
        )


def _spelled(value: str, labels: Sequence[str]) -> str:
    """A true label as the model spells it (1 where it says 1.0); as it is where the model does not know it."""
    return strict_label(value, labels) or value if labels else value


def _unknown_labels(rows: Examples, info: PredictorInfo) -> list[str]:
    """A note on labels of the rows that the model cannot give."""
    if info.task == "numbers" or rows.target is None:
        return []
    spelled = [_spelled(str(value), info.labels) for value in rows.target]
    unknown = sorted(set(spelled) - set(info.labels))
    if not unknown:
        return []
    count = sum(value in unknown for value in spelled)
    shown = ", ".join(unknown[:8]) + (" …" if len(unknown) > 8 else "")
    return [f"The model never gives {shown}, which no training row had; the {count} rows with such labels count as wrong."]


def _clusters(rows: Examples) -> list[str] | None:
    """What each row belongs to, itself where nothing is said; None where all rows are independent."""
    if rows.groups is None:
        return None
    named = [group or f"\0{name}" for group, name in zip(rows.groups, rows.ids, strict=True)]
    return named if len(set(named)) < len(named) else None


def _independent(context: TaskContext[LabelledTask], rows: Examples, notes: list[str]) -> tuple[Examples, list[str]]:
    """One row of each cluster, drawn with the suite's seed: gaps between groups are measured over independent rows."""
    clusters = _clusters(rows)
    if clusters is None:
        return rows, notes
    order = np.random.default_rng(context.seed).permutation(len(rows)).tolist()
    chosen = sorted({clusters[place]: place for place in order}.values())
    note = (
        f"The {len(rows)} rows belong to {len(chosen)} groups of the dataset (one person, one document); one row of each was "
        "drawn, because gaps are measured over rows that are independent."
    )
    return rows.part(chosen), [*notes, note]


def _no_evidence(context: TaskContext[Any], found: Labelled, metrics: Sequence[Metric]) -> dict[str, list[Evidence]]:  # noqa: ARG001
    """Predictors write no answers.

    Raises:
        UserError: always.
    """
    raise UserError(
        f"quality '{context.task.quality}' needs answers in words, and a run that predicts gives labels. Use accuracy."
    )


def text_columns(context: TaskContext[LabelledTask]) -> list[str]:
    """Columns of the rows that may name a group."""
    info = open_models(context)["tuned"].info
    task = context.task
    rows = read_examples(context.dataset_folder(task.data.dataset), task.data.split, wanted_of(info, task.label_column))
    return columns_of(rows)


PREDICTORS = Asking(truth_rows, ask, ask, _no_evidence, text_columns, complete)
