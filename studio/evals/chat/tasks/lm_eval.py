"""The task ``lm_eval``: tasks of lm-evaluation-harness, run by its own library on the models in this process."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from studio.core.errors import MissingExtraError, UserError, nearest
from studio.core.extras import require
from studio.core.files import write_text
from studio.core.foreign_output import set_aside
from studio.core.progress import Progress
from studio.core.records import Difference, Score
from studio.evals.chat.bias.results import bias_metric
from studio.evals.chat.subjects import LocalSubject
from studio.evals.metrics.base import Metric, SumStatistic, mean_statistic
from studio.evals.scoring import difference, score
from studio.evals.statistics import ANY, NOT_COMPUTED, SHARE, Better
from studio.evals.subjects import Subject
from studio.evals.task import NotComputedError, TaskContext, TaskResult
from studio.models.chat.generation import unwrapped
from studio.models.chat.thoughts import THOUGHTS
from studio.schema.bias import LmEvalTask
from studio.schema.tasks import LikelihoodSettings

_FEATURE = "a task of lm-evaluation-harness"
# Keys of a harness result that are no metrics.
_NO_METRICS = frozenset(("alias", "name", "sample_len", "sample_count", "samples"))


@dataclass(frozen=True)
class Found:
    """One metric of one harness task on one model.

    statistic: its mean over the documents; None where it is no mean (perplexity, F1 over all), and only ``error`` is known.
    """

    value: float
    error: float | None
    documents: int
    higher_is_better: bool | None
    statistic: SumStatistic | None


def run(context: TaskContext[LmEvalTask]) -> TaskResult:
    """Run the harness' tasks on every model.

    Raises:
        UserError: the harness has no such task.
        NotComputedError: the harness is not installed, a task's data cannot be had, or the model is behind a server.
    """
    try:
        harness = require("lm_eval", feature=_FEATURE, extra="lm-eval")
    except MissingExtraError as error:
        raise NotComputedError(str(error)) from error
    manager = task_manager(context.task.tasks)
    found: dict[str, dict[str, Found]] = {}
    lines: list[dict[str, Any]] = []
    printed: list[str] = []
    for label in context.labels:
        with context.subject(label) as subject, set_aside(printed) as terminal:
            bar = Progress(f"{context.task.key}: {label}", unit="texts", stream=terminal) if context.progress else None
            with bar or nullcontext():
                results = _evaluate(harness, manager, _local(subject), context, bar)
        found[label] = metrics_of(results)
        lines += examples_of(results, label)
    result = _result(context, found, lines)
    result.write_files = lambda folder: write_text(folder / f"{context.task.key}.log", "\n".join(printed))
    return result


def task_manager(names: Sequence[str]) -> Any:
    """The harness' index of tasks: those of ``STUDIO_LM_EVAL_TASKS`` alone where they are enough, else all of them.

    Raises:
        UserError: there is no such task; the nearest name is offered.
    """
    TaskManager = require("lm_eval.tasks", feature=_FEATURE, extra="lm-eval").TaskManager  # noqa: N806 - a class
    own = os.environ.get("STUDIO_LM_EVAL_TASKS")
    if own is not None and not Path(own).expanduser().is_dir():
        raise UserError(f"STUDIO_LM_EVAL_TASKS={own} is no folder. Name the folder with your task files, or unset it.")
    folder = str(Path(own).expanduser()) if own else None
    if folder:
        manager = TaskManager(include_path=folder, include_defaults=False)
        if all(name in manager.all_tasks for name in names):
            return manager
    manager = TaskManager(include_path=folder)
    for name in names:
        if name not in manager.all_tasks:
            raise UserError(
                f"lm-evaluation-harness {version('lm_eval')} has no task {name!r}.{nearest(name, manager.all_tasks)} "
                "'lm-eval ls tasks' lists them; task files of your own are found with STUDIO_LM_EVAL_TASKS=FOLDER."
            )
    return manager


def _local(subject: Subject) -> LocalSubject:
    """The model in this process behind a subject."""
    inner = getattr(subject, "inner", subject)
    if not isinstance(inner, LocalSubject):
        raise NotComputedError(
            f"lm-evaluation-harness needs the model in this process, and {subject.about.get('name')} is not. "
            "Name the run or its folder instead."
        )
    return inner


def _evaluate(
    harness: Any, manager: Any, subject: LocalSubject, context: TaskContext[LmEvalTask], bar: Progress | None
) -> dict[str, Any]:
    """The harness' own result for one model."""
    HFLM = require("lm_eval.models.huggingface", feature=_FEATURE, extra="lm-eval").HFLM  # noqa: N806 - a class
    task = context.task
    tokenizer = copy.copy(subject.tokenizer)
    tokenizer.chat_template = subject.template.text
    batch_size = (task.likelihood or LikelihoodSettings()).batch_size
    model = _counted(HFLM, bar)(
        pretrained=unwrapped(subject.model),
        tokenizer=tokenizer,
        batch_size=batch_size,
        think_end_token=next((close for mark, close in THOUGHTS.items() if mark in subject.template.text), None),
    )
    try:
        results: dict[str, Any] | None = harness.simple_evaluate(
            model=model,
            tasks=list(task.tasks),
            num_fewshot=task.fewshot,
            limit=task.limit,
            apply_chat_template=task.chat_template,
            task_manager=manager,
            bootstrap_iters=context.resamples,
            random_seed=context.seed,
            numpy_random_seed=context.seed,
            torch_random_seed=context.seed,
            fewshot_random_seed=context.seed,
        )
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # a task can be any code of the harness; its failures share no class
        first = (str(error).strip().splitlines() or [""])[0].rstrip(".")
        raise NotComputedError(
            f"lm-evaluation-harness could not run {', '.join(task.tasks)}: {type(error).__name__}: {first}. If its data cannot "
            "be "
            "fetched here, fetch it where there is a network and copy the Hugging Face cache, or write a task file for local "
            "data "
            "(STUDIO_LM_EVAL_TASKS)."
        ) from error
    if not results:
        raise NotComputedError(f"lm-evaluation-harness gave no result for {', '.join(task.tasks)}.")
    return results


def _counted(harness_model: Any, bar: Progress | None) -> Any:
    """The harness' class of models, which counts the texts that go through the model."""
    if bar is None:
        return harness_model
    advance = bar.advance

    class Counted(harness_model):  # type: ignore[misc]
        def _model_call(self, inps: Any, *rest: Any, **settings: Any) -> Any:
            advance(len(inps))
            return super()._model_call(inps, *rest, **settings)

        def _model_generate(self, context: Any, *rest: Any, **settings: Any) -> Any:
            advance(len(context))
            return super()._model_generate(context, *rest, **settings)

    return Counted


def metrics_of(results: Mapping[str, Any]) -> dict[str, Found]:
    """Every metric of a harness result, named ``TASK.METRIC`` (``TASK.METRIC.FILTER`` for a filter of its own)."""
    found: dict[str, Found] = {}
    for task, values in results["results"].items():
        directions = results.get("higher_is_better", {}).get(task) or {}
        samples = results.get("samples", {}).get(task) or []
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if metric in _NO_METRICS or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            chosen = [line for line in samples if line.get("filter", "none") == (filtered or "none")]
            error = values.get(f"{metric}_stderr,{filtered}")
            name = f"{task}.{metric}" + ("" if filtered in {"", "none"} else f".{filtered}")
            statistic = _mean_of(chosen, metric, float(value))
            found[name] = Found(
                float(value),
                float(error) if isinstance(error, int | float) and math.isfinite(error) else None,
                len(chosen) or int(results.get("n-samples", {}).get(task, {}).get("effective", 0)),
                directions.get(metric),
                statistic,
            )
    return found


def _mean_of(samples: Sequence[Mapping[str, Any]], metric: str, value: float) -> SumStatistic | None:
    """The metric as a mean over the documents, where that is what the harness made of it."""
    values = [line.get(metric) for line in samples]
    if not values or not all(isinstance(item, int | float) for item in values):
        return None
    numbers = [float(item) for item in values if item is not None]
    return mean_statistic(numbers) if math.isclose(sum(numbers) / len(numbers), value, rel_tol=1e-6, abs_tol=1e-9) else None


def examples_of(results: Mapping[str, Any], label: str) -> list[dict[str, Any]]:
    """One line per document and metric that has a number."""
    lines = []
    for task, samples in (results.get("samples") or {}).items():
        for sample in samples:
            for metric in sample.get("metrics", []):
                if isinstance(sample.get(metric), int | float):
                    line = {"id": f"{task}.{sample['doc_id']}", "model": label, "metric": metric, "filter": sample.get("filter")}
                    lines.append({**line, "value": float(sample[metric]), "target": str(sample.get("target"))})
    return lines


def _result(
    context: TaskContext[LmEvalTask], found: Mapping[str, Mapping[str, Found]], lines: list[dict[str, Any]]
) -> TaskResult:
    """Scores and differences of what the harness found."""
    metrics = {name: _metric(name, item, context.task) for name, item in found["tuned"].items()}
    scores = {
        label: [_score(metrics[name], values[name], context) for name in metrics if name in values]
        for label, values in found.items()
    }
    differences = []
    if context.has_base:
        differences = [_difference(metrics[name], found["tuned"][name], found["base"][name], context) for name in metrics]
    return TaskResult(
        scores=scores,
        differences=differences,
        examples=pd.DataFrame(lines),
        notes=[f"Measured by lm-evaluation-harness {version('lm_eval')} itself; the studio adds intervals and the comparison."],
        limits=["What a task of lm-evaluation-harness shows stands in its own documentation."],
        data={"name": "lm-evaluation-harness", "version": version("lm_eval"), "tasks": list(context.task.tasks)},
        rows=max((item.documents for item in found["tuned"].values()), default=0),
        title="lm-evaluation-harness: " + ", ".join(context.task.tasks),
    )


def _metric(name: str, found: Found, task: LmEvalTask) -> Metric:
    """What the report says of a metric of the harness."""
    better: Better = "neither" if found.higher_is_better is None else "higher" if found.higher_is_better else "lower"
    shots = "the task's own number of" if task.fewshot is None else str(task.fewshot)
    how = "in the chat template" if task.chat_template else "as plain text"
    outcomes = found.statistic is not None and set(found.statistic.each) <= {0.0, 1.0}
    return bias_metric(
        name,
        name,
        unit="as the task defines it",
        scale=SHARE if outcomes else ANY,
        better=better,
        explains=f"Task and metric of lm-evaluation-harness, asked {how} with {shots} worked examples.",
        made_with=lambda: f"lm-evaluation-harness {version('lm_eval')}, transformers {version('transformers')}",
    )


def _score(metric: Metric, found: Found, context: TaskContext[LmEvalTask]) -> Score:
    """The harness' value; the interval by bootstrap over documents, or from its own standard error where it is no mean."""
    if found.statistic is not None:
        return score(metric, found.statistic, resamples=context.resamples, seed=context.seed)
    half = 1.96 * found.error if found.error is not None and found.documents > 1 else None
    finite = math.isfinite(found.value)
    return Score(
        metric=metric.key,
        value=found.value if finite else None,
        unit=metric.unit,
        better=metric.better,
        n=found.documents,
        low=found.value - half if half is not None and finite else None,
        high=found.value + half if half is not None and finite else None,
        made_with=metric.made_with(),
        title=metric.title,
        explains=metric.explains,
        reason=None if finite else "the harness gave no number",
        note=None if half is None else "interval from the harness' standard error",
    )


def _difference(metric: Metric, tuned: Found, base: Found, context: TaskContext[LmEvalTask]) -> Difference:
    """Tuned minus base over the same documents; without values per document there is nothing to pair."""
    if tuned.statistic is not None and base.statistic is not None and tuned.documents == base.documents:
        return difference(metric, tuned.statistic, base.statistic, resamples=context.resamples, seed=context.seed)
    both = math.isfinite(tuned.value) and math.isfinite(base.value)
    return Difference(
        metric=metric.key,
        value=tuned.value - base.value if both else None,
        n=min(tuned.documents, base.documents),
        method="no paired interval: the harness gives no number per document for this metric",
        verdict=NOT_COMPUTED,
    )
