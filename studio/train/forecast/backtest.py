"""The rehearsal: the last windows before the test split, each forecast from what was known before and held against what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from studio.models.forecast.errors import scale_of
from studio.models.forecast.forecaster import Forecaster, baseline
from studio.models.forecast.forecasts import FEWEST_CELLS, Window, conformal_factors, roll, share_held
from studio.models.forecast.panel import Panel
from studio.train.forecast.job import FEWEST_BEFORE, Job, Learn


def windows_of(job: Job) -> int:
    """How many windows there is room for; told where that is fewer than are asked for."""
    asked = job.preset.backtest.windows
    least = max(2 * job.info.season_length if job.info.season_length > 1 else 0, FEWEST_BEFORE)
    room = max(0, (job.shortest - least) // job.horizon)
    if room < asked:
        job.say(
            f"back-test: {room} of {asked} windows, because the shortest series has {job.shortest} stamps before its test split, "
            f"and {least} are left to learn from"
        )
    return min(asked, room)


def rehearse(job: Job, learn: Learn, windows: int) -> list[Window]:
    """Forecasts of the last windows; each learnt from what lies before the first window, or anew before each."""
    if not windows:
        return []
    reach = windows * job.horizon
    if not job.preset.backtest.refit:
        forecaster = learn(job.panel.cut([len(one) - reach for one in job.panel.series]))
        return roll(forecaster.forecast, job.panel, job.horizon, windows)
    found: list[Window] = []
    for number in range(windows):
        left = reach - number * job.horizon
        forecaster = learn(job.panel.cut([len(one) - left for one in job.panel.series]))
        part = job.panel.cut([len(one) - left + job.horizon for one in job.panel.series])
        found += [replace(window, number=number + 1) for window in roll(forecaster.forecast, part, job.horizon, 1)]
    return found


def calibrated(forecaster: Forecaster, job: Job, windows: Sequence[Window]) -> list[Window]:
    """Give the forecaster the factors of its intervals, where they are asked for; gives back the windows as they would have been
    with the factors of the others, so that no window is measured with what it taught.
    """
    if job.preset.intervals.method != "conformal" or not windows:
        return list(windows)
    factors = conformal_factors(windows, job.info.levels)
    missing = [level for level in job.info.levels if level not in factors]
    if missing:
        job.say(
            f"intervals of {', '.join(f'{level}%' for level in missing)} stay as wide as {job.info.type} makes them: the "
            f"back-test has too few values to widen them by ({FEWEST_CELLS} are needed, more for high levels)"
        )
    forecaster.info = replace(forecaster.info, factors=factors)
    numbers = {window.number for window in windows}
    if len(numbers) < 2:
        job.say("conformal intervals come from one window, so their coverage could not be measured on another")
        return list(windows)
    widened = []
    for number in sorted(numbers):
        others = conformal_factors([window for window in windows if window.number != number], job.info.levels)
        widened += [replace(window, forecast=window.forecast.widened(others)) for window in windows if window.number == number]
    return widened


def told_of(job: Job, windows: Sequence[Window]) -> dict[str, Any]:
    """What the rehearsal gave: coverage in all and window by window, scaled errors beside those of the naive forecasts."""
    if not windows:
        return {}
    numbers = sorted({window.number for window in windows})
    by_number = {number: [window for window in windows if window.number == number] for number in numbers}
    found: dict[str, Any] = {
        "windows": len(numbers),
        "horizon": job.horizon,
        "values": int(sum(np.isfinite(window.truth).sum() for window in windows)),
        "coverage": {str(level): share_held(windows, level) for level in job.info.levels},
        "coverage_per_window": {
            str(level): [share_held(part, level) for part in by_number.values()] for level in job.info.levels
        },
        "mase": mase_of(windows, job.panel, job.info.season_length, len(numbers) * job.horizon),
    }
    before = job.panel.cut([len(one) - len(numbers) * job.horizon for one in job.panel.series])
    for kind in ("seasonal-naive", "naive"):
        plain = baseline(kind, before, job.info.season_length, job.info.levels)
        rolled = roll(plain.forecast, job.panel, job.horizon, len(numbers))
        found[f"{kind.replace('-', '_')}_mase"] = mase_of(rolled, job.panel, job.info.season_length, len(numbers) * job.horizon)
    return found


def mase_of(windows: Sequence[Window], panel: Panel, season: int, reach: int) -> float | None:
    """Mean absolute error in units of the seasonal naive one before the first window; None where no series has such a scale."""
    scales = {one.name: scale_of(one, len(one) - reach, season).absolute for one in panel.series}
    errors = [
        np.abs(window.truth - window.forecast.point) / scale for window in windows if (scale := scales[window.series]) is not None
    ]
    cells = np.concatenate(errors) if errors else np.empty(0)
    return float(np.nanmean(cells)) if np.isfinite(cells).any() else None
