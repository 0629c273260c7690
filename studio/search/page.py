"""The page of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studio.search.journal import Trial
from studio.search.record import SearchRecord


def write_page(place: Path, record: SearchRecord, trials: Sequence[Trial]) -> None:
    """To come."""
