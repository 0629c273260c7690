"""The task that measures forecasts. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from studio.schema.tasks import Count, Positive, TaskSettings, without_repeats

ForecastMetric = Literal["mase", "rmsse", "mae", "rmse", "smape", "pinball", "coverage", "width"]
OF_LEVELS = ("coverage", "width")
"""Metrics of which there is one for each level of intervals: ``coverage_80``."""


class ForecastTask(TaskSettings):
    """Forecasts of the windows of the test split, each made from what lies before it, beside naive and seasonal naive ones.
    With a ``limit``, only so many series are forecast.
    """

    type: Literal["forecast"]
    """Kind of task."""
    dataset: str | None = None
    """Dataset name, path or fingerprint; None takes the one the run was trained on."""
    windows: Positive | None = None
    """Newest windows that are forecast; None takes all that fit into the test split."""
    levels: Annotated[list[Annotated[int, Field(ge=1, le=99)]], Field(min_length=1)] = [80, 95]
    """Levels of intervals, in percent, whose coverage and width are measured; the run must have been trained with them."""
    metrics: Annotated[list[ForecastMetric], Field(min_length=1)] = [
        "mase", "rmsse", "mae", "rmse", "smape", "pinball", "coverage", "width",
    ]  # fmt: skip
    """What is computed, in the order of the report."""
    series_shown: Count = 6
    """Series that are drawn: those of the smallest, the middle and the largest errors."""

    @field_validator("metrics")
    @classmethod
    def _no_repeats(cls, metrics: list[ForecastMetric]) -> list[ForecastMetric]:
        """A metric named twice would be reported twice."""
        without_repeats([str(name) for name in metrics])
        return metrics

    def metric_names(self) -> list[str]:
        """The metrics, with the level behind those that have one."""
        return [
            name if name not in OF_LEVELS else f"{name}_{level}"
            for name in self.metrics
            for level in (self.levels if name in OF_LEVELS else [0])
        ]
