"""Groups in a form that another program reads, asked as the run is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.models.clusters.base import ClustersInfo
from studio.models.clusters.groups import NONE, Placement
from studio.models.clusters.opening import read_clusters_info
from studio.models.exported import ExportRecord, read_export
from studio.models.predictors.programs.columns import Reader
from studio.models.runtimes.sessions import Session, open_session

GROUPING = "grouping"
"""Under this name a record's ``extra`` says how columns are read."""
_AT_ONCE = 1000


class ExportedClusters:
    """What reads rows, and what places them, as both stand in the export."""

    def __init__(self, info: ClustersInfo, reader: Any, session: Session) -> None:
        """``reader``: takes rows and gives arrays by input name, which ``session`` takes."""
        self.info, self.reader, self.session = info, reader, session

    def place(self, features: pd.DataFrame) -> Placement:
        """As :meth:`studio.models.clusters.opening.Clusters.place`."""
        rows = rows_of(features, self.info)
        said = [self.session(self.reader(rows[at : at + _AT_ONCE])) for at in range(0, len(rows), _AT_ONCE)]
        groups = np.concatenate([part["group"] for part in said] or [np.zeros(0, np.int64)])
        distances = np.concatenate([part["distance"] for part in said] or [np.zeros(0)])
        return Placement(groups.astype(np.int64), np.where(groups == NONE, np.nan, distances))


def rows_of(features: pd.DataFrame, info: ClustersInfo) -> list[Mapping[str, Any]]:
    """Rows as the reader takes them."""
    return [
        {str(name): value for name, value in row.items()}
        for row in features[[column.name for column in info.columns]].to_dict("records")
    ]


def open_exported(folder: Path, record: ExportRecord | None = None) -> ExportedClusters:
    """The groups of a folder that ``studio export`` wrote.

    Args:
        record: of a folder that is not finished yet.
    Raises:
        UserError: it is another export, a file is another one, or its runtime is not installed.
    """
    record = record or read_export(folder)
    if GROUPING not in record.extra:
        raise UserError(f"{folder} is an export of a run of kind {record.kind!r} to {record.form}, which has no groups.")
    return ExportedClusters(read_clusters_info(folder), Reader(folder, record.extra[GROUPING]), open_session(folder, record))
