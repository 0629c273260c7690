"""Pictures as a predictor sees them: the path of each file, and its label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.data.examples import Examples, Wanted
from studio.data.images.rows import ImageRow, read_image_split
from studio.schema.columns import Column

PICTURE = Column(name="picture", type="picture", about="a picture file")
LABEL = "label"


def read_image_examples(folder: Path, split: str, wanted: Wanted) -> Examples:
    """A split of a Dataset of pictures with their labels.

    Raises:
        UserError: another target than the label is asked for, or no picture has one.
    """
    rows = read_image_split(folder, split)
    if wanted.features is not None and wanted.features != (PICTURE.name,):
        raise UserError(f"features: a row of pictures has one, '{PICTURE.name}', and {', '.join(wanted.features)} was asked for.")
    notes: list[str] = []
    kept = rows
    if wanted.target_type is not None:
        kept, notes = _labelled(rows, split, wanted, folder.parent.name)
    return Examples(
        ids=[row.id for row in kept],
        columns=(PICTURE,),
        features=pd.DataFrame({PICTURE.name: np.array([str(folder / row.image) for row in kept], dtype=object)}),
        target=np.array([row.label for row in kept], dtype=object) if wanted.target_type else None,
        target_name=LABEL if wanted.target_type else None,
        groups=[row.group for row in kept] if any(row.group for row in kept) else None,
        others=pd.DataFrame([{"caption": row.caption, "label": row.label, **row.meta} for row in kept]),
        notes=notes,
    )


def _labelled(rows: list[ImageRow], split: str, wanted: Wanted, name: str) -> tuple[list[ImageRow], list[str]]:
    """The pictures that have a label."""
    if wanted.target_type == "number" or wanted.target not in {None, LABEL}:
        raise UserError(
            f"pictures of {name} are predicted by their '{LABEL}' only. Leave 'target' out, and take a preset of classify/."
        )
    kept = [row for row in rows if row.label is not None]
    if not kept:
        raise UserError(
            f"no picture in {split} of {name} has a label. Say 'labels' in the recipe's source (a folder's name can be one), "
            "and build it again."
        )
    gone = len(rows) - len(kept)
    return kept, [f"{gone} of {len(rows)} pictures of {split} have no label and were left out"] if gone else []
