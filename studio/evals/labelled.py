"""Labelled predictions: read from a file, or made by asking models; what classification, regression and fairness stand on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from studio.core.errors import DataError, nearest
from studio.core.files import sha256_file
from studio.core.workspace import read_dataset
from studio.data.chat.rows import ChatRow
from studio.evals.chat.tasks.conversation import choose_rows, decoding_of
from studio.evals.evidence import Message, question_from
from studio.evals.tasks.base import NotComputedError, TaskContext
from studio.schema.tasks import LabelledTask, PredictionFile


@dataclass
class Labelled:
    """Examples with a truth and what each model said.

    ids, truth: one per example. said: label of the model to what it said, as text (None: it could not be asked).
    groups: the group of each example, None where it has none; None when no group was asked for.
    prompts: what was asked, empty for predictions from a file.
    """

    ids: list[str]
    truth: list[str]
    said: dict[str, list[str | None]]
    groups: list[str | None] | None = None
    prompts: list[str] = field(default_factory=list)
    rows: list[ChatRow] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_predictions(source: PredictionFile, group: str | None) -> Labelled:
    """Predictions of a .csv or .parquet file.

    Raises:
        DataError: the file cannot be read, has no rows, or lacks a column (the nearest name is offered).
    """
    table = _read_table(Path(source.file).expanduser())
    wanted = [source.label, source.prediction, *(name for name in (source.base_prediction, source.id, group) if name)]
    for name in wanted:
        if name not in table.columns:
            raise DataError(
                f"{source.file} has no column '{name}'.{nearest(name, [str(column) for column in table.columns])} "
                f"Columns: {', '.join(map(str, table.columns))}."
            )
    empty = table[source.label].isna()
    notes = [f"{int(empty.sum())} of {len(table)} rows have no true label and were left out."] if empty.any() else []
    table = table[~empty]
    if table.empty:
        raise DataError(f"{source.file} has no row with a value in '{source.label}'. Give a file with at least one.")
    said = {"tuned": _texts(table[source.prediction])}
    if source.base_prediction:
        said["base"] = _texts(table[source.base_prediction])
    return Labelled(
        ids=[str(value) for value in table[source.id]] if source.id else [str(value) for value in table.index],
        truth=[text or "" for text in _texts(table[source.label])],
        said=said,
        groups=_texts(table[group]) if group else None,
        data={"name": source.file, "sha256": sha256_file(Path(source.file).expanduser())[:16], "rows": len(table)},
        notes=notes,
    )


def truth_rows(context: TaskContext[LabelledTask], group: str | None) -> Labelled:
    """The rows of a Dataset with their truth and group; nothing is asked yet.

    Raises:
        NotComputedError: no dataset is named, or its rows lack the column (the columns they have are named).
    """
    task = context.task
    folder = context.dataset_folder(task.data.dataset)
    rows, _, notes = choose_rows(folder, task.data, context.run, context.workspace, task.limit, context.seed)
    columns = sorted({key for row in rows for key in row.meta})
    for name in (task.label_column, group):
        if name is not None and name not in columns:
            raise NotComputedError(
                f"the rows of {folder.parent.name} have no column '{name}'.{nearest(name, columns)} "
                f"Columns: {', '.join(columns) or 'none'}."
            )
    kept, truth = [], []
    for row in rows:
        value = row.meta.get(task.label_column) if task.label_column else question_from(row.id, row.messages).reference
        if value is not None:
            kept.append(row)
            truth.append(_plain(value) or "")
    if len(kept) < len(rows):
        notes.append(f"{len(rows) - len(kept)} of {len(rows)} rows have no true value and were left out.")
    if not kept:
        raise NotComputedError(f"no row of {folder.parent.name} has a true value. Name a column with label_column.")
    dataset = read_dataset(folder)
    return Labelled(
        ids=[row.id for row in kept],
        truth=truth,
        said={},
        groups=[_plain(row.meta.get(group)) for row in kept] if group else None,
        rows=kept,
        data={
            "path": str(folder), "name": dataset.name, "fingerprint": dataset.fingerprint, "split": task.data.split,
            "rows": len(kept), "rows_in_split": dataset.splits[task.data.split],
        },
        notes=notes,
    )  # fmt: skip


def ask_answers(context: TaskContext[LabelledTask], found: Labelled, labels: Sequence[str] = ()) -> None:
    """Fill ``said`` with what every model writes."""
    prompts = [asked(row, context.task.prompt, labels) for row in found.rows]
    found.prompts = [prompt[-1]["content"] if prompt else "" for prompt in prompts]
    assert context.task.generation is not None
    for label in context.labels:
        with context.subject(label) as subject, context.bar(f"{label}: answers", len(prompts)) as advance:
            answers = subject.answers(
                prompts, decoding_of(context), batch_size=context.task.generation.batch_size, advance=advance
            )
        found.said[label] = [answer.text if answer else None for answer in answers]


def ask_likelihoods(context: TaskContext[LabelledTask], found: Labelled, labels: Sequence[str]) -> None:
    """Fill ``said`` with the label that every model finds most likely as the whole answer."""
    prompts = [asked(row, context.task.prompt, labels) for row in found.rows]
    found.prompts = [prompt[-1]["content"] if prompt else "" for prompt in prompts]
    pairs = [[*prompt, {"role": "assistant", "content": label}] for prompt in prompts for label in labels]
    settings = context.task.likelihood
    assert settings is not None
    for name in context.labels:
        with context.subject(name) as subject, context.bar(f"{name}: likelihood of labels", len(pairs)) as advance:
            values = subject.likelihoods(pairs, batch_size=settings.batch_size, max_length=settings.max_length, advance=advance)
        found.said[name] = []
        for start in range(0, len(values), len(labels)):
            scored = [
                (value.nll, label) for value, label in zip(values[start : start + len(labels)], labels, strict=True) if value
            ]
            found.said[name].append(min(scored)[1] if len(scored) == len(labels) else None)


def asked(row: ChatRow, prompt: str | None, labels: Sequence[str]) -> list[Message]:
    """The turns that are asked: the row's own, or the task's prompt in place of its last question."""
    turns = list(question_from(row.id, row.messages).prompt) or [turn for turn in row.messages if turn["role"] != "assistant"]
    if prompt is None or not turns:
        return turns
    question = turns[-1]["content"]
    text = prompt.replace("{question}", question).replace("{labels}", ", ".join(labels))
    return [*turns[:-1], {"role": "user", "content": text}]


def read_label(text: str | None, labels: Sequence[str]) -> str | None:
    """The label an answer names: the whole answer, else the only label whose words stand in it; None where that is unclear."""
    if text is None:
        return None
    plain = _words(text)
    exact = [label for label in labels if _words(label) == plain]
    if len(exact) == 1:
        return exact[0]
    found = [label for label in labels if re.search(rf"(?<!\w){re.escape(_words(label))}(?!\w)", plain)]
    # "not guilty" names one label, not also "guilty".
    longest = [label for label in found if not any(label != other and _words(label) in _words(other) for other in found)]
    return longest[0] if len(longest) == 1 else None


def read_number(text: str | None) -> float | None:
    """The one number of an answer; None where there is none, or several different ones."""
    if text is None:
        return None
    # A comma between groups of three digits is a separator of thousands.
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    numbers = {float(value) for value in re.findall(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)", plain)}
    return numbers.pop() if len(numbers) == 1 else None


def labels_of(truth: Sequence[str], given: Sequence[str] | None, most: int) -> list[str]:
    """The labels there are, in order.

    Raises:
        NotComputedError: the truth is free text.
        DataError: a true label is not among those that were given.
    """
    occurring = sorted(set(truth))
    if given is not None:
        unknown = [label for label in occurring if label not in given]
        if unknown:
            raise DataError(
                f"the true label {unknown[0]!r} is not in 'labels'.{nearest(unknown[0], given)} Labels: {', '.join(given)}."
            )
        return list(given)
    if len(occurring) > most or (len(occurring) > 10 and len(occurring) > len(truth) / 2):
        raise NotComputedError(
            f"the {len(truth)} true answers have {len(occurring)} different values, so they are free text and no labels. "
            "Name a column of labels with label_column, give predictions.file, or raise max_labels."
        )
    return occurring


def _read_table(path: Path) -> pd.DataFrame:
    """A table by its file's ending."""
    if not path.is_file():
        raise DataError(f"there is no file {path}. Give the path of a .csv or .parquet file of predictions.")
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
    return [None if pd.isna(value) else _plain(value) for value in column]


def _plain(value: Any) -> str | None:
    """A value of a table as text; True and 1.0 as ``True`` and ``1``."""
    if value is None or isinstance(value, Mapping):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _words(text: str) -> str:
    """Lower case, single blanks, no full stop or quotes around."""
    return " ".join(text.lower().split()).strip(" .!\"'`*:")
