"""The first paragraph of a report on a predictor, for people who read nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np

from studio.core.records import Difference, Score
from studio.core.telling import counted
from studio.evals.intervals import share_interval
from studio.evals.labelled import Labelled
from studio.evals.numbers import figure, number
from studio.evals.predictors.weak import Spots
from studio.evals.statistics import NO_DIFFERENCE
from studio.evals.task import TaskResult
from studio.models.predictors.base import PredictorInfo

_SURE = 0.9
# The commonest label is so many times as frequent as it would be if all were alike.
_UNEQUAL = 1.2


def lead_of_labels(info: PredictorInfo, found: Labelled, result: TaskResult, spots: Spots) -> list[str]:
    """What it predicts, how much better than the baseline, where it fails, and what its certainty means."""
    accuracy = _by_name(result, "tuned")["accuracy"]
    said = (
        f"It tells {info.target} ({_listed(info.labels)}) from {_columns(info)}. Of {counted(accuracy.n, 'row')} that it had not "
        f"seen it labels {_percent(accuracy)} rightly{_against(result, 'accuracy', 'share')}.{_balance(found, result)}"
    )
    return [said, _where(spots, "of the labels are wrong", "share"), *_sureness(found), *_takes(found)]


def _balance(found: Labelled, result: TaskResult) -> str:
    """The same with every label counted alike, where the commonest one is much more frequent than the others."""
    counts = Counter(found.truth)
    if max(counts.values()) < _UNEQUAL * len(found.truth) / len(counts):
        return ""
    balanced = _by_name(result, "tuned")["balanced_accuracy"]
    return (
        f" Counting every label alike, it finds {_percent(balanced)} of them (balanced accuracy)"
        f"{_against(result, 'balanced_accuracy', 'share', name=False)}."
    )


def lead_of_numbers(info: PredictorInfo, found: Labelled, result: TaskResult, spots: Spots) -> list[str]:
    """What it predicts, how far off it is beside the baseline, where it fails, and what its intervals hold."""
    scores = _by_name(result, "tuned")
    error, explained = scores["mae"], scores["r2"]
    unit = f" {info.unit}" if info.unit else ""
    said = (
        f"It predicts {info.target}{f' in {info.unit}' if info.unit else ''} from {_columns(info)}. On {counted(error.n, 'row')} "
        f"that it had not seen it is off by {number(error.value)}{unit}{_interval(error, '')} on "
        f"average{_against(result, 'mae', unit)}. It explains {_percent(explained)} of the variance."
    )
    sentences = [said, _where(spots, f"{unit} off on average", "")]
    if "interval_coverage" in scores and found.level is not None:
        covered, wide = scores["interval_coverage"], scores["interval_width"]
        sentences.append(
            f"Its intervals, made to hold {found.level:.0%} of the true values, hold {_percent(covered)} of them here and are "
            f"{number(wide.value)}{unit} wide on average."
        )
    return [*sentences, *_takes(found)]


def _by_name(result: TaskResult, label: str) -> dict[str, Score]:
    """Scores of a model by metric."""
    return {score.metric: score for score in result.scores.get(label, [])}


def _columns(info: PredictorInfo) -> str:
    """What it predicts from."""
    if len(info.columns) == 1:
        [column] = info.columns
        return {"text": "a text", "picture": "a picture"}.get(column.type, f"the column {column.name}")
    return counted(len(info.columns), "column")


def _listed(labels: list[str]) -> str:
    """Labels in words: all of a few, else their number."""
    return " or ".join(labels) if len(labels) <= 4 else f"one of {len(labels)} labels"


def _percent(score: Score) -> str:
    """A share with its interval."""
    if score.value is None:
        return "an unknown share"
    return f"{figure(score.value, 'share')}{_interval(score, 'share')}"


def _interval(score: Score, unit: str) -> str:
    """The 95% interval in brackets, nothing where there is none."""
    if score.low is None or score.high is None:
        return ""
    return f" ({figure(score.low, unit)} to {figure(score.high, unit)})"


def _against(result: TaskResult, metric: str, unit: str, *, name: bool = True) -> str:
    """What the baseline does, and the difference with its interval, as the end of a sentence."""
    base = _by_name(result, "base").get(metric)
    change = next((item for item in result.differences if item.metric == metric), None)
    if base is None or base.value is None or change is None or change.value is None:
        return ""
    who = str(result.about.get("base", {}).get("name", "the base")) if name else "the same"
    words, shares = _verdict(change, unit), unit == "share"
    value = figure(base.value, "share") if shares else f"{number(base.value)}{unit}"
    return f"; {who} gives {value}, so {words}"


def _verdict(change: Difference, unit: str) -> str:
    """The difference in words; one that was shown without its sign."""
    shown = change.verdict in {"better", "worse"}

    def told(value: float | None) -> str:
        size = abs(value) if shown and value is not None else value
        if unit == "share":
            return figure(size, "share", signed=True).removeprefix("+" if shown else "") if size is not None else "–"
        return f"{number(size, signed=not shown)}{unit}"

    bounds = ""
    if change.low is not None and change.high is not None:
        low, high = sorted((change.low, change.high), key=abs) if shown else (change.low, change.high)
        bounds = f" ({told(low)} to {told(high)})"
    if shown:
        return f"it is {change.verdict} by {told(change.value)}{bounds}"
    if change.verdict == NO_DIFFERENCE:
        return f"the difference of {told(change.value)}{bounds} may be chance"
    return f"the difference is {told(change.value)}, on too few rows to judge"


def _where(spots: Spots, words: str, unit: str) -> str:
    """The weakest part of the rows, or that none is shown."""
    spot = spots.weakest
    if not spots.looked_at:
        return "No part of the rows is large enough to be looked at by itself."
    if spot is None:
        return f"None of {counted(spots.looked_at, 'part')} of the rows that were looked at is shown to be worse than the others."
    here, elsewhere = (figure(value, unit) if unit else number(value) for value in (spot.here, spot.elsewhere))
    return (
        f"It fails most where {spot.name.replace(': ', ' is ', 1)} ({counted(spot.count, 'row')}): "
        f"{here}{'' if not unit else ' '}{words}, elsewhere {elsewhere}."
    )


def _sureness(found: Labelled) -> list[str]:
    """How often it is right when it is sure."""
    rows = found.shares.get("tuned", [])
    sure = [
        (max(row.values()), said == true) for row, said, true in zip(rows, found.said["tuned"], found.truth, strict=True) if row
    ]
    high = [right for value, right in sure if value >= _SURE]
    if not high:
        mean = float(np.mean([value for value, _ in sure])) if sure else 0.0
        return [f"It is never {_SURE:.0%} sure of a label here; its certainty is {mean:.0%} on average."]
    bounds = share_interval(float(sum(high)), len(high))
    told = f" ({figure(bounds[0], 'share')} to {figure(bounds[1], 'share')})" if bounds else ""
    return [
        f"Where it is at least {_SURE:.0%} sure ({len(high)} of {counted(len(sure), 'row')}), it is right in "
        f"{figure(float(np.mean(high)), 'share')}{told} of cases."
    ]


def _takes(found: Labelled) -> list[str]:
    """How long predictions take."""
    seconds = found.about.get("tuned", {}).get("seconds", {}).get("predictions")
    return [f"Predicting these rows took {seconds:.2g} s."] if seconds else []
