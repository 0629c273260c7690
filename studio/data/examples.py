"""Rows as a predictor sees them, whatever kind of Dataset they come from: features, target, and what ties rows together.

A kind of Dataset whose rows can be learned from this way has a line in :data:`EXAMPLES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.core.registry import Registry
from studio.data.kinds import rows_of
from studio.data.parquet import read_whole_dataset
from studio.schema.columns import Column

# Kind of Dataset to what reads a split of it as examples: ``read(folder, split, wanted) -> Examples``.
EXAMPLES = Registry(
    "kind of Dataset",
    {
        "chat": "studio.data.chat.examples:read_chat_examples",
        "image": "studio.data.images.examples:read_image_examples",
        "table": "studio.data.tables.examples:read_table_examples",
    },
)


@dataclass(frozen=True)
class Wanted:
    """What of the rows is wanted.

    target: column that is to be predicted, None for the Dataset's own; target_type: ``category`` or ``number``, None where there
    is no target (groups are to be found). features: columns to predict from, None for all that the Dataset names.
    """

    target: str | None = None
    target_type: str | None = None
    features: tuple[str, ...] | None = None


@dataclass
class Examples:
    """Rows of one split, in their order.

    ids: one per row, unique in the Dataset. columns: the features, in the order of ``features``. features: one column for each,
    with an index 0 … n-1: float64 for numbers (NaN: missing), str or None for categories, texts and paths of pictures,
    datetime64 (UTC, without a zone) for times. target: str labels (object) or float64 numbers, None where none is wanted.
    target_name: its column. groups: what each row belongs to, where rows are not independent. others: all further columns, for
    slices and fairness. notes: what was left out and why, for people.
    """

    ids: list[str]
    columns: tuple[Column, ...]
    features: pd.DataFrame
    target: np.ndarray | None = None
    target_name: str | None = None
    groups: list[str | None] | None = None
    others: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Without further columns there are still so many rows."""
        if self.others.empty and len(self.others) != len(self.ids):
            self.others = pd.DataFrame(index=range(len(self.ids)))

    def __len__(self) -> int:
        """Rows."""
        return len(self.ids)

    def part(self, places: Sequence[int] | np.ndarray) -> Examples:
        """Some of the rows, in the given order."""
        chosen = np.asarray(places, dtype=np.int64)
        return replace(
            self,
            ids=[self.ids[place] for place in chosen],
            features=self.features.iloc[chosen].reset_index(drop=True),
            target=None if self.target is None else self.target[chosen],
            groups=None if self.groups is None else [self.groups[place] for place in chosen],
            others=self.others.iloc[chosen].reset_index(drop=True),
        )


def read_examples(folder: Path, split: str, wanted: Wanted) -> Examples:
    """A split of a Dataset as examples.

    Raises:
        UserError: the Dataset's kind cannot be learned from this way, it has no such split or column, or no row has a target.
        StudioError: a file's bytes are not those that were written.
    """
    record = read_whole_dataset(folder)
    if record.kind not in EXAMPLES:
        raise UserError(
            f"the dataset {record.name} holds {rows_of(record)}, and predictors learn from {', '.join(EXAMPLES)} Datasets. "
            "Give another with --data."
        )
    reader: Callable[[Path, str, Wanted], Examples] = EXAMPLES.get(record.kind)
    return reader(folder, split, wanted)
