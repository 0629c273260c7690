"""Which settings a trial tries. The answer depends on the seed, the trial's number and the trials it may look back on, and on
nothing else: a search that was killed goes on with the settings it would have tried.

A sampler that is seeded once begins its stream of random numbers anew after a kill, and tries what it had tried
(optuna/optuna#3255); here each trial has a sampler of its own, seeded by its number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from studio.schema.search import Way
from studio.search.journal import Trial
from studio.search.space import Choices, Dimension, Space

if TYPE_CHECKING:
    import optuna

Better = Literal["higher", "lower"]

FIRST_DRAWN = 10
"""Trials that ``tpe`` draws at random before it goes by what went well."""
# Draws of a trial that all repeat what was tried; then the space holds nothing more that is worth a trial.
_DRAWS = 50


def settings_of(
    number: int,
    space: Space,
    by: Way,
    seed: int,
    *,
    past: Sequence[Trial],
    tried: Sequence[Mapping[str, Any]],
    metric: str,
    better: Better,
) -> dict[str, Any] | None:
    """Settings of trial ``number`` (from 1); None where all of the space was tried.

    Args:
        past: ended trials it may look back on. tried: settings of all earlier trials, which are not tried again.
        metric, better: what trials are judged by.
    """
    if by == "grid":
        rest = [values for values in space.grid() if values not in tried[:1]]
        return rest[number - 1] if number <= len(rest) else None
    known = {_key(values) for values in tried}
    for draw in range(_DRAWS):
        values = _drawn(space, by, _seed(seed, number, draw), past, metric, better)
        if _key(values) not in known:
            return values
    return None


def _key(values: Mapping[str, Any]) -> str:
    """Settings as a text to compare."""
    return json.dumps(values, sort_keys=True, default=str)


def _seed(seed: int, number: int, draw: int) -> int:
    """32 bits that only these numbers decide."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}/{draw}".encode()).digest()[:4], "big")


def _drawn(space: Space, by: Way, seed: int, past: Sequence[Trial], metric: str, better: Better) -> dict[str, Any]:
    """One draw of Optuna's sampler."""
    import optuna

    samplers = optuna.samplers
    sampler: Any = samplers.RandomSampler(seed=seed)
    if by == "tpe":
        sampler = samplers.TPESampler(seed=seed, n_startup_trials=FIRST_DRAWN)
    study = study_of(space, past if by == "tpe" else [], metric, better, sampler=sampler)
    asked = study.ask(fixed_distributions={item.key: _distribution(item) for item in space.dimensions})
    return {item.key: _plain(item, asked.params[item.key]) for item in space.dimensions}


def study_of(
    space: Space, past: Sequence[Trial], metric: str, better: Better, *, sampler: Any = None, pruner: Any = None
) -> optuna.Study:
    """A study of Optuna that holds these trials: finished ones with their value, pruned ones with their curve.

    A curve is of losses, which are better the lower; where the metric is better the higher, it is turned over.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if better == "higher" else "minimize"
    study = optuna.create_study(direction=direction, sampler=sampler, pruner=pruner)
    for trial in past:
        values = trial.settings
        if not space.holds(values) or trial.state not in {"finished", "pruned"}:
            continue
        complete = trial.state == "finished" and metric in trial.measures
        if not complete and not trial.curve:
            continue
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED,
                value=trial.measures[metric] if complete else None,
                params={item.key: _listed(item, values[item.key]) for item in space.dimensions},
                distributions={item.key: _distribution(item) for item in space.dimensions},
                intermediate_values={place: as_reported(loss, better) for place, loss in enumerate(trial.curve, 1)},
            )
        )
    return study


def as_reported(loss: float, better: Better) -> float:
    """A loss in the direction of the study."""
    return -loss if better == "higher" else loss


def _distribution(item: Dimension) -> Any:
    """A dimension as Optuna has it; choices by their JSON, so that lists and groups may be chosen from too."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(item, Choices):
        return CategoricalDistribution([_text(value) for value in item.values])
    if item.whole:
        return IntDistribution(int(item.low), int(item.high), log=item.log, step=int(item.step or 1))
    return FloatDistribution(item.low, item.high, log=item.log, step=item.step)


def _text(value: Any) -> str:
    """A choice as Optuna names it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _listed(item: Dimension, value: Any) -> Any:
    """A value of a trial as Optuna has it."""
    if isinstance(item, Choices):
        return _text(value)
    return int(value) if item.whole else float(value)


def _plain(item: Dimension, value: Any) -> Any:
    """A drawn value as it is tried."""
    if isinstance(item, Choices):
        return next(known for known in item.values if _text(known) == value)
    return item.value(float(value))
