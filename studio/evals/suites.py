"""Reading a suite: its shape is judged by the schema, the names of its metrics by the registry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from studio.core.content import find_content
from studio.core.errors import nearest
from studio.evals.metrics import METRICS
from studio.evals.metrics.base import Metric
from studio.schema.loading import load_yaml
from studio.schema.suite import Suite


def _known(name: str) -> str:
    """Refuse a metric that is not registered, in words that fit a line of the file."""
    if name not in METRICS:
        raise ValueError(f"{name!r} is not a metric.{nearest(name, METRICS)} Allowed: {', '.join(METRICS)}.")
    return name


class CheckedSuite(Suite):
    """A suite whose metrics exist; the schema cannot know them, because it stands below the metrics."""

    metrics: Annotated[list[Annotated[str, AfterValidator(_known)]], Field(min_length=1)]
    """Registry keys of metrics, in the order of the report."""

    @model_validator(mode="after")
    def _directions(self) -> CheckedSuite:
        """Refuse to call a metric without a direction better or worse."""
        compared = [(threshold.metric, "not_worse_than_base") for threshold in self.thresholds if threshold.not_worse_than_base]
        compared += [(self.compare_by, "compare_by")] if self.compare_by else []
        for name, field in compared:
            if metric(name).better == "neither":
                raise ValueError(f"{field} cannot be asked of '{name}': neither more nor less of it is better.")
        return self


def load_suite(name: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """Find and read a suite by registry name or path.

    Args:
        overrides: ``--set`` values, for example ``generation.max_new_tokens=64``.
    Raises:
        UserError: there is no such suite.
        ConfigError: a mistake in the file or an override, with file, line and the nearest name.
    """
    return load_yaml(find_content("evals", str(name)), CheckedSuite, overrides)


def metric(name: str) -> Metric:
    """The registered metric of that name."""
    found: Metric = METRICS.get(name)
    return found
