"""A trained forecaster: what it was told, the series as it knows them, and forecasts from any later end of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from studio.core.errors import UserError
from studio.models.forecast.base import METHODS
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.local import Learnt, Way, go_on, learn, learn_all, one_thread
from studio.models.forecast.panel import Panel, Series


@dataclass(frozen=True)
class ForecasterInfo:
    """What stands in ``forecaster.json`` besides the series.

    estimator: settings as plain values, ``type`` among them. levels: of intervals, in percent. columns: which column of a file
    holds what. factors: by level, by how much intervals are wider than the method says. backtest: what the rehearsal gave.
    network: shape and scales of a network, see :mod:`studio.models.forecast.network`.
    """

    estimator: dict[str, Any]
    frequency: str
    season_length: int
    horizon: int
    levels: tuple[int, ...]
    seed: int = 0
    columns: dict[str, Any] = field(default_factory=dict)
    form: str = "auto"
    time_format: str | None = None
    unit: str | None = None
    factors: dict[int, float] = field(default_factory=dict)
    backtest: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """Kind of estimator."""
        return str(self.estimator["type"])


class Forecaster(ABC):
    """Forecasts of every series it knows, and of others where the method can. notes: what came up while it was asked."""

    def __init__(self, info: ForecasterInfo, histories: Panel) -> None:
        """``histories``: the series up to the end of the training."""
        self.info, self.histories = info, histories
        self.notes: list[str] = []

    @property
    def longest(self) -> int | None:
        """Stamps ahead at most; None has no end."""
        return None

    def forecast(self, panel: Panel, horizon: int) -> list[Forecast]:
        """Continue every series of a panel from its end, with intervals as they were calibrated.

        Args:
            panel: each series from its first stamp to the origin; known covariates reach ``horizon`` further.
        Raises:
            UserError: the horizon is longer than what was learnt.
        """
        if self.longest is not None and horizon > self.longest:
            raise UserError(
                f"{horizon} stamps ahead are asked, and {self.info.type} was trained on {self.longest}. Ask for fewer, or train "
                f"with --set horizon={horizon}."
            )
        return [made.widened(self.info.factors) for made in self.raw(panel, horizon)]

    @abstractmethod
    def raw(self, panel: Panel, horizon: int) -> list[Forecast]:
        """Forecasts with intervals as the method gives them."""


class LocalForecaster(Forecaster):
    """A method that learnt each series by itself."""

    def __init__(self, info: ForecasterInfo, histories: Panel, learnt: dict[str, Learnt]) -> None:
        super().__init__(info, histories)
        self.learnt = learnt
        self.way = Way.of(info.estimator, info.season_length, info.frequency, info.seed)
        self._starts = {one.name: one.start for one in histories.series}
        self._met: dict[str, tuple[Any, Learnt]] = {}

    def raw(self, panel: Panel, horizon: int) -> list[Forecast]:
        """See :meth:`Forecaster.raw`; a series that was not in the training is fitted when it is first met."""
        with one_thread():
            return [self._of(one, panel, horizon) for one in panel.series]

    def _of(self, one: Series, panel: Panel, horizon: int) -> Forecast:
        """One series; what lies before its first stamp of the training is left out, as the fit does not know it."""
        start = self._starts.get(one.name)
        if start is not None and one.start <= start:
            place = panel.calendar.places(one.start, pd.DatetimeIndex([start]))[0]
            if place >= 0:
                return go_on(self.way, self.learnt[one.name], _from(one, start, int(place)), horizon, self.info.levels)
        if one.name not in self._met or self._met[one.name][0] != one.start:
            self._met[one.name] = one.start, learn(self.way, one)
            self.notes.append(f"the series {one.name} was not in the training and was fitted when it was asked for")
        return go_on(self.way, self._met[one.name][1], one, horizon, self.info.levels)


def _from(one: Series, start: pd.Timestamp, first: int) -> Series:
    """A series without its first stamps. start: the one it then begins with."""
    if not first:
        return one
    return replace(
        one,
        start=start,
        values=one.values[first:],
        seen=one.seen[first:],
        known=one.known[first:],
        past=one.past[first:],
    )


def baseline(kind: str, panel: Panel, season: int, levels: Sequence[int]) -> LocalForecaster:
    """A naive or seasonal naive forecaster that learns the spread of its errors from the series as they are given."""
    info = ForecasterInfo({"type": kind}, panel.calendar.frequency, season, 1, tuple(levels))
    way = Way.of(info.estimator, season, panel.calendar.frequency, 0)
    return LocalForecaster(info, panel, learn_all(way, panel.series))


def is_local(kind: str) -> bool:
    """True for estimators that learn each series by itself."""
    return kind in METHODS


def interval_text(low: float, high: float) -> str:
    """Bounds for people."""
    return f"{low:,.4g} to {high:,.4g}" if np.isfinite([low, high]).all() else "unbounded"
