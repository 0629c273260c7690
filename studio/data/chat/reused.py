"""Rows of another Dataset as a source: its training split, whatever it was built from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.core.errors import UserError
from studio.core.workspace import Workspace, read_dataset
from studio.data.chat.rows import read_split
from studio.data.chat.writing.lines import as_line
from studio.data.sources import KnownRows, ResolvedSource
from studio.schema.mixing import DatasetSource


def resolve_dataset(source: DatasetSource, index: int, workspace: Workspace) -> ResolvedSource:
    """Read the training rows of a Dataset; their bytes are part of what is built.

    Raises:
        UserError: there is no such Dataset, it holds no conversations or texts, or nobody states its licence.
    """
    folder = workspace.find_dataset(source.dataset)
    rows, record = read_split(folder, "train"), read_dataset(folder)
    stated = list(dict.fromkeys(one.licence for one in record.sources if one.licence))
    licence = source.licence or ", ".join(stated)
    if not licence:
        raise UserError(f"the Dataset {record.name} states no licence. Say it at sources.{index}: licence: ...")
    named = [str(said) for one in record.sources if (said := (one.model_extra or {}).get("attribution"))]
    # Repetitions of a mixture are no rows of their own.
    own = [replace(row, source="") for row in rows if "/again-" not in row.id]
    name = source.name or record.name
    location = f"dataset {record.name}/{record.fingerprint} (train)"
    return ResolvedSource(
        name=name,
        kind=source.type,
        location=location,
        revision=record.fingerprint,
        licence=licence,
        attribution=source.attribution or "; ".join(dict.fromkeys(named)) or None,
        identity=record.files["train.parquet"],
        files=(),
        known=KnownRows(name, tuple(map(as_line, own))),
    )


def split_lines(folder: Path, split: str) -> list[dict[str, Any]]:
    """Rows of a split as lines that the readers of files take, each once; none where the Dataset has no such split."""
    if not (folder / f"{split}.parquet").is_file():
        return []
    rows = [row for row in read_split(folder, split) if "/again-" not in row.id]
    return [{"messages": row.messages, **({"tools": row.tools} if row.tools else {})} for row in rows]
