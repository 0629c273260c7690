"""Sources of tables: resolved to bytes, then read as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from studio.core.errors import DataError, StudioError, UserError, nearest
from studio.core.files import sha256_json
from studio.data.catalogues.kaggle import resolve_kaggle
from studio.data.catalogues.openml import resolve_openml
from studio.data.frames import BadRow, Frame, FrameOptions, endings_of, read_frame
from studio.data.frames.base import plain_columns, whole_frame
from studio.data.frames.packages import package_table, package_version
from studio.data.frames.queries import query_duckdb, query_sqlite
from studio.data.memo import HashMemo
from studio.data.remote import resolve_url
from studio.data.sources import (
    DataFile,
    ResolvedSource,
    files_left_out,
    resolve_hub_source,
    resolve_local,
    resolve_query,
    resolve_wheel,
    resolved,
)
from studio.schema.table_recipe import (
    DuckdbTable,
    HubTableSource,
    KaggleTable,
    LocalTable,
    OpenmlTable,
    PackageTable,
    SqliteTable,
    TableFileOptions,
    TableSource,
    UrlTable,
    WheelTable,
)


@dataclass
class SourceTable:
    """The table of a source. ids: one per row, unique in the source. bad: id, reason and text of rows that are none."""

    columns: pd.DataFrame
    ids: list[str]
    bad: list[tuple[str, BadRow]]
    notes: list[str]

    @property
    def rows(self) -> int:
        """Rows found, bad ones included."""
        return len(self.ids) + len(self.bad)


def resolve_table(source: TableSource, index: int, beside: Path, memo: HashMemo) -> ResolvedSource:
    """Know the bytes of a source.

    Raises:
        UserError, DataError, StudioError: it is not there or cannot be reached.
    """
    if isinstance(source, HubTableSource):
        return resolve_hub_source(source, source, index, memo)
    if isinstance(source, PackageTable):
        version = package_version(source.package)
        location = f"{source.package} {version}: {source.data}"
        return resolved(source, index, source.data, location, sha256_json(location), revision=version)
    if isinstance(source, WheelTable):
        location, identity, files = resolve_wheel(source.package, source.version, source.files, source.sha256, memo)
        return resolved(source, index, source.package, location, identity, revision=source.version, files=files)
    if isinstance(source, SqliteTable | DuckdbTable):
        return resolve_query(source, source, index, beside, memo)
    if isinstance(source, OpenmlTable):
        return resolve_openml(source, index, endings_of(source.format))
    if isinstance(source, KaggleTable):
        return resolve_kaggle(source, index, endings_of(source.format))
    if isinstance(source, UrlTable):
        return resolve_url(source, source, index, endings_of(source.format))
    endings = endings_of(source.format)
    location, identity, files = resolve_local(source.path, source.pattern, beside, memo, endings, links=source.links)
    return resolved(source, index, Path(location).stem, location, identity, files=files)


def read_table(settings: TableSource, source: ResolvedSource) -> SourceTable:
    """All rows of a source.

    Raises:
        UserError, DataError: a file, a row or the query cannot be used, and the recipe does not say to go on.
    """
    parts = [(label, frame) for label, frame in _frames(settings, source)]
    several = len(parts) > 1
    notes = [f"{source.name}: {note}" for note in source.notes]
    notes += [f"{label if source.files else source.name}: {note}" for label, frame in parts for note in frame.notes]
    if isinstance(settings, LocalTable):
        left = files_left_out(source.location, settings.pattern, endings_of(settings.format))
        notes += [left] if left else []
    if isinstance(settings, TableFileOptions) and settings.damaged == "refuse":
        _refuse_bad(parts, source)
    prefix = {label: f"{source.name}/{label}/" if several else f"{source.name}/" for label, _ in parts}
    columns = [_renamed(frame.columns, settings, source.name) for _, frame in parts]
    notes += _lacking([(label, part) for (label, _), part in zip(parts, columns, strict=True)])
    table = plain_columns(pd.concat(columns, ignore_index=True)) if several else columns[0]
    ids = [f"{prefix[label]}{number}" for label, frame in parts for number in frame.numbers.tolist()]
    bad = [(f"{prefix[label]}{one.number}", one) for label, frame in parts for one in frame.bad]
    if settings.limit is not None:
        table, ids = table.iloc[: settings.limit], ids[: settings.limit]
    return SourceTable(table, ids, bad, notes)


def _frames(settings: TableSource, source: ResolvedSource) -> list[tuple[str, Frame]]:
    """The tables of a source by the names of their files."""
    if isinstance(settings, PackageTable):
        return [(settings.data, package_table(settings.package, settings.data))]
    if isinstance(settings, SqliteTable):
        return [("query", query_sqlite(source.files[0].path, settings.query))]
    if isinstance(settings, DuckdbTable):
        return [("query", query_duckdb(Path(source.location), settings.query))]
    if isinstance(settings, HubTableSource):
        return [("rows", _of_hub(settings, source))]
    options = FrameOptions(
        encoding=settings.encoding,
        delimiter=settings.delimiter,
        header=tuple(settings.header) if settings.header else None,
        sheet=settings.sheet,
        records=settings.records,
        format=settings.format,
        year=settings.year,
    )
    return [(file.label, _of_file(file, options)) for file in source.files]


def _of_file(file: DataFile, options: FrameOptions) -> Frame:
    """One file."""
    return read_frame(file.path, options)


def _of_hub(settings: HubTableSource, source: ResolvedSource) -> Frame:
    """A split of a dataset on the Hub; streamed up to the limit where the recipe says so."""
    if source.table is None:
        raise StudioError(f"the source {source.name} was not resolved. Build the dataset again.")
    loaded = source.table.load()
    with source.table.errors():
        rows = pd.DataFrame(list(islice(loaded, settings.limit)), dtype=object) if settings.streaming else loaded.to_pandas()
    return whole_frame(plain_columns(rows))


def _renamed(columns: pd.DataFrame, settings: TableSource, name: str) -> pd.DataFrame:
    """Columns under the names that the recipe gives them."""
    for old, new in settings.rename.items():
        if old not in columns.columns:
            known = ", ".join(columns.columns)
            raise UserError(f"rename: {name} has no column {old!r}.{nearest(old, columns.columns)} Columns: {known}.")
        if new in columns.columns:
            raise UserError(f"rename: {name} has a column {new!r} already. Give {old!r} another name.")
    return columns.rename(columns=settings.rename)


def _refuse_bad(parts: list[tuple[str, Frame]], source: ResolvedSource) -> None:
    """Stop at damaged rows."""
    bad = [(label, one) for label, frame in parts for one in frame.bad]
    if not bad:
        return
    label, first = bad[0]
    path = next((str(file.path) for file in source.files if file.label == label), label)
    more = f" {len(bad):,} rows are damaged." if len(bad) > 1 else ""
    raise DataError(
        f"{path}: row {first.number:,} {first.reason}.{more} Mend the file, or keep its good rows with 'damaged: keep' in the "
        "recipe's source; bad rows are then listed among the removed."
    )


def joined(tables: list[SourceTable], names: list[str]) -> tuple[pd.DataFrame, np.ndarray, list[str], list[str]]:
    """One table of several sources, the source of each row (object [n]), ids, and notes about columns that a source lacks.

    Args:
        names: of the sources, in the order of ``tables``.
    """
    notes = _lacking([(name, table.columns) for name, table in zip(names, tables, strict=True)])
    together = [table.columns for table in tables]
    frame = plain_columns(pd.concat(together, ignore_index=True)) if len(tables) > 1 else together[0]
    source = np.repeat(np.array(names, dtype=object), [len(table.ids) for table in tables])
    return frame, source, [identity for table in tables for identity in table.ids], notes


def _lacking(parts: list[tuple[str, pd.DataFrame]]) -> list[str]:
    """Notes on columns that one of several tables lacks; its rows have no value there."""
    everything = list(dict.fromkeys(column for _, columns in parts for column in columns.columns))
    notes = []
    for name, columns in parts:
        gone = [column for column in everything if column not in columns.columns]
        if gone:
            notes.append(f"{name} has no column {', '.join(gone)}: missing in its {len(columns):,} rows")
    return notes
