"""A predictor in a form that another program reads, opened as any other: asked by studio predict and measured by studio eval."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import DataError, StudioError, UserError
from studio.models.exported import ExportRecord, read_export
from studio.models.predictors.base import Predictor, PredictorInfo
from studio.models.predictors.opening import read_info
from studio.models.runtimes.sessions import Session, open_session

READERS = ("words", "tokens", "pictures", "columns")
"""Modules in ``programs`` that read rows, by the ``reader`` of an export's ``reading``."""
_AT_ONCE = 32
"""Rows per batch when an export is asked."""


class ExportedPredictor(Predictor):
    """What reads rows, and what computes with them, as both stand in the export."""

    form = "export"

    def __init__(self, info: PredictorInfo, record: ExportRecord, reader: Any, session: Session) -> None:
        """``reader``: takes items of :func:`items_of` and gives arrays by input name, which ``session`` takes."""
        super().__init__(info)
        self.record, self.reader, self.session = record, reader, session

    def scores(self, features: pd.DataFrame) -> np.ndarray:
        """See :meth:`studio.models.predictors.base.Predictor.scores`."""
        items = items_of(features, self.info, self.record.extra["reading"]["reader"])
        labels = self.info.task == "labels"
        found = [np.empty((0, len(self.info.labels)) if labels else (0,))]
        for first in range(0, len(items), _AT_ONCE):
            found.append(answers_of(self.info, self.session(self.reader(items[first : first + _AT_ONCE]))))
        return np.concatenate(found)

    def write(self, folder: Path) -> None:
        """It is written by ``studio export``.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("an export is not saved again")

    @classmethod
    def load(cls, folder: Path, info: PredictorInfo) -> ExportedPredictor:
        """Open an export's folder; its files must be those that were proven."""
        record = read_export(folder)
        return cls(info, record, open_reader(folder, record), open_session(folder, record))


def open_exported(folder: Path) -> ExportedPredictor:
    """The predictor of a folder that ``studio export`` wrote.

    Raises:
        UserError: it was not, a file is another one, or its runtime is not installed. StudioError: it is damaged.
    """
    record = read_export(folder)
    if "reading" not in record.extra:
        raise UserError(
            f"{folder} is an export of a run of kind {record.kind!r} to {record.form}, which predicts nothing for rows."
        )
    return ExportedPredictor.load(folder, read_info(folder))


def open_reader(folder: Path, record: ExportRecord) -> Any:
    """What reads rows for an export. The studio's own program reads them, never the copy that lies in the folder.

    Raises:
        StudioError: its files are damaged.
    """
    reading = record.extra["reading"]
    if reading.get("reader") not in READERS:
        raise StudioError(
            f"{folder} reads rows by {reading.get('reader')!r}, and this studio knows {', '.join(READERS)}. Update it."
        )
    module = importlib.import_module(f"studio.models.predictors.programs.{reading['reader']}")
    return module.Reader(folder, reading)


def items_of(features: pd.DataFrame, info: PredictorInfo, reader: str) -> Sequence[Any]:
    """Rows as ``programs`` take them: texts, paths of pictures, or dicts of column to value.

    Raises:
        DataError: a picture is missing.
    """
    first = features[info.columns[0].name]
    if reader in {"words", "tokens"}:
        return ["" if value is None or value != value else str(value) for value in first]
    if reader == "pictures":
        if any(not isinstance(path, str) for path in first):
            raise DataError("a row has no picture, and this network looks at nothing else. Leave the row out.")
        return list(first)
    return [dict(row) for row in features[[column.name for column in info.columns]].to_dict("records")]


def answers_of(info: PredictorInfo, found: dict[str, np.ndarray]) -> np.ndarray:
    """What a session gives as scores: probabilities float64 [n, k], or numbers float64 [n]."""
    if info.task == "numbers":
        return found["value"].astype(np.float64).reshape(-1)
    return found["probabilities"].astype(np.float64)
