"""Figures of the models in use over a stretch of time, from the feedback file: the monitor's, without Gradio or pandas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from studio.core.translation import later, t
from studio.feedback.drift import Finding, compare_windows
from studio.feedback.store import FeedbackStore
from studio.feedback.summary import ModelSummary, quantile, summarize
from studio.pages.curves import curves

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
# The newest part of a period is compared with four times as much before it.
REFERENCE = 4
# So many lines can be told apart by their colours.
_MOST_LINES = 5
_WIDTH = 460

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Period:
    """A stretch of time that ends now. length, width of one point, and the unit of the axis, in seconds."""

    title: str
    length: float
    width: float
    unit: float
    axis: str


PERIODS = {
    "hour": Period(later("last hour"), _HOUR, 2 * _MINUTE, _MINUTE, later("minutes before now")),
    "day": Period(later("last day"), _DAY, _HOUR, _HOUR, later("hours before now")),
    "week": Period(later("last week"), 7 * _DAY, 6 * _HOUR, _DAY, later("days before now")),
    "month": Period(later("last 4 weeks"), 28 * _DAY, _DAY, _DAY, later("days before now")),
}


@dataclass(frozen=True)
class Figures:
    """What a page shows. plots: title to picture."""

    models: tuple[str, ...]
    summaries: tuple[ModelSummary, ...]
    plots: Mapping[str, Markup]

    @property
    def requests(self) -> int:
        """Of all models shown."""
        return sum(one.requests for one in self.summaries)

    def share(self, name: str) -> float | None:
        """Share of requests that are ``failed`` or ``cut``; None without any."""
        return sum(getattr(one, name) for one in self.summaries) / self.requests if self.requests else None

    @property
    def thumbs(self) -> tuple[int, int]:
        """Up and down."""
        return sum(one.up for one in self.summaries), sum(one.down for one in self.summaries)

    @property
    def slowest(self) -> float | None:
        """The slowest model's 95th percentile, in seconds."""
        return max((one.seconds_95 for one in self.summaries if one.seconds_95 is not None), default=None)


def figures_of(store: FeedbackStore, period: Period, model: str | None, now: float) -> Figures:
    """Everything of a period.

    Args:
        model: only this one; None takes all.
        now: end of the period, seconds since 1970.
    """
    start = now - period.length
    every = store.rows("requests", since=start)
    every_rating = store.current_ratings()
    names = sorted({str(row["model"]) for row in [*every, *every_rating]})
    chosen = [model] if model in names else names
    requests = [row for row in every if row["model"] in chosen]
    ratings = [row for row in every_rating if row["model"] in chosen and row["created"] >= start]
    summaries = [one for one in summarize(store, since=start) if one.model in chosen]
    busiest = [one.model for one in summaries][:_MOST_LINES]
    return Figures(tuple(names), tuple(summaries), _plots(requests, ratings, busiest, period, now))


def drift_of(store: FeedbackStore, period: Period, model: str | None, now: float) -> list[tuple[str, Finding]]:
    """Signals of each model in a period, held against those before it; what has changed comes first.

    The first time in a process this loads SciPy, which takes seconds.
    """
    requests, ratings = store.rows("requests", since=now - (REFERENCE + 1) * period.length), store.current_ratings()
    names = sorted({str(row["model"]) for row in [*requests, *ratings]})
    days = period.length / _DAY
    found = [
        (name, finding)
        for name in ([model] if model in names else names)
        for finding in compare_windows(requests, ratings, name, days=days, reference_days=REFERENCE * days, now=now)
    ]
    return sorted(found, key=lambda pair: not pair[1].alarm)


def _plots(
    requests: Sequence[Row], ratings: Sequence[Row], models: Sequence[str], period: Period, now: float
) -> dict[str, Markup]:
    """The curves; one without points is left out."""
    bins = _Bins(period, now)
    answered = [row for row in requests if row["status"] in {"ok", "cut"}]
    thumbs = {t("up"): [row for row in ratings if row["value"] > 0], t("down"): [row for row in ratings if row["value"] < 0]}
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {
        t("Requests"): {name: bins.counts(_of(requests, name)) for name in models},
        t("Seconds to the last token, 95th percentile"): {
            name: bins.values(_of(answered, name), "seconds", lambda found: quantile(found, 0.95)) for name in models
        },
        t("Thumbs"): {name: bins.counts(rows) for name, rows in thumbs.items()} if ratings else {},
        t("Length of answers, median characters"): {
            name: bins.values(_of(answered, name), "characters", lambda found: quantile(found, 0.5)) for name in models
        },
    }
    drawn = {
        title: curves(each, told=title, bottom=t(period.axis), width=_WIDTH)
        for title, each in lines.items()
        if any(each.values())
    }
    return {title: picture for title, picture in drawn.items() if picture}


def _of(rows: Sequence[Row], model: str) -> list[Row]:
    """Rows of one model."""
    return [row for row in rows if row["model"] == model]


class _Bins:
    """Equal stretches of time, the newest ending now; points stand at their end, in units before now."""

    def __init__(self, period: Period, now: float) -> None:
        self._period, self._now = period, now
        self._count = max(1, round(period.length / period.width))

    def counts(self, rows: Sequence[Row]) -> list[tuple[float, float]]:
        """Rows in each stretch, empty ones too."""
        found = [0] * self._count
        for row in rows:
            found[self._place(row)] += 1
        return [(self._at(number), float(count)) for number, count in enumerate(found)]

    def values(
        self, rows: Sequence[Row], column: str, measure: Callable[[list[float]], float | None]
    ) -> list[tuple[float, float]]:
        """A measure of a column in each stretch; stretches without rows are left out."""
        found: dict[int, list[float]] = {}
        for row in rows:
            if row[column] is not None:
                found.setdefault(self._place(row), []).append(float(row[column]))
        points = [(self._at(number), measure(sorted(values))) for number, values in sorted(found.items())]
        return [(x, y) for x, y in points if y is not None]

    def _place(self, row: Row) -> int:
        """The stretch of a row."""
        back = int((self._now - row["created"]) // self._period.width)
        return min(self._count - 1, max(0, self._count - 1 - back))

    def _at(self, number: int) -> float:
        """Where a stretch stands on the axis."""
        return -(self._count - 1 - number) * self._period.width / self._period.unit
