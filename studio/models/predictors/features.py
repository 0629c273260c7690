"""From columns as people have them to plain ones that a pipeline takes: times as numbers, pictures as pixels.

What is done here depends on nothing that was learned, so that it is the same for every row and every split.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from studio.schema.columns import Column

PICTURE_SIDE = 32
"""Side in pixels to which pictures are scaled for estimators that take numbers."""
_DAY = 86_400_000_000_000
MISSING = "(missing)"
"""What stands for a missing category, which is a value of its own."""


def plain_features(features: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Numbers float64 (NaN: missing), categories and texts as str, in an order that the columns alone decide.

    Shapes: [n, columns] in, [n, plain columns] out; a time gives :func:`time_names`, a picture :func:`pixel_names`.
    """
    plain: dict[str, object] = {}
    for column in columns:
        values = features[column.name]
        if column.type == "time":
            plain |= _time_features(column.name, values)
        elif column.type == "picture":
            plain |= dict(zip(pixel_names(column.name), _pixels(values.tolist()).T, strict=True))
        elif column.type == "number":
            plain[column.name] = values.to_numpy(np.float64)
        else:
            missing = MISSING if column.type == "category" else ""
            plain[column.name] = np.array(
                [missing if value is None or value != value else str(value) for value in values], dtype=object
            )
    return pd.DataFrame(plain)


def time_names(name: str) -> list[str]:
    """Plain columns of a time: days since 1970, and what comes round."""
    return [f"{name}: {part}" for part in ("days", "year", "month", "weekday", "hour")]


def pixel_names(name: str) -> list[str]:
    """Plain columns of a picture: its pixels, rows from the top, each red, green, blue, from 0 to 1."""
    return [f"{name}: {place}" for place in range(PICTURE_SIDE * PICTURE_SIDE * 3)]


def plain_groups(columns: Sequence[Column]) -> dict[str, list[str]]:
    """Plain columns by what they are: ``number``, ``category``, ``text``."""
    groups: dict[str, list[str]] = {"number": [], "category": [], "text": []}
    for column in columns:
        if column.type == "time":
            groups["number"] += time_names(column.name)
        elif column.type == "picture":
            groups["number"] += pixel_names(column.name)
        else:
            groups[column.type].append(column.name)
    return groups


def _time_features(name: str, values: pd.Series) -> dict[str, np.ndarray]:
    """See :func:`time_names`; all NaN where the time is missing."""
    moments = pd.to_datetime(values)
    gone = moments.isna().to_numpy()
    days = moments.to_numpy("datetime64[ns]").astype(np.int64) / _DAY
    parts = [days, moments.dt.year, moments.dt.month, moments.dt.weekday, moments.dt.hour]
    return {
        plain: np.where(gone, np.nan, np.asarray(part, dtype=np.float64))
        for plain, part in zip(time_names(name), parts, strict=True)
    }


def _pixels(paths: Sequence[str]) -> np.ndarray:
    """Pictures as float32 [n, side * side * 3] from 0 to 1; NaN where there is none."""
    from studio.models.pictures import open_picture

    found = np.full((len(paths), PICTURE_SIDE * PICTURE_SIDE * 3), np.nan, dtype=np.float32)
    for row, path in enumerate(paths):
        if path is not None:
            picture = open_picture(path).resize((PICTURE_SIDE, PICTURE_SIDE))
            found[row] = np.asarray(picture, dtype=np.float32).reshape(-1) / 255
    return found
