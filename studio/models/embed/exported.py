"""An embedding model or a reranker in a form that another program reads, asked as the run is.

Legend: n texts or pairs, e numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studio.core.errors import UserError
from studio.models.embed.programs.texts import Reader
from studio.models.exported import ExportRecord, read_export
from studio.models.runtimes.sessions import Session, open_session

READER = "pairs"
"""The ``reader`` of a record's ``reading``."""
_AT_ONCE = 32


class ExportedEncoder:
    """What reads texts, and what computes with them, as both stand in the export."""

    def __init__(self, record: ExportRecord, reader: Any, session: Session) -> None:
        """``reader``: takes texts or pairs and gives arrays by input name, which ``session`` takes."""
        self.record, self.reader, self.session = record, reader, session
        self.prompts: dict[str, str] = record.extra["reading"]["prompts"]

    def vectors(self, texts: Sequence[str], role: str) -> Tensor:
        """As :func:`studio.models.embed.opening.vectors`: float32 [n, e]."""
        return self._asked([self.prompts.get(role, "") + text for text in texts], "vectors")

    def fits(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        """As :func:`studio.models.embed.opening.fits`: float32 [n]."""
        return self._asked([list(pair) for pair in pairs], "scores")

    def _asked(self, items: Sequence[Any], output: str) -> Tensor:
        """What the file says in batches."""
        parts = [self.session(self.reader(items[at : at + _AT_ONCE]))[output] for at in range(0, len(items), _AT_ONCE)]
        empty = self.record.outputs[output]["shape"][1:]
        return torch.from_numpy(np.concatenate(parts) if parts else np.zeros((0, *empty), np.float32)).float()


def open_exported(folder: Path, record: ExportRecord | None = None) -> ExportedEncoder:
    """The encoder of a folder that ``studio export`` wrote.

    Args:
        record: of a folder that is not finished yet.
    Raises:
        UserError: it is another export, a file is another one, or its runtime is not installed.
    """
    record = record or read_export(folder)
    reading = record.extra.get("reading") or {}
    if reading.get("reader") != READER:
        raise UserError(f"{folder} is an export of a run of kind {record.kind!r} to {record.form}, which embeds no texts.")
    return ExportedEncoder(record, Reader(folder, reading), open_session(folder, record))
