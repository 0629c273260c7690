"""ARIMA of many series: `studio train` and `studio predict` beside the plain loop of statsmodels over the same numbers.

    python benchmarks/forecast.py [--series 200] [--length 200] [--processes 1] [--seasonal] [--write-docs]

Target: at most 1.15 times the loop's processor time (in several processes: wall time), and the same forecasts. Both sides fit one
given order, in the same number of processes with one thread each, and forecast 12 stamps with intervals of 80 and 95%. The
studio's side reads the Dataset, writes the Run with its model card and makes the table of the prediction; the build of the
Dataset is told apart. Sides run in turn, and what they import is imported before.
"""

from __future__ import annotations

import os

# Before anything loads BLAS: these matrices are so small that threads only slow them down, on either side.
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import docs

TARGET = 1.15
HORIZON = 12
LEVELS = (80, 95)


@dataclass(frozen=True)
class Cost:
    """Seconds of one side. result: what it gave."""

    wall: float
    processor: float
    result: Any


def measured(work: Callable[[], Any]) -> Cost:
    """Wall and processor time of some work, its processes included."""

    def used() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(one.ru_utime + one.ru_stime for one in both)

    began, before = time.perf_counter(), used()
    result = work()
    return Cost(time.perf_counter() - began, used() - before, result)


def made_series(count: int, length: int) -> dict[str, np.ndarray]:
    """Random walks with a season and noise, the same at every call."""
    draws = np.random.default_rng(0)
    places = np.arange(length)
    found = {}
    for number in range(count):
        walk = np.cumsum(draws.normal(0.2, 1, length))
        found[f"s{number:04d}"] = (
            100 + walk + draws.uniform(0, 5) * np.sin(2 * np.pi * places / 12) + draws.normal(0, 0.5, length)
        )
    return found


def plain_fit(values: np.ndarray, order: tuple[int, ...], seasonal: tuple[int, ...]) -> np.ndarray:
    """One series as statsmodels' documentation shows it: [horizon, 5] of the mean and both intervals."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ahead = SARIMAX(values, order=order, seasonal_order=seasonal).fit(disp=False).get_forecast(HORIZON)
        return np.column_stack([ahead.predicted_mean, *(ahead.conf_int(alpha=1 - level / 100) for level in LEVELS)])


def plain_loop(series: dict[str, np.ndarray], processes: int, order: tuple[int, ...], seasonal: tuple[int, ...]) -> np.ndarray:
    """Every series, one after the other or in processes."""
    work = partial(plain_fit, order=order, seasonal=seasonal)
    if processes == 1:
        return np.stack([work(values) for values in series.values()])
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("forkserver")) as pool:
        return np.stack(list(pool.map(work, series.values(), chunksize=8)))


def studio_road(workspace: Path, processes: int, settings: list[str]) -> pd.DataFrame:
    """Open, train, predict, as the command line does."""
    from studio.core.content import find_content
    from studio.core.workspace import Workspace
    from studio.train.forecast.kind import FORECAST
    from studio.train.opening import Asked

    asked = Asked(find_content("adapters", "forecast/arima"), "forecast/arima", "many", settings=settings, processes=processes)
    folder = FORECAST.open(asked, Workspace(workspace))
    FORECAST.train(folder, resume=False, processes=processes, accelerate_config=None, say=lambda _: None)
    return FORECAST.predict(folder, None, options={}, say=lambda _: None).table


def build(series: dict[str, np.ndarray], folder: Path) -> None:
    """The Dataset ``many`` of these series; one window is held out behind them."""
    from studio.core.workspace import Workspace
    from studio.data.series.build import build_series_dataset
    from studio.schema.loading import load_value
    from studio.schema.series_recipe import SeriesRecipe

    length = len(next(iter(series.values())))
    stamps = pd.date_range("2000-01-01", periods=length + HORIZON, freq="MS").strftime("%Y-%m-%d")
    behind = np.full(HORIZON, 100.0)
    wide = pd.DataFrame({"time": stamps} | {name: np.append(values, behind) for name, values in series.items()})
    wide.to_csv(folder / "many.csv", index=False)
    value = {
        "kind": "series",
        "sources": [{"type": "local", "path": str(folder / "many.csv"), "licence": "made here"}],
        "split": {"horizon": HORIZON, "windows": 1, "validation": 0},
    }
    build_series_dataset(load_value(value, SeriesRecipe), Workspace(folder / "space"), name="many", beside=folder)


def main() -> int:
    """Measure both sides in turn; print the table; 3 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--seasonal", action="store_true", help="(0,1,1)(0,1,1)[12] instead of (1,1,1)")
    docs.add_option(parser)
    options = parser.parse_args()
    order, seasonal = ((0, 1, 1), (0, 1, 1, 12)) if options.seasonal else ((1, 1, 1), (0, 0, 0, 0))
    series = made_series(options.series, options.length)
    settings = [f"estimator.order={list(order)}", f"estimator.seasonal_order={list(seasonal[:3])}", "estimator.transform=none"]
    plain, ours = [], []
    with tempfile.TemporaryDirectory() as place:
        built = measured(partial(build, series, Path(place)))
        road = partial(studio_road, Path(place) / "space", options.processes)
        plain_fit(next(iter(series.values())), order, seasonal)
        road(["estimator={type: naive}", "backtest.windows=1"])  # what is imported is imported for both
        for _ in range(options.repeats):
            plain.append(measured(partial(plain_loop, series, options.processes, order, seasonal)))
            ours.append(measured(partial(road, [*settings, "backtest.windows=0"])))
        rehearsed = measured(partial(road, [*settings, "backtest.windows=3"]))
    expected, table = plain[-1].result, ours[-1].result
    columns = ["forecast", *(f"{side}_{level}" for level in LEVELS for side in ("lower", "upper"))]
    apart = float(np.abs(table[columns].to_numpy().reshape(expected.shape) / expected - 1).max())
    clock = "processor" if options.processes == 1 else "wall"
    ratio = statistics.median(getattr(one, clock) for one in ours) / statistics.median(getattr(one, clock) for one in plain)
    told = _markdown(options, plain, ours, rehearsed, built, clock, ratio, apart)
    print(told)
    if options.write_docs:
        docs.write_section("forecast", told, packages=("statsmodels", "numpy", "pandas"))
    return 0 if ratio <= TARGET and apart < 1e-3 else 3


def _markdown(
    options: argparse.Namespace,
    plain: list[Cost],
    ours: list[Cost],
    rehearsed: Cost,
    built: Cost,
    clock: str,
    ratio: float,
    apart: float,
) -> str:
    """The table and what it rests on."""
    model = "(0,1,1)(0,1,1)[12]" if options.seasonal else "(1,1,1)"

    def line(name: str, some: list[Cost]) -> str:
        processor, wall = (statistics.median(getattr(one, what) for one in some) for what in ("processor", "wall"))
        # Processes that a server of processes starts are not this one's children, so that their time is not known.
        shown = (f"{processor:.1f}", f"{1000 * processor / options.series:.1f}") if options.processes == 1 else ("–", "–")
        return f"| {name} | {shown[0]} | {wall:.1f} | {shown[1]} |"

    several = "es" if options.processes > 1 else ""
    rows = [
        "| side | processor s | wall s | ms per series |",
        "|---|---:|---:|---:|",
        line("statsmodels in a loop: fit, forecast, two intervals", plain),
        line("`studio train` and `studio predict`, no back-test", ours),
        line("the same with a back-test of three windows (a second fit, three forecasts)", [rehearsed]),
        line("`studio data build` from csv, once", [built]),
    ]
    return "\n".join(
        [
            *rows,
            "",
            f"{options.series:,} series of {options.length} months, ARIMA{model}, {options.processes} process{several} of one "
            f"thread, medians of {options.repeats} repeats in turn. Ratio of {clock} time without a back-test: {ratio:.2f} "
            f"(target: at most {TARGET}). Forecasts and bounds differ by at most {apart:.1e} of their size.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
