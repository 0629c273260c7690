"""Series of which it is printed what comes out of them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.datasets
from numpy.typing import NDArray

from studio.core.errors import StudioError
from studio.core.fetch import fetch_wheel
from studio.models.forecast.calendar import Calendar
from studio.models.forecast.panel import Panel, Series

MONTHS = Calendar("MS", 12)


def airline() -> Series:
    """AirPassengers, 144 months (Box and Jenkins 1976)."""
    try:
        wheel = fetch_wheel("sktime", "1.2.0")
    except StudioError as error:
        pytest.skip(f"the wheel is not in the cache and the network is off; run make test once with it on ({error})")
    with zipfile.ZipFile(wheel) as archive:
        table = pd.read_csv(io.BytesIO(archive.read("sktime/datasets/data/Airline/Airline.csv")))
    return Series.of("airline", pd.Timestamp("1949-01-01"), table["Passengers"].to_numpy(dtype=np.float64))


def sunspots() -> NDArray[np.float64]:
    """Yearly sunspots, 1700 to 2008."""
    found = statsmodels.datasets.sunspots.load_pandas().data["SUNACTIVITY"]
    return found.to_numpy(dtype=np.float64)


def shocked(panel: Panel, place: int, times: float = 50) -> Panel:
    """The same up to a place, and a multiple of it from there on."""
    return replace(
        panel,
        series=[replace(one, values=np.append(one.values[:place], one.values[place:] * times)) for one in panel.series],
    )


def seasonal(count: int = 3, length: int = 84, seed: int = 0) -> Panel:
    """Made series above 0 with a trend, a season and noise."""
    draws = np.random.default_rng(seed)
    places = np.arange(length)
    series = []
    for number in range(count):
        level = 100 * (number + 1) + draws.uniform(0.5, 2) * places
        values = level + 15 * np.sin(2 * np.pi * places / 12) + draws.normal(0, 3, length)
        series.append(Series.of(f"s{number}", pd.Timestamp("2015-01-01"), values))
    return Panel(MONTHS, series)
