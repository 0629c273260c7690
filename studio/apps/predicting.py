"""What the form of a predictor asks and answers, without a page: fields, one row, the answer, held-out rows to try."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from studio.apps.run_shelf import RunShelf, Words, shows
from studio.core.errors import StudioError, UserError
from studio.core.translation import t
from studio.core.workspace import Workspace, read_run, run_dataset

if TYPE_CHECKING:
    from studio.core.records import RunRecord
    from studio.data.examples import Examples
    from studio.evals.predictors.explanations import Explanation
    from studio.models.predictors.base import Filling, Predictor
    from studio.schema.columns import Column

LONGEST_TEXT = 20_000
"""Characters of a text field."""
MOST_BACKGROUND = 100
"""Training rows that explanations compare with."""


@dataclass(frozen=True)
class Answer:
    """What a predictor says of one row.

    value: the label or the number as text. shares: label to probability, the likeliest first, empty for numbers. low, high:
    interval around a number and its level. notes: what the person should know about what they gave.
    """

    value: str
    shares: dict[str, float]
    low: float | None = None
    high: float | None = None
    level: float | None = None
    notes: tuple[str, ...] = ()


@dataclass
class Opened:
    """A predictor with what explanations and examples need of its Dataset, None where that is gone."""

    predictor: Predictor
    background: Examples | None
    held_out: Examples | None


class Asker:
    """One predictor of a workspace: the run that was named, or the newest."""

    def __init__(self, workspace: Workspace, reference: str | None) -> None:
        """Raises UserError: no such run, or none that predicts."""
        self._workspace = workspace
        self._shelf: RunShelf[Opened] = RunShelf(
            workspace,
            reference,
            usable=_predicts,
            load=self._open,
            words=Words(
                wanted="that predicts",
                remedy="Train one: studio quickstart --task table",
                unfit="predicts nothing yet",
                choices="runs that predict",
            ),
        )
        self.name = self._shelf.choices()[0]
        self._folder = workspace.find_run(self.name)
        with self._shelf.lock:
            self._opened = self._shelf.loaded(self._folder)
        self.info = self._opened.predictor.info

    def fields(self) -> list[tuple[Column, Filling | None]]:
        """The columns that are asked for, with what is known of each."""
        return [(column, self.info.fillings.get(column.name)) for column in self.info.columns]

    def held_out_row(self, seed: int) -> tuple[list[Any], str] | None:
        """Values of a row that the run never saw, in the order of the fields, and its truth; None where there is none."""
        rows = self._opened.held_out
        if rows is None or rows.target is None or not len(rows):
            return None
        place = random.Random(seed).randrange(len(rows))
        values = [_plain(rows.features[column.name].iloc[place]) for column, _ in self.fields()]
        return values, _shown(rows.target[place])

    def row(self, values: Sequence[Any]) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """One row as the predictor takes it, and remarks on values it has never met.

        Raises:
            UserError: a value is of another kind than its column.
        """
        cells: dict[str, Any] = {}
        notes: list[str] = []
        for (column, filling), value in zip(self.fields(), values, strict=True):
            cells[column.name] = _typed(column, value)
            notes += _remarks(column, filling, cells[column.name])
        if all(value is None or value != value for value in cells.values()):
            raise UserError(t("Nothing is filled in. Give at least one value."))
        return _frame(self.info.columns, cells), tuple(notes)

    def answer(self, values: Sequence[Any]) -> tuple[Answer, pd.DataFrame]:
        """What the predictor says, and the row it says it of."""
        frame, notes = self.row(values)
        with self._shelf.lock:
            found = self._opened.predictor.predict(frame)
        if found.probabilities is None:
            low, high = (None, None) if found.low is None or found.high is None else (float(found.low[0]), float(found.high[0]))
            return Answer(f"{found.values[0]:.4g}", {}, low, high, self.info.interval.get("level"), notes), frame
        order = np.argsort(-found.probabilities[0])
        shares = {found.labels[place]: float(found.probabilities[0][place]) for place in order}
        return Answer(str(found.values[0]), shares, notes=notes), frame

    def why(self, frame: pd.DataFrame) -> Explanation | None:
        """How the columns add up to the answer; None where the training rows are gone."""
        from studio.evals.predictors.explanations import explain_row

        if self._opened.background is None:
            return None
        with self._shelf.lock:
            return explain_row(self._opened.predictor, frame, self._opened.background.features)

    def _open(self, folder: Path) -> Opened:
        """The predictor, and rows of its Dataset where it is still there."""
        from studio.models.predictors.opening import open_predictor

        predictor = open_predictor(folder / "model")
        try:
            dataset = run_dataset(read_run(folder), self._workspace)
            background, held_out = (_rows(predictor, dataset, split) for split in ("train", "test"))
        except StudioError:
            return Opened(predictor, None, None)
        if background is not None and len(background) > MOST_BACKGROUND:
            background = background.part(sorted(random.Random(0).sample(range(len(background)), MOST_BACKGROUND)))
        return Opened(predictor, background, held_out)


def _rows(predictor: Predictor, dataset: Path, split: str) -> Examples | None:
    """A split of the Dataset that the predictor learned from; None where it has none of that name."""
    from studio.data.examples import Wanted, read_examples
    from studio.data.parquet import read_whole_dataset

    if split not in read_whole_dataset(dataset).splits:
        return None
    info = predictor.info
    kind = "category" if info.task == "labels" else "number"
    return read_examples(dataset, split, Wanted(info.target, kind, tuple(column.name for column in info.columns)))


def _predicts(record: RunRecord, folder: Path) -> bool:
    """True for finished runs of a kind that is shown here."""
    return shows(record, "predict") and (folder / "model" / "predictor.json").is_file()


def _typed(column: Column, value: Any) -> Any:
    """A value of a form as a cell; None where nothing was given."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan if column.type == "number" else None
    if column.type == "number":
        try:
            return float(value)
        except (TypeError, ValueError):
            raise UserError(t("{name} is {value!r} and no number.", name=column.name, value=value)) from None
    if column.type == "time":
        moment = pd.to_datetime(str(value), errors="coerce", utc=True)
        if pd.isna(moment):
            raise UserError(t("{name} is {value!r} and no date. Write it as 2026-01-31.", name=column.name, value=value))
        return moment.tz_localize(None)
    text = str(value)
    if len(text) > LONGEST_TEXT:
        raise UserError(
            t("{name} has {count} characters, at most {most} are taken.", name=column.name, count=len(text), most=LONGEST_TEXT)
        )
    return text


def _remarks(column: Column, filling: Filling | None, value: Any) -> list[str]:
    """What the predictor has never met."""
    if filling is None or value is None or value != value:
        return []
    if column.type == "category" and filling.values and value not in filling.values and filling.distinct == len(filling.values):
        return [t("{name} = {value} never occurred in training.", name=column.name, value=value)]
    low, high = filling.low, filling.high
    if column.type == "number" and low is not None and high is not None and not low <= value <= high:
        text = "{name} = {value:g} lies outside of what training saw ({low:g} to {high:g})."
        return [t(text, name=column.name, value=value, low=low, high=high)]
    return []


def _frame(columns: Sequence[Column], cells: dict[str, Any]) -> pd.DataFrame:
    """One row with the types that :class:`studio.data.examples.Examples` has."""
    kinds = {"number": "float64", "time": "datetime64[ns]"}
    return pd.DataFrame(
        {column.name: pd.Series([cells[column.name]], dtype=kinds.get(column.type, "object")) for column in columns}
    )


def _plain(value: Any) -> Any:
    """A cell as a form shows it."""
    if value is None or value != value:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat(sep=" ")
    return value.item() if isinstance(value, np.generic) else value


def _shown(value: Any) -> str:
    """A truth as text."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
