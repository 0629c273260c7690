"""The page of a comparison."""

from __future__ import annotations

from pathlib import Path

from studio.search.comparison import ComparisonRecord


def write_page(place: Path, record: ComparisonRecord) -> None:
    """To come."""
