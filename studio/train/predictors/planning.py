"""What a training of a predictor takes, before it starts: memory from the sizes of its rows, time from two small fits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.core.errors import GateNotMetError, UserError
from studio.core.telling import Pairs, Told, duration_text, size_text
from studio.core.workspace import Workspace
from studio.data.examples import Examples
from studio.train.kinds import Planned, PlanWish
from studio.train.opening import named_dataset
from studio.train.plan_baseline import baseline_bytes
from studio.train.predictors.preparation import WANTS

if TYPE_CHECKING:
    from studio.schema.predictors import AnyPredictorPreset

_SMALL, _LARGE = 250, 1000
"""Rows of the two fits."""
_CELLS = 200_000
"""Rows of a fit times plain columns at most, so that a plan of pictures takes no longer than one of tables."""
_TREES, _ROUNDS = 10, 5
"""Trees and rounds of the two fits; the others take as long."""


def plan_training(preset: AnyPredictorPreset, workspace: Workspace, wish: PlanWish) -> Planned:
    """Rows, memory and time of a training, and the check that it fits.

    Raises:
        UserError, DataError: preset and Dataset do not fit each other.
    """
    from studio.train.predictors.checks import check_data
    from studio.train.predictors.job import read_rows

    program = baseline_bytes("cpu", "studio.train.predictors.pipelines")
    folder: Path = workspace.find_dataset(named_dataset(preset.data, workspace))
    check_data(preset, folder)
    [train] = read_rows(folder, preset, ("train",))
    assert train is not None
    told: list[tuple[str, object]] = [
        ("estimator", preset.estimator.type),
        ("rows", f"{len(train):,}, {len(train.columns)} columns"),
    ]
    if preset.estimator.type not in WANTS:
        from studio.train.predictors.network_plan import network_planned

        return network_planned(preset, train, workspace, wish)
    from studio.train.predictors.sizes import memory_of_training, peak

    seconds = seconds_of_training(preset, train)
    parts = {"program": program, **memory_of_training(preset, train)}
    most = "at most " if preset.estimator.type == "boosting" and preset.estimator.patience is not None else "about "
    told += [
        ("memory", f"about {size_text(peak(parts))} at the peak ({_shown(parts)})"),
        (
            "time",
            "not known: too few rows to try" if seconds is None else f"{most}{duration_text(seconds)}, from fits of few rows",
        ),
    ]
    document = _told(told, rows=len(train), memory_bytes=peak(parts), memory=parts, seconds=seconds)
    return Planned(document, partial(_check, preset, train, peak(parts), wish))


def seconds_of_training(preset: AnyPredictorPreset, rows: Examples) -> float | None:
    """Seconds that fitting will take, from fits of few rows; None where those say nothing.

    Between two sizes the time is taken to grow with the rows, with their logarithm too for forests, with their square for a bent
    boundary; what grew is carried on.
    """
    from studio.models.predictors.features import plain_groups

    # A round of boosting takes as long for 1,000 rows as for 100: only more of them show how it grows.
    more = 5 if preset.estimator.type == "boosting" else 1
    wide = sum(map(len, plain_groups(rows.columns).values()))
    large = min(len(rows), more * _LARGE, max(50, more * _CELLS // max(1, wide)))
    order = np.random.default_rng(0).permutation(len(rows))
    quick, repeats = _quick(preset)
    _timed(quick, rows.part(order[: min(large, 50)]))  # loads the libraries
    second = _timed(quick, rows.part(order[:large]))
    if second is None:
        return None
    if large == len(rows):
        return second * repeats
    small = min(more * _SMALL, large // 2)
    first, law = _timed(quick, rows.part(order[:small])), _law(preset.estimator)
    growth = 0.0 if first is None else (second - first) / (law(large) - law(small))
    # Fits as short as these vary: a part of their time is taken to grow with the rows in any case.
    growth = max(growth, 0.2 * second / law(large))
    return (second + growth * (law(len(rows)) - law(large))) * repeats


def _law(estimator: Any) -> Callable[[int], float]:
    """How the time of a fit grows with its rows."""
    if estimator.type == "forest":
        return lambda rows: rows * math.log2(rows + 1)
    if estimator.type == "svm" and estimator.kernel == "rbf":
        return lambda rows: float(rows) ** 2
    return float


def _quick(preset: AnyPredictorPreset) -> tuple[AnyPredictorPreset, float]:
    """The preset with few trees, and how many times as long the whole of it takes."""
    changes: dict[str, Any] = {}
    repeats = 1.0
    if preset.estimator.type == "forest":
        changes, repeats = {"trees": min(_TREES, preset.estimator.trees)}, max(1.0, preset.estimator.trees / _TREES)
    if preset.estimator.type == "boosting":
        changes, repeats = {"rounds": min(_ROUNDS, preset.estimator.rounds)}, max(1.0, preset.estimator.rounds / _ROUNDS)
    few: dict[str, Any] = {"estimator": preset.estimator.model_copy(update=changes)}
    if preset.kind == "classifier" and preset.imbalance == "smote":
        few["imbalance"] = "oversample"  # so few rows may have too few neighbours
    return preset.model_copy(update=few), repeats


def _timed(preset: AnyPredictorPreset, rows: Examples) -> float | None:
    """Seconds of a fit; None where so few rows cannot be fitted."""
    from studio.train.predictors.describing import describe
    from studio.train.predictors.job import Job, labels_of
    from studio.train.predictors.pipelines import fit_pipeline
    from studio.train.recording import StopOnSignal

    if preset.kind == "classifier" and len(labels_of(rows)) < 2:
        return None
    job = Job(Path(), preset, rows, None, False, lambda _: None, StopOnSignal())
    started = time.perf_counter()
    try:
        if fit_pipeline(job, describe(job)) is None:
            raise KeyboardInterrupt
    except (UserError, ValueError):
        return None
    return time.perf_counter() - started


def _check(preset: AnyPredictorPreset, rows: Examples, memory: int, wish: PlanWish) -> None:
    """Refuse what cannot fit.

    Raises:
        GateNotMetError: says what it takes, what there is, and what takes less.
    """
    from studio.train.capacity import memory_of

    free = wish.memory if wish.memory is not None else memory_of("cpu")
    if free is None or memory <= free:
        return
    text = any(column.type == "text" for column in rows.columns)
    remedy = "preparation.texts.characters: false" if text and preset.preparation.texts.characters else "fewer columns (features)"
    if preset.preparation.missing == "nearest":
        remedy = "preparation.missing: median"
    elif preset.estimator.type == "forest":
        remedy = "fewer trees (estimator.trees), or larger leaves (estimator.min_leaf)"
    raise GateNotMetError(
        f"{preset.estimator.type} on {len(rows):,} rows takes about {size_text(memory)} of memory, and {size_text(free)} are "
        f"free. Take {remedy}, or a smaller part of the rows."
    )


def _shown(parts: dict[str, int]) -> str:
    """Sizes of parts, in words."""
    return ", ".join(f"{name} {size_text(size)}" for name, size in parts.items())


def _told(lines: list[tuple[str, object]], **figures: object) -> Told:
    """A plan for people and for programs."""
    return Told((Pairs(lines),), {"estimator": lines[0][1], **figures})
