"""Reading a suite: its shape is judged by the schema, the names of its metrics by the registry."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args

from pydantic import AfterValidator, Field, create_model, model_validator

from studio.core.content import content_roots, find_content
from studio.core.errors import ConfigError, UserError, nearest
from studio.core.extras import available, require
from studio.evals.metrics import METRICS
from studio.evals.metrics.base import Metric
from studio.evals.tasks import SETTINGS
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


class CheckedSuite(Suite):
    """A suite whose metrics exist; the schema cannot know them, because it stands below the metrics.

    It is read by a subclass whose tasks are those that are registered: see :func:`checked_suite`.
    """

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


def checked_suite() -> type[CheckedSuite]:
    """The schema of a suite that may have every kind of task that is registered now."""
    # Those of the documentation in its order, for messages that list them; then what was added from outside.
    documented = [get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(get_args(Task)[0])]
    names = [name for name in documented if name in SETTINGS] + [name for name in SETTINGS if name not in documented]
    return _suite_of(tuple((name, SETTINGS.target(name)) for name in names))


@cache
def _suite_of(kinds: tuple[tuple[str, str], ...]) -> type[CheckedSuite]:
    """A schema whose tasks are of these kinds, told apart by their type; made once for the same table of kinds."""
    task: Any = Annotated[Union[tuple(SETTINGS.get(name) for name, _ in kinds)], Field(discriminator="type")]  # noqa: UP007
    tasks: Any = Field(default=[], description=Suite.model_fields["tasks"].description)
    return create_model("CheckedSuite", __base__=CheckedSuite, __doc__=CheckedSuite.__doc__, tasks=(list[task], tasks))


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
    return load_yaml(find_content("evals", str(name)), checked_suite(), overrides)


def check_has_thresholds(suite: Suite) -> None:
    """A gate without thresholds would let everything pass.

    Raises:
        ConfigError: there is none.
    """
    if not suite.thresholds:
        raise ConfigError(f"--gate needs thresholds, and the suite {suite.name} has none. Add 'thresholds:' to it.")


def with_setting(suite: Suite, field: str, value: object, *, option: str, meant_for: str) -> Suite:
    """The suite with a value for every task that has such a setting.

    Args:
        option: how the person gave it. meant_for: what the tasks score that have it. Both are for the message.
    Raises:
        UserError: no task of the suite has it; the studio's suites that have one are named.
    """
    if not any(field in type(task).model_fields for task in suite.tasks):
        raise UserError(
            f"{option} is for {meant_for}, and the suite {suite.name} scores none. Take the suite {_suites_with(field)}."
        )
    update = {field: value}
    tasks = [task.model_copy(update=update) if field in type(task).model_fields else task for task in suite.tasks]
    return suite.model_copy(update={"tasks": tasks})


def _suites_with(field: str) -> str:
    """The studio's own suites that have a task with that setting."""
    shipped = content_roots("evals")[-1]  # a person's own folder comes before it
    found = []
    for path in sorted(shipped.rglob("*.yaml")):
        try:
            suite = load_suite(path)
        except ConfigError:  # a word list, which stands beside the suites
            continue
        if any(field in type(task).model_fields for task in suite.tasks):
            found.append(path.relative_to(shipped).with_suffix("").as_posix())
    return " or ".join(found)


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
    return load_value(value, checked_suite(), overrides, source=f"{HARNESS}{names}")


def metric(name: str) -> Metric:
    """The registered metric of that name."""
    found: Metric = METRICS.get(name)
    return found
