"""What a reader of forecasts has to know: what one-step errors still hold, gaps, scales that do not exist, what was promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from studio.core.records import Score
from studio.evals.forecast.asking import Asked
from studio.evals.statistics import SIGNIFICANCE, holm
from studio.models.forecast.errors import Scale
from studio.models.forecast.forecaster import LocalForecaster

_NAMED = 3
# A coverage further than this from its level is worth a sentence.
_FAR = 0.05


def remarks(asked: Asked, scales: Mapping[str, Scale], scores: Mapping[str, Sequence[Score]]) -> list[str]:
    """Sentences for the top of the task."""
    found = list(asked.notes)
    if asked.facts["season_length"] == 1:
        found.append("The series have no season, so the seasonal naive forecast is the naive one.")
    unseen = sum(int((~np.isfinite(window.truth)).sum()) for window in asked.windows["tuned"])
    if unseen:
        found.append(f"{unseen:,} stamps of the windows have no value, or one that was filled in; they are not scored.")
    flat = [name for name, scale in scales.items() if scale.absolute is None]
    if flat:
        found.append(f"{_some(flat)} never changed in the past, so that scaled errors do not exist there and are left out.")
    found += _coverage_told(asked, scores)
    found += [line for label in asked.forecasters if (line := _whiteness(label, asked)) is not None]
    return found


def lead(asked: Asked, scores: Mapping[str, Sequence[Score]]) -> list[str]:
    """What a person in a hurry reads: how large errors are beside those of the naive forecasts, and how often intervals held."""
    by_label = {label: {score.metric: score for score in found} for label, found in scores.items()}
    told = []
    name = next((name for name in ("mase", "mae") if name in by_label["tuned"]), None)
    ours = by_label["tuned"][name].value if name else None
    if name and ours is not None:
        others = {label: by_label[label][name].value for label in ("seasonal naive", "naive")}
        parts = [f"{ours / value:.0%} of those of the {label} forecast" for label, value in others.items() if value]
        windows = (
            f"{asked.count} windows of {asked.horizon} stamps" if asked.count > 1 else f"one window of {asked.horizon} stamps"
        )
        told.append(f"Over {windows} of {_counted(len(asked.panel))}, errors are {' and '.join(parts)}.")
    held = [score for score in scores["tuned"] if score.metric.startswith("coverage_") and score.value is not None]
    if held:
        parts = [f"{score.metric.partition('_')[2]}% intervals held {score.value:.0%}" for score in held]
        told.append(f"Of the values that came, the {' and the '.join(parts)}.")
    return told


def _counted(series: int) -> str:
    """``one series``, ``22 series``."""
    return "one series" if series == 1 else f"{series:,} series"


def _coverage_told(asked: Asked, scores: Mapping[str, Sequence[Score]]) -> list[str]:
    """Whether intervals held what the back-test let expect."""
    backtest = asked.forecasters["tuned"].info.backtest
    told = []
    for score in scores["tuned"]:
        kind, _, level = score.metric.partition("_")
        if kind != "coverage" or score.value is None:
            continue
        expected = (backtest.get("coverage") or {}).get(level)
        rehearsed = f"; the back-test had {expected:.0%}" if expected is not None else ""
        if abs(score.value - int(level) / 100) > _FAR:
            side = "too narrow" if score.value < int(level) / 100 else "too wide"
            told.append(f"The {level}% intervals held {score.value:.0%} of the values, so they are {side}{rehearsed}.")
    return told


def _whiteness(label: str, asked: Asked) -> str | None:
    """Whether one-step errors inside the training are free of autocorrelation, by Ljung-Box tests corrected for all series."""
    forecaster = asked.forecasters[label]
    if not isinstance(forecaster, LocalForecaster):
        return None
    tested = {
        name: learnt.whiteness
        for name, learnt in forecaster.learnt.items()
        if learnt.whiteness is not None and name in asked.panel.names
    }
    if not tested:
        return None
    corrected = holm([found["ljung_box_p"] for found in tested.values()])
    bad = [name for name, p_value in zip(tested, corrected, strict=True) if p_value is not None and p_value < SIGNIFICANCE]
    first = float(np.mean([found["autocorrelation"]["1"] for found in tested.values()]))
    lags = max(int(found["lags"]) for found in tested.values())
    result = (
        f"in {len(bad):,} of {len(tested):,} series they still hold something that could be learnt ({_some(bad)})"
        if bad
        else f"in none of {len(tested):,} series they are shown to hold anything that could still be learnt"
    )
    return (
        f"{label}: one-step errors inside the training: {result}: Ljung-Box tests up to {lags} lags, corrected after Holm; mean "
        f"autocorrelation at lag 1: {first:.2f}."
    )


def _some(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def limits(asked: Asked) -> list[str]:
    """What these numbers do not show."""
    windows = f"{asked.count} windows" if asked.count > 1 else "One window"
    found = [
        f"{windows} of {asked.horizon} stamps make a short stretch of time: what did not happen in it (a crisis, a new "
        "rival) was not tested, and another stretch may rank models the other way round."
    ]
    if len(asked.panel) > 1:
        found.append(
            "Series are taken for independent of each other, and windows of one series are not; a shock that hits all series at "
            "once makes the intervals of these scores too narrow."
        )
    else:
        found.append("One series is one example: no interval can be given for its scores, and no difference can be shown on it.")
    return found
