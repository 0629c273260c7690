"""A suite: what is measured, on which rows, with which settings, and what must hold. Each field is documented once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from studio.core.errors import nearest
from studio.schema.bias import (
    BBQTask,
    CounterfactualTask,
    CrowsPairsTask,
    LmEvalTask,
    StereoSetTask,
    WinoBiasTask,
    WinogenderTask,
)
from studio.schema.cluster_scores import ClusteringTask
from studio.schema.forecast_scores import ForecastTask
from studio.schema.general import GeneralTask
from studio.schema.image_scores import ImagesTask
from studio.schema.judge import JudgeTask
from studio.schema.loading import Settings
from studio.schema.retrieval_scores import RetrievalTask
from studio.schema.reward_tasks import PairsTask, RewardTask
from studio.schema.tasks import (
    ClassificationTask,
    ConversationTask,
    Count,
    FairnessTask,
    GenerationSettings,
    LeakageTask,
    LikelihoodSettings,
    Positive,
    RegressionTask,
    SafetyTask,
    SuiteData,
    ToolCallsTask,
    check_compare_by,
    without_repeats,
)

# One line per kind of task; its settings stand in a schema module, its code is named in studio/evals/tasks/__init__.py.
Task = Annotated[
    ConversationTask
    | ToolCallsTask
    | ClassificationTask
    | RegressionTask
    | FairnessTask
    | GeneralTask
    | SafetyTask
    | LeakageTask
    | CrowsPairsTask
    | StereoSetTask
    | WinoBiasTask
    | WinogenderTask
    | BBQTask
    | CounterfactualTask
    | LmEvalTask
    | JudgeTask
    | PairsTask
    | RewardTask
    | ImagesTask
    | ForecastTask
    | ClusteringTask
    | RetrievalTask,
    Field(discriminator="type"),
]

_BOUNDS = (
    "at_least",
    "at_most",
    "at_least_of_base",
    "at_most_of_base",
    "not_worse_than_base",
    "not_worse_than_base_by",
)


class Threshold(Settings):
    """One condition for ``--gate``; exactly one of the bounds. A metric that could not be computed does not pass."""

    metric: str
    """A metric of this suite: ``task.metric``, or the metric alone where only one task has it."""
    at_least: float | None = None
    """The tuned model's value must not be below this."""
    at_most: float | None = None
    """The tuned model's value must not be above this."""
    at_least_of_base: float | None = None
    """The tuned model's value must not be below this many times the baseline's; 1 means "not lower"."""
    at_most_of_base: float | None = None
    """The tuned model's value must not be above this many times the baseline's; 1 means "not higher"."""
    not_worse_than_base: Literal[True] | None = None
    """The paired comparison with the baseline must not say "worse". For a metric with an ideal value (bias), worse means further
    from the ideal."""
    not_worse_than_base_by: Annotated[float, Field(ge=0)] | None = None
    """Non-inferiority margin: the whole 95% interval of the difference must lie on the good side of this loss."""

    @property
    def bound(self) -> str:
        """Name of the bound that was given."""
        return next(name for name in _BOUNDS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_bound(self) -> Threshold:
        """A threshold with two meanings, or none, is a mistake."""
        given = [name for name in _BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"the threshold on '{self.metric}' has {' and '.join(given) or 'no bound'}. Give exactly one of "
                f"{', '.join(_BOUNDS)}."
            )
        return self


class Suite(Settings):
    """A measuring plan: a list of tasks, or, in the short form, the metrics of one conversation task."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the suite and of the folder its reports go to."""
    description: str = ""
    """One line for lists and for the report."""
    tasks: list[Task] = []
    """What is measured, in the order of the report. Without tasks the suite is one conversation task made of the fields below."""
    data: SuiteData = SuiteData()
    """Short form: the rows that are asked."""
    metrics: list[str] = []
    """Short form: registry keys of metrics, in the order of the report."""
    generation: GenerationSettings = GenerationSettings()
    """How answers are written, unless a task says otherwise."""
    likelihood: LikelihoodSettings = LikelihoodSettings()
    """How texts are scored, unless a task says otherwise."""
    compare_by: str | None = None
    """Short form: the metric that picks the most improved and most worsened examples; None takes the first suitable."""
    examples_shown: Count = 5
    """Short form: most improved and most worsened examples in the report, each."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number type that models in this process compute in. ``auto`` takes that of the run's training, and of a base what is fast
    on the device. Only float32 gives likelihoods that do not depend on the batch size; it may take twice as long."""
    limit: Positive | None = None
    """Ask only this many rows per task, drawn with ``seed``; None asks all."""
    seed: Count = 0
    """Seed of the draw of rows, of drawn answers and of the resamples."""
    resamples: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap resamples for the intervals."""
    thresholds: list[Threshold] = []
    """What must hold for ``--gate``; exit code 3 when it does not."""

    @property
    def short(self) -> bool:
        """True for the short form, whose metrics keep their bare names."""
        return not self.tasks

    def all_tasks(self) -> list[Task]:
        """The tasks with everything filled in that they take from the suite."""
        if self.short:
            return [
                ConversationTask(
                    data=self.data,
                    metrics=self.metrics,
                    compare_by=self.compare_by,
                    examples_shown=self.examples_shown,
                    limit=self.limit,
                    generation=self.generation,
                    likelihood=self.likelihood,
                )
            ]
        return [
            task.model_copy(
                update={
                    name: getattr(self, name) for name in ("limit", "generation", "likelihood") if getattr(task, name) is None
                }
            )
            for task in self.tasks
        ]

    @field_validator("tasks")
    @classmethod
    def _names_differ(cls, tasks: list[Task]) -> list[Task]:
        """Two tasks of one name could not be told apart."""
        keys = [task.key for task in tasks]
        repeated = sorted({key for key in keys if keys.count(key) > 1})
        if repeated:
            raise ValueError(f"two tasks are called '{repeated[0]}'. Give one of them a name.")
        return tasks

    @field_validator("metrics")
    @classmethod
    def _no_repeats(cls, metrics: list[str], info: ValidationInfo) -> list[str]:
        """A metric named twice would be reported twice."""
        if not metrics and not info.data.get("tasks"):
            raise ValueError("no metrics are named. Give at least one, or 'tasks'.")
        return without_repeats(metrics)

    @field_validator("thresholds")
    @classmethod
    def _on_metrics_of_this_suite(cls, thresholds: list[Threshold], info: ValidationInfo) -> list[Threshold]:
        """A threshold on a metric that is never computed could never be met or missed."""
        tasks: list[Task] = info.data.get("tasks") or []
        metrics: list[str] = info.data.get("metrics") or []
        for threshold in thresholds if tasks or metrics else []:
            check_threshold_metric(threshold.metric, tasks, metrics)
        return thresholds

    @field_validator("thresholds")
    @classmethod
    def _judge_not_alone(cls, thresholds: list[Threshold], info: ValidationInfo) -> list[Threshold]:
        """A model's opinion alone lets nothing pass."""
        judging = [task for task in info.data.get("tasks") or [] if isinstance(task, JudgeTask | RewardTask)]
        bare = {name for task in judging for name in task.metric_names()}
        keys = {task.key for task in judging}
        if thresholds and all(item.metric.partition(".")[0] in keys or item.metric in bare for item in thresholds):
            raise ValueError(
                f"every threshold of the suite ({', '.join(item.metric for item in thresholds)}) rests on a judge, and a model's "
                "opinion alone lets nothing pass. Add one on a metric that is counted, for example of a task "
                "'conversation' or 'safety'."
            )
        return thresholds

    @field_validator("compare_by")
    @classmethod
    def _compare_by_metric_of_this_suite(cls, compare_by: str | None, info: ValidationInfo) -> str | None:
        """Examples can only be ranked by something that is computed."""
        check_compare_by(compare_by, info.data.get("metrics") or [], "suite")
        return compare_by

    @model_validator(mode="after")
    def _tasks_or_metrics(self) -> Suite:
        """One form or the other."""
        if bool(self.tasks) == bool(self.metrics):
            both = "both 'tasks' and 'metrics'" if self.tasks else "neither 'tasks' nor 'metrics'"
            raise ValueError(f"the suite has {both}. Give 'tasks', or 'metrics' for a single conversation task.")
        if self.dtype != "auto" and self.tasks and all(isinstance(task, ImagesTask) for task in self.tasks):
            raise ValueError(f"dtype: {self.dtype} is for language models, and all tasks here are about pictures. Leave it out.")
        return self


def check_threshold_metric(name: str, tasks: list[Task], metrics: list[str]) -> None:
    """Refuse a threshold whose metric no task computes, or which two tasks could mean.

    Raises:
        ValueError: says what is in the suite.
    """
    if not tasks:
        known, open_ended = metrics, False
    else:
        named = {task.key: task.metric_names() for task in tasks}
        open_ended = any(names is None for names in named.values())
        known = [f"{key}.{metric}" for key, names in named.items() for metric in names or []]
        bare = [full for full in known if full.partition(".")[2] == name]
        if len(bare) > 1:
            raise ValueError(f"'{name}' could mean {' or '.join(bare)}. Write the task before it.")
        if bare:
            return
        if name.partition(".")[0] in named and named[name.partition(".")[0]] is None:
            return
    if name not in known and not (open_ended and "." not in name):
        raise ValueError(
            f"a threshold is on '{name}', which is not a metric of this suite."
            f"{nearest(name, [*known, *(full.partition('.')[2] for full in known)])} In the suite: {', '.join(known)}."
        )
