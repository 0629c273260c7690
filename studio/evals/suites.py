"""Reading a suite: its shape is judged by the schema, the names of its metrics by the registry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Union, get_args

from pydantic import AfterValidator, Field, model_validator

from studio.core.content import find_content
from studio.core.errors import UserError, nearest
from studio.core.extras import available, require
from studio.evals.metrics import METRICS
from studio.evals.metrics.base import Metric
from studio.schema.loading import load_value, load_yaml
from studio.schema.suite import Suite, Task
from studio.schema.tasks import ConversationTask

# Before the names of tasks that lm-evaluation-harness runs.
HARNESS = "lm-eval:"


def _known(name: str) -> str:
    """Refuse a metric that is not registered, in words that fit a line of the file."""
    if name not in METRICS:
        raise ValueError(f"{name!r} is not a metric.{nearest(name, METRICS)} Allowed: {', '.join(METRICS)}.")
    return name


KnownMetric = Annotated[str, AfterValidator(_known)]


class CheckedConversationTask(ConversationTask):
    """A conversation task whose metrics exist."""

    metrics: Annotated[list[KnownMetric], Field(min_length=1)]
    """Registry keys of metrics, in the order of the report."""

    @model_validator(mode="after")
    def _direction(self) -> CheckedConversationTask:
        """Refuse to rank examples by a metric without a direction."""
        if self.compare_by:
            _refuse_without_direction(self.compare_by, "compare_by")
        return self


if TYPE_CHECKING:
    CheckedTask = Task
else:
    # The schema stands below the metrics and cannot know them, so its conversation task is replaced by the checked one.
    _KINDS = tuple(CheckedConversationTask if kind is ConversationTask else kind for kind in get_args(get_args(Task)[0]))
    CheckedTask = Annotated[Union[_KINDS], Field(discriminator="type")]  # noqa: UP007 - made at run time


class CheckedSuite(Suite):
    """A suite whose metrics exist; the schema cannot know them, because it stands below the metrics."""

    tasks: list[CheckedTask] = []
    """What is measured, in the order of the report. Without tasks the suite is one conversation task made of the fields below."""
    metrics: list[KnownMetric] = []
    """Short form: registry keys of metrics, in the order of the report."""

    @model_validator(mode="after")
    def _directions(self) -> CheckedSuite:
        """Refuse to call a metric without a direction better or worse."""
        for threshold in self.thresholds:
            if threshold.not_worse_than_base or threshold.not_worse_than_base_by is not None:
                task, _, metric_name = threshold.metric.rpartition(".")
                kinds = [item for item in self.all_tasks() if not task or item.key == task]
                if any(isinstance(item, ConversationTask) and metric_name in item.metrics for item in kinds):
                    _refuse_without_direction(metric_name, threshold.bound)
        if self.compare_by:
            _refuse_without_direction(self.compare_by, "compare_by")
        return self


def _refuse_without_direction(name: str, field: str) -> None:
    """Raise when neither more nor less of a metric is better."""
    if name in METRICS and metric(name).better == "neither":
        raise ValueError(f"{field} cannot be asked of '{name}': neither more nor less of it is better.")


def load_suite(name: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """Find and read a suite by registry name or path; ``lm-eval:TASK,TASK`` makes one of lm-evaluation-harness' tasks.

    Args:
        overrides: ``--set`` values, for example ``generation.max_new_tokens=64``.
    Raises:
        UserError: there is no such suite, or lm-evaluation-harness is asked for and not installed.
        ConfigError: a mistake in the file or an override, with file, line and the nearest name.
    """
    if str(name).startswith(HARNESS):
        return _harness_suite(str(name).removeprefix(HARNESS), overrides)
    return load_yaml(find_content("evals", str(name)), CheckedSuite, overrides)


def _harness_suite(names: str, overrides: Sequence[str]) -> Suite:
    """A suite of one task that lm-evaluation-harness runs."""
    if not available("lm_eval"):
        require("lm_eval", feature=f"the suite {HARNESS}{names}", extra="lm-eval")
    tasks = [name.strip() for name in names.split(",") if name.strip()]
    if not tasks:
        raise UserError(f"{HARNESS} names no task. Write for example {HARNESS}arc_easy; 'lm-eval ls tasks' lists them.")
    title = re.sub(r"[^A-Za-z0-9._-]+", "-", f"lm-eval-{'-'.join(tasks)}")[:80]
    description = f"lm-evaluation-harness: {', '.join(tasks)}."
    value = {"name": title, "description": description, "tasks": [{"type": "lm_eval", "tasks": tasks}]}
    return load_value(value, CheckedSuite, overrides, source=f"{HARNESS}{names}")


def metric(name: str) -> Metric:
    """The registered metric of that name."""
    found: Metric = METRICS.get(name)
    return found
