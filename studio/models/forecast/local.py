"""Methods that learn each series by itself, applied to many: logarithms around them, several processes, JSON between."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from studio.core.children import prepare_child
from studio.core.errors import UserError
from studio.models.forecast.base import METHODS, Method, whiteness
from studio.models.forecast.forecasts import Forecast
from studio.models.forecast.panel import Series

T = TypeVar("T")
R = TypeVar("R")
# Series that one process is given at a time.
_CHUNK = 8


@dataclass(frozen=True)
class Way:
    """A method with its settings. transform: ``none``, ``log`` or ``auto``. settings: those of the method alone."""

    type: str
    season: int
    frequency: str
    seed: int
    transform: str = "none"
    settings: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(estimator: dict[str, Any], season: int, frequency: str, seed: int) -> Way:
        """From an estimator's settings as plain values."""
        rest = {name: value for name, value in estimator.items() if name not in {"type", "transform"}}
        return Way(str(estimator["type"]), season, frequency, seed, str(estimator.get("transform", "none")), rest)

    @property
    def method(self) -> Method:
        """The method itself."""
        grid = {"season": self.season, "frequency": self.frequency}
        found: Method = METHODS.get(self.type)(**grid, seed=self.seed, **self.settings)
        return found


@dataclass(frozen=True)
class Learnt:
    """What is kept of one series, as JSON holds it. state: of the method; logged: it was fitted on logarithms. whiteness: of the
    one-step errors inside the training, see :func:`studio.models.forecast.base.whiteness`; None where there are none.
    """

    state: dict[str, Any]
    logged: bool
    notes: list[str]
    whiteness: dict[str, Any] | None


def learn(way: Way, series: Series) -> Learnt:
    """Fit one series.

    Raises:
        UserError: it cannot be learnt this way; the series is named.
    """
    logged = _takes_logarithm(way, series)
    seen = replace(series, values=np.log(series.values)) if logged else series
    try:
        fit = way.method.fit(seen)
    except ValueError as error:
        raise UserError(f"the series {series.name} cannot be learnt with {way.type}: {error}. Take another preset.") from error
    told = None if fit.residuals is None else whiteness(fit.residuals, way.season)
    return Learnt(fit.state, logged, fit.notes, told)


def go_on(way: Way, learnt: Learnt, series: Series, horizon: int, levels: Sequence[int]) -> Forecast:
    """Continue one series, which may have grown since it was learnt.

    Raises:
        UserError: it was learnt on logarithms and now has a value that has none, or it cannot be continued any more.
    """
    logs = learnt.logged
    if logs and bool((series.values <= 0).any()):
        lowest = float(np.nanmin(series.values))
        raise UserError(
            f"the series {series.name} was learnt on logarithms and now holds {lowest:g}, which has none. Train again with "
            "--set estimator.transform=none."
        )
    seen = replace(series, values=np.log(series.values)) if logs else series
    try:
        made = way.method.forecast(learnt.state, seen, horizon, levels)
    except ValueError as error:
        raise UserError(
            f"the series {series.name} cannot be continued with {way.type}: {error}. Train another preset."
        ) from error
    return made.mapped(_exponential) if logs else made


def _exponential(values: Any) -> Any:
    """Back from logarithms, without an overflow."""
    return np.exp(np.minimum(values, 700.0))


def _takes_logarithm(way: Way, series: Series) -> bool:
    """Whether a series is fitted on logarithms.

    Raises:
        UserError: that is asked for and impossible.
    """
    above = not bool((series.values <= 0).any())
    if way.transform == "log" and not above:
        lowest = float(np.nanmin(series.values))
        raise UserError(
            f"the series {series.name} holds {lowest:g}, which has no logarithm. Take estimator.transform: none, or auto, which "
            "takes logarithms only where they exist."
        )
    return way.transform != "none" and above and not series.constant


def each(work: Callable[[T], R], items: Sequence[T], processes: int, advance: Callable[[int], None] | None = None) -> list[R]:
    """The work on every item, in order, in so many processes."""
    found = []
    for result in _in_processes(work, items, processes):
        found.append(result)
        if advance is not None:
            advance(1)
    return found


def _in_processes(work: Callable[[T], R], items: Sequence[T], processes: int) -> Iterator[R]:
    """Results as they come, in order."""
    if min(processes, len(items)) < 2:
        with one_thread():
            yield from map(work, items)
        return
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_prepare)
    try:
        yield from pool.map(work, items, chunksize=max(1, min(_CHUNK, len(items) // (8 * processes))))
    finally:
        # Of a training that was stopped the series that nobody has begun are not fitted any more.
        pool.shutdown(cancel_futures=True)


def one_thread() -> Any:
    """BLAS with one thread inside the block: these matrices are so small that threads take ten times as long as none.

    It reaches the libraries that are loaded, so those of statsmodels are loaded before.
    """
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _prepare() -> None:
    """One thread each, see also :func:`studio.core.children.prepare_child`."""
    prepare_child()
    one_thread()


def learn_all(
    way: Way, series: Sequence[Series], processes: int = 1, advance: Callable[[int], None] | None = None
) -> dict[str, Learnt]:
    """Fit every series; see :func:`learn`."""
    assert way.method  # loaded here already, so that its libraries are there when they are told to take one thread
    found = each(partial(learn, way), series, processes, advance)
    return {one.name: learnt for one, learnt in zip(series, found, strict=True)}
