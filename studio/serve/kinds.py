"""Which kinds of Runs are served. Imports nothing heavy: pages and names ask it."""

from __future__ import annotations

from studio.core.errors import UserError
from studio.core.records import RunRecord

SERVED = ("chat", "embedding", "reranker")
"""Kinds of Runs that are served."""


def check_kind(record: RunRecord, run: str) -> None:
    """Refuse Runs that vLLM cannot serve.

    Args:
        run: how the run is named to people.
    Raises:
        UserError: it is of another kind.
    """
    if record.kind not in SERVED:
        raise UserError(
            f"the run {run} is of kind {record.kind!r}, and runs of kind {', '.join(map(repr, SERVED))} are served. "
            "'studio runs list' shows the kind of each."
        )
