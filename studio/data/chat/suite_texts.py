"""What a suite asks, as far as it is here: its own prompts, rows of the Datasets it names, files of its benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from studio.core.content import find_content
from studio.core.errors import UserError
from studio.core.files import sha256_json
from studio.core.workspace import Workspace, read_dataset
from studio.data.chat.others import Compared, Other, find_other
from studio.data.memo import HashMemo
from studio.schema.bias import BenchmarkTask, CounterfactualTask, LmEvalTask
from studio.schema.duplicate_steps import DecontaminateStep, ExactDuplicatesStep, NearDuplicatesStep
from studio.schema.general import GeneralTask
from studio.schema.loading import load_yaml
from studio.schema.recipe import ChatRecipe
from studio.schema.suite import Suite
from studio.schema.tasks import SafetyTask, SuiteData, TaskSettings


def find_others(recipe: ChatRecipe, workspace: Workspace, beside: Path, memo: HashMemo) -> dict[int, Compared]:
    """What each step of a recipe compares with, by the number of the step; only steps that do are in it.

    Raises:
        UserError, DataError, ConfigError: something that is named is not there or cannot be read.
    """
    found: dict[int, Compared] = {}
    for number, step in enumerate(recipe.steps):
        if isinstance(step, ExactDuplicatesStep | NearDuplicatesStep) and step.against is not None:
            found[number] = Compared((find_other(step.against, step.step, workspace, beside, memo),))
        elif isinstance(step, DecontaminateStep):
            parts = [find_suite(name, workspace, beside, memo) for name in step.suites]
            named = [find_other(place, step.step, workspace, beside, memo) for place in step.against]
            held_out = [replace(one, splits=_held_out(one)) for one in named]
            others = [other for asked, _ in parts for other in asked] + held_out
            found[number] = Compared(tuple(others), tuple(line for _, missing in parts for line in missing))
    return found


def _held_out(other: Other) -> tuple[str, ...]:
    """The splits of a Dataset that models are measured on.

    Raises:
        UserError: it has none.
    """
    if other.dataset is None:
        return ()
    splits = tuple(split for split in read_dataset(other.dataset).splits if split != "train")
    if not splits:
        raise UserError(
            f"the dataset {other.name} has a train split only, and decontaminate compares with validation and test rows. Take it "
            "out of against, or use near_duplicates with against."
        )
    return splits


def find_suite(name: str, workspace: Workspace, beside: Path, memo: HashMemo) -> tuple[list[Other], list[str]]:
    """What a suite asks, and a line for each of its tasks whose rows are not here.

    Raises:
        UserError: there is no such suite, what it names is not there, or none of its rows are here.
        ConfigError: a mistake in its file.
    """
    suite = load_yaml(find_content("evals", name), Suite)
    found: list[Other] = []
    missing: list[str] = []
    lines: list[tuple[str, str]] = []
    for task in suite.all_tasks():
        if isinstance(task, SafetyTask):
            lines += [(f"{task.key}.prompts.{number}", asked.prompt) for number, asked in enumerate(task.prompts)]
        if isinstance(task, GeneralTask):
            lines += [(f"{task.key}.questions.{number}", asked.ask) for number, asked in enumerate(task.questions)]
            lines += [(f"{task.key}.texts.{number}", text) for number, text in enumerate(task.texts)]
        for place, kept in _named(task, workspace):
            found.append(replace(find_other(place, f"decontaminate (suite {name})", workspace, beside, memo), splits=kept))
        reason = _not_here(task, workspace)
        if reason:
            missing.append(f"suite {name}: {reason}")
    if lines:
        found.insert(0, Other(f"suite {suite.name}", sha256_json(lines), lines=tuple(lines)))
    if not found:
        reasons = [line.partition(": ")[2] for line in missing]
        more = f"; and {len(reasons) - 2} more" if len(reasons) > 2 else ""
        why = "; ".join(reasons[:2]) + more or "its tasks ask the test split of the dataset itself"
        raise UserError(
            f"the suite {name} ships no rows to compare with: {why}. Take it out of suites, or name its files under against."
        )
    return found, missing


def _named(task: TaskSettings, workspace: Workspace) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Places of a task's rows, each with the splits that count."""
    data = getattr(task, "data", None)
    if isinstance(data, SuiteData) and data.dataset is not None:
        yield data.dataset, (data.split,)
    if isinstance(task, BenchmarkTask):
        folder = task.folder or workspace.benchmark_folder(str(getattr(task, "type", "")))
        if folder is not None:
            yield str(folder), ()
    if isinstance(task, CounterfactualTask) and task.prompts is not None:
        yield task.prompts, ()


def _not_here(task: TaskSettings, workspace: Workspace) -> str | None:
    """Why rows that a task asks are not compared; None where all are."""
    kind = str(getattr(task, "type", ""))
    if isinstance(task, BenchmarkTask) and not task.folder and workspace.benchmark_folder(kind) is None:
        return f"the files of {kind} are not here (put them into {workspace.root / 'benchmarks' / kind})"
    if isinstance(task, LmEvalTask):
        return "the rows of lm-evaluation-harness are not here (name their files under against)"
    if isinstance(task, CounterfactualTask):
        return "prompts with slots of the task counterfactual stand for many texts and are not compared"
    return None
