"""Figures per model from the feedback file, for the command line, the monitor and the server's metrics. Standard library only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.feedback.store import FeedbackStore


@dataclass(frozen=True)
class ModelSummary:
    """What happened with one model.

    requests: all of them; failed: errors and refusals of the server; cut: answers that ended at the limit. seconds_median and
    seconds_95: time to the last token of answered requests, None without any. up, down: thumbs that stand.
    """

    model: str
    requests: int
    failed: int
    cut: int
    seconds_median: float | None
    seconds_95: float | None
    up: int
    down: int
    corrections: int
    votes_won: int
    votes_lost: int
    votes_tied: int


def summarize(store: FeedbackStore, *, since: float | None = None) -> list[ModelSummary]:
    """One summary per model, the busiest first.

    Args:
        since: seconds since 1970; only what happened from then on.
    """
    figures: dict[str, dict[str, Any]] = defaultdict(lambda: {**dict.fromkeys(_COUNTS, 0), "seconds": []})
    for row in store.rows("requests", since=since):
        entry = figures[row["model"]]
        entry["requests"] += 1
        entry["failed"] += row["status"] in {"error", "refused"}
        entry["cut"] += row["status"] == "cut"
        if row["status"] in {"ok", "cut"} and row["seconds"] is not None:
            entry["seconds"].append(row["seconds"])
    for row in store.current_ratings():
        if since is None or row["created"] >= since:
            figures[row["model"]]["up" if row["value"] > 0 else "down"] += 1
    for row in store.rows("corrections", since=since):
        figures[row["model"]]["corrections"] += 1
    for row in store.rows("votes", since=since):
        for model, side in ((row["model"], "a"), (row["model_b"], "b")):
            outcome = "tied" if row["winner"] in {"tie", "neither"} else "won" if row["winner"] == side else "lost"
            figures[model][f"votes_{outcome}"] += 1
    summaries = [_summary(model, entry) for model, entry in figures.items()]
    return sorted(summaries, key=lambda summary: (-summary.requests, summary.model))


_COUNTS = ("requests", "failed", "cut", "up", "down", "corrections", "votes_won", "votes_lost", "votes_tied")


def _summary(model: str, entry: dict[str, Any]) -> ModelSummary:
    """Counts and quantiles of one model."""
    seconds = sorted(entry.pop("seconds"))
    return ModelSummary(model=model, seconds_median=quantile(seconds, 0.5), seconds_95=quantile(seconds, 0.95), **entry)


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Quantile of sorted values by linear interpolation (numpy's default); None without values."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
