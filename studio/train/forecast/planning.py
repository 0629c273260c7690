"""What a training of forecasts takes, before it starts: fits or steps, numbers that train, memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import GateNotMetError
from studio.core.telling import size_text
from studio.data.parquet import read_whole_dataset
from studio.models.forecast.forecaster import is_local
from studio.schema.forecast import ForecastPreset
from studio.train.capacity import memory_of
from studio.train.forecast.job import check_facts
from studio.train.kinds import PlanWish

# What an interpreter with pandas, torch and statsmodels holds before anything is read.
_BASELINE_BYTES = 600_000_000


@dataclass(frozen=True)
class ForecastPlan:
    """told: lines for people. document: the same for programs. needed, free: bytes; free is None where it is not known."""

    told: list[tuple[str, object]]
    needed: int
    free: int | None
    document: dict[str, Any] = field(default_factory=dict)


def plan_training(preset: ForecastPreset, dataset: Path, wish: PlanWish, processes: int) -> ForecastPlan:
    """Plan a training from the Dataset's record and the preset; nothing is fitted.

    Raises:
        UserError: the Dataset does not fit the preset.
    """
    facts = check_facts(preset, dataset)
    record = read_whole_dataset(dataset)
    values = sum(rows for split, rows in record.splits.items() if split != "test")
    kind = preset.estimator.type
    document: dict[str, Any] = {"series": facts["count"], "values": values, "estimator": kind}
    told: list[tuple[str, object]] = [("series", f"{facts['count']:,}, {values:,} values")]
    if is_local(kind):
        rounds = 1 + (0 if not preset.backtest.windows else preset.backtest.windows if preset.backtest.refit else 1)
        document |= {"fits": rounds * facts["count"], "processes": processes}
        told.append(
            ("fits", f"{rounds * facts['count']:,} ({rounds} per series), in {processes} process{'es' * (processes > 1)}")
        )
        needed = _BASELINE_BYTES * processes + 400 * values
    else:
        from studio.models.forecast.network import count_weights

        season = preset.season_length or facts["season_length"]
        horizon = preset.horizon or facts["horizon"]
        inputs = len(facts["known"]), len(facts["past"])
        weights, numbers = count_weights(preset.estimator.model_dump(), season, horizon, preset.intervals.levels, inputs)
        document |= {"trained_parameters": weights, "steps": preset.estimator.steps}  # type: ignore[union-attr]
        told += [("numbers that train", f"{weights:,}"), ("steps", f"{preset.estimator.steps:,} at most")]  # type: ignore[union-attr]
        # Weights, gradient, two moments of AdamW; what a pass keeps, forth and back.
        needed = _BASELINE_BYTES + 16 * weights + 8 * numbers * preset.estimator.batch_size + 400 * values  # type: ignore[union-attr]
    free = wish.memory if wish.memory is not None else memory_of(wish.device or "cpu")
    told.append(("memory", f"about {size_text(needed)}" + (f" of {size_text(free)} free" if free is not None else "")))
    return ForecastPlan(told, needed, free, document | {"memory_bytes": needed, "free_bytes": free})


def check_room(plan: ForecastPlan) -> None:
    """Stop where it does not fit.

    Raises:
        GateNotMetError: more memory is needed than there is.
    """
    if plan.free is not None and plan.needed > plan.free:
        raise GateNotMetError(
            f"the training needs about {size_text(plan.needed)} of memory and {size_text(plan.free)} are free. Take fewer "
            "processes, or a smaller estimator.batch_size."
        )
