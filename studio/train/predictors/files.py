"""A person's file as a trained model takes it: columns by name and type, everything that does not fit named and counted.

Values are read as the recipe of the table says that was trained on (missing marks, decimal sign, forms of dates).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import DataError, UserError, nearest
from studio.data.frames import FRAMES, FrameOptions, read_frame
from studio.data.frames.column_types import Typed, typed_column
from studio.data.readers.packed import kind_of
from studio.models.pictures import open_picture
from studio.models.predictors.base import Filling
from studio.schema.columns import Column
from studio.schema.table_recipe import SaidColumn, ValueSettings

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
"""Suffixes of picture files."""
FILE = "file"
"""Column with the path of each picture, where pictures were given and no table."""
PIPE = "-"
_SHOWN = 5
_HELD = {"number": "numbers", "category": "categories", "text": "texts", "time": "times", "picture": "paths of pictures"}


@dataclass(frozen=True)
class Known:
    """What a trained model knows of its columns.

    columns: in order. fillings: what is known of each. target: the column that is predicted, None for groups. rules: as
    :func:`studio.train.predictors.describing.file_rules` gives them, with ``missing_columns`` and ``extra_columns``.
    """

    columns: Sequence[Column]
    fillings: Mapping[str, Filling]
    target: str | None = None
    rules: Mapping[str, Any] = field(default_factory=dict)

    @property
    def types(self) -> list[str]:
        """Type of each column."""
        return [column.type for column in self.columns]

    @property
    def told(self) -> str:
        """The columns for people."""
        return listed(f"{column.name} ({column.type})" for column in self.columns)


@dataclass
class Found:
    """Rows of a file.

    features: as :class:`studio.data.examples.Examples` has them. rows: as the file has them. notes: for people.
    """

    features: pd.DataFrame
    rows: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def read_source(known: Known, source: str) -> Found:
    """Rows of a table file, of csv on standard input (``-``), of a picture, or of a folder of pictures.

    Raises:
        DataError: the file cannot be read, or its columns are not those that are needed.
        UserError: it is of another kind than the model takes.
    """
    path = Path(source).expanduser()
    if source != PIPE and (path.is_dir() or path.suffix.lower() in PICTURES):
        if known.types != ["picture"]:
            raise UserError(f"{source}: this run does not look at pictures, but at {known.told}. Give a table with these.")
        return _of_pictures(known, path)
    rows, notes = _table(path, source)
    beside, name = (Path(), "standard input") if source == PIPE else (path.parent, source)
    found = features_of(known, rows, name, beside=beside)
    return Found(found.features, found.rows, [*notes, *found.notes])


def read_text(known: Known, text: str) -> Found:
    """One row of a text.

    Raises:
        UserError: the model looks at something else than one text.
    """
    if known.types != ["text"]:
        raise UserError(f"--text gives one text, and this run looks at {known.told}. Give a file with these columns.")
    return features_of(known, pd.DataFrame({known.columns[0].name: [text]}), "--text")


def features_of(known: Known, rows: pd.DataFrame, source: str, *, beside: Path = Path()) -> Found:
    """The columns that a model takes, from a table.

    Args:
        source: what messages call the table. beside: folder that relative paths of pictures start from.
    Raises:
        DataError: columns are missing or unknown and the model does not say to go on, or one holds something else.
    """
    notes: list[str] = []
    rows = rows.reset_index(drop=True)
    given = _by_name(known, rows)
    lacking = _check_columns(known, given, source, notes)
    settings = ValueSettings.model_validate(known.rules.get("values", {"missing": [""]}))
    flags: Mapping[str, str] = known.rules.get("flags", {})
    features: dict[str, Any] = {}
    for column in known.columns:
        if column.name in lacking:
            features[column.name] = _nothing(column, len(rows))
        elif column.name in given:
            typed = _typed(column, given[column.name], known, settings, source)
            features[column.name] = _values(column, typed, beside)
            notes += _told(column, typed)
    for column in known.columns:
        if column.name not in features:
            gone = pd.isna(pd.Series(features[flags[column.name]]))
            features[column.name] = np.where(gone, "yes", "no").astype(object)
        if column.type == "category":
            features[column.name] = _folded(column, features[column.name], known, notes)
    # Without its own type, pandas would make text of its own kind of objects, with NaN for None.
    ordered = {column.name: pd.Series(features[column.name], dtype=features[column.name].dtype) for column in known.columns}
    return _openable(known, Found(pd.DataFrame(ordered), rows, notes))


def listed(names: Iterable[str]) -> str:
    """Some of the names."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _table(path: Path, source: str) -> tuple[pd.DataFrame, list[str]]:
    """A table as it stands in its file, and the rows that could not be read."""
    if source == PIPE:
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "standard-input.csv"
            file.write_bytes(sys.stdin.buffer.read())
            try:
                frame = read_frame(file, FrameOptions())
            except DataError as error:
                raise DataError(str(error).replace(str(file), "standard input")) from None
    elif kind_of(path) not in FRAMES:
        raise UserError(
            f"{source} is no table that can be read. Give one of {', '.join(sorted(FRAMES))}, or '-' for csv from a pipe."
        )
    else:
        frame = read_frame(path, FrameOptions())
    bad = [f"row {one.number} was left out: {one.reason}" for one in frame.bad[:_SHOWN]]
    bad += [f"{len(frame.bad) - _SHOWN:,} more rows were left out"] if len(frame.bad) > _SHOWN else []
    if not len(frame.columns):
        raise DataError(f"{source} holds no row that can be read ({'; '.join(bad) or 'it is empty'}). Give at least one.")
    return frame.columns, [*frame.notes, *bad]


def _of_pictures(known: Known, path: Path) -> Found:
    """A picture, or all pictures of a folder and the folders in it."""
    files, notes = [path], []
    if path.is_dir():
        every = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        files = [file for file in every if file.suffix.lower() in PICTURES]
        others = [file.name for file in every if file.suffix.lower() not in PICTURES]
        if not files:
            raise DataError(f"{path} holds no picture. Known: {', '.join(PICTURES)}.")
        many = f"{len(others):,} files are no pictures and were" if len(others) > 1 else "1 file is no picture and was"
        notes += [f"{many} left out: {listed(others)}"] if others else []
    names = [str(file.relative_to(path)) if path.is_dir() else str(file) for file in files]
    features = pd.DataFrame({known.columns[0].name: np.array([str(file) for file in files], dtype=object)})
    return _openable(known, Found(features, pd.DataFrame({FILE: names}), notes))


def _by_name(known: Known, rows: pd.DataFrame) -> pd.DataFrame:
    """The table; where one picture is looked at, its path may stand under ``file``, as it does in what is written here."""
    if known.types == ["picture"] and known.columns[0].name not in rows and FILE in rows:
        return rows.rename(columns={FILE: known.columns[0].name})
    return rows


def _check_columns(known: Known, rows: pd.DataFrame, source: str, notes: list[str]) -> list[str]:
    """Columns that are missing and are to be filled; those missing or unknown are refused or named, as the preset says."""
    names = [column.name for column in known.columns]
    flags: Mapping[str, str] = known.rules.get("flags", {})
    # Whether a value is missing is seen from the column itself.
    wanted = [name for name in names if flags.get(name) not in names]
    lacking = [name for name in wanted if name not in rows]
    extra = [name for name in rows.columns if name not in names and name != known.target]
    fill = known.rules.get("missing_columns", "refuse") == "fill"
    if lacking and (not fill or len(lacking) == len(wanted)):
        remedy = "Add it" if len(lacking) == 1 else "Add them"
        remedy += ", or have missing columns filled: --set missing_columns=fill" if len(lacking) < len(wanted) else "."
        raise DataError(
            f"{source} lacks {listed(lacking)}, which this run predicts from.{nearest(lacking[0], extra)} "
            f"Its columns: {listed(rows.columns)}. {remedy}"
        )
    if extra and known.rules.get("extra_columns", "ignore") == "refuse":
        raise DataError(
            f"{source} has columns that this run does not know: {listed(extra)}.{nearest(extra[0], names)} "
            "Take them out, or have them ignored: --set extra_columns=ignore"
        )
    notes += [f"{listed(lacking)}: not in the file, and filled as missing values are"] if lacking else []
    notes += [f"columns that this run does not look at: {listed(extra)}"] if extra else []
    if known.target in rows:
        notes.append(f"{known.target}, which is predicted, stands in the file and was not looked at")
    return lacking


def _typed(column: Column, values: pd.Series, known: Known, settings: ValueSettings, source: str) -> Typed:
    """A column read as its type wants it."""
    kind = "category" if column.type == "picture" else column.type
    said = SaidColumn(name=column.name, type=kind, formats=known.rules.get("formats", {}).get(column.name, []))
    try:
        return typed_column(column.name, values, said, settings)
    except DataError:
        seen = [str(value)[:60] for value in values if value is not None and value == value]
        raise DataError(
            f"{source}: {column.name} held {_HELD[column.type]} in training, and most of its values here do not look like that: "
            f"{', '.join(map(repr, seen[:3]))}. Write them as in the table that was trained on."
        ) from None


def _values(column: Column, typed: Typed, beside: Path) -> Any:
    """Values as :class:`studio.data.examples.Examples` has them."""
    if column.type == "number":
        return typed.values.to_numpy(np.float64)
    if column.type == "time":
        return typed.values.to_numpy("datetime64[us]")
    texts = [None if value is None or value != value else str(value) for value in typed.values]
    if column.type == "picture":
        texts = [None if text is None else str(beside / text) for text in texts]
    return np.array(texts, dtype=object)


def _nothing(column: Column, count: int) -> Any:
    """A column without a value."""
    if column.type == "number":
        return np.full(count, np.nan)
    if column.type == "time":
        return np.full(count, np.datetime64("NaT"), dtype="datetime64[us]")
    return np.full(count, None, dtype=object)


def _told(column: Column, typed: Typed) -> list[str]:
    """What did not fit a column, and what its reader has to know."""
    notes = []
    for reason, places in typed.trouble.items():
        seen = list(dict.fromkeys(typed.seen[reason]))
        many = f"{len(places):,} values count" if len(places) > 1 else "1 value counts"
        notes.append(f"{column.name}: {many} as missing, for it {reason}: {', '.join(repr(text[:40]) for text in seen[:3])}")
    return [*notes, *typed.notes]


def _folded(column: Column, values: np.ndarray, known: Known, notes: list[str]) -> np.ndarray:
    """Categories, those that training never saw named; as the recipe called them where it folded such."""
    filling = known.fillings.get(column.name)
    if filling is None or not filling.values or filling.distinct > len(filling.values):
        return values
    there = np.array([value is not None for value in values], dtype=bool)
    unknown = there & ~np.isin(values.astype(str), filling.values)
    if not unknown.any():
        return values
    other = known.rules.get("folded", {}).get(column.name)
    fold = other in filling.values
    seen = [repr(text) for text in dict.fromkeys(values[unknown])]
    rows = f"{int(unknown.sum()):,} row{'s have' if unknown.sum() > 1 else ' has'}"
    taken = f"taken as {other!r}, as the recipe says" if fold else "of which this run knows nothing"
    notes.append(f"{column.name}: {rows} a category that no training row had ({listed(seen)}), {taken}")
    return np.where(unknown, other, values) if fold else values


def _openable(known: Known, found: Found) -> Found:
    """The rows whose pictures can be opened; each other one is named and left out."""
    bad: dict[int, str] = {}
    for column in known.columns:
        if column.type == "picture":
            for place, path in enumerate(found.features[column.name]):
                try:
                    open_picture(path if path is not None else "")
                except DataError as error:
                    bad[place] = str(error) if path is not None else f"{column.name} is empty."
    if not bad:
        return found
    if len(bad) == len(found.features):
        raise DataError(next(iter(bad.values())))
    kept = [place for place in range(len(found.features)) if place not in bad]
    gone = [f"row {place + 1} was left out: {reason}" for place, reason in bad.items()]
    features, rows = (part.iloc[kept].reset_index(drop=True) for part in (found.features, found.rows))
    return Found(features, rows, [*found.notes, *gone])
