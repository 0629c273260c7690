"""``studio quickstart --task …``: sorting, recognising, forecasting, grouping; from data to a measured model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.cli import output
from studio.cli import quickstart_told as told
from studio.core.translation import later, t

if TYPE_CHECKING:
    from studio.core.records import ReportRecord


@dataclass(frozen=True)
class Road:
    """What a task leads through.

    about: one sentence. recipe, preset, suite: by name. settings: of the preset; evaluation: of the suite. shown: metrics of the
    table. next: further commands (``RUN`` stands for the run), and what each is for.
    """

    about: str
    recipe: str
    preset: str
    suite: str
    shown: tuple[str, ...]
    settings: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()
    next: tuple[tuple[str, str], ...] = ()


_LABELS = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "ece")
# Nothing was tuned: the base is what can be said without looking at a row.
_CALLED = {"base": later("baseline"), "tuned": later("model")}
ROADS = {
    "text": Road(
        later("Questions on building rules, sorted into 39 categories"),
        "chat/construction-faq-en",
        "classify/logistic",
        "classification",
        _LABELS,
        settings=("target=category",),
        next=(("predict RUN --text 'How high must a railing be?'", later("sort a question of yours")),),
    ),
    "pictures": Road(
        later("Emoji, told apart by their kind"),
        "image/openmoji-kinds",
        "classify/mobilenet-frozen",
        "classification",
        _LABELS,
    ),
    "table": Road(
        later("Loans, good or bad, with sex and age kept aside for fairness"),
        "table/german-credit",
        "classify/logistic",
        "classification",
        _LABELS,
        next=(("eval fairness --model RUN --set tasks.0.group=sex --set tasks.0.positive=1", later("gaps between groups")),),
    ),
    "series": Road(
        later("Employment in American industries, forecast for the coming months"),
        "series/employment",
        "forecast/theta",
        "forecast",
        ("mase", "rmse", "smape", "coverage_80", "coverage_95"),
    ),
    "groups": Road(
        later("Penguins, grouped by their measures; how many species there are is not said"),
        "table/penguins",
        "cluster/kmeans",
        "clustering",
        ("silhouette", "stability", "ari", "ami"),
        evaluation=("tasks.0.labels=species",),
    ),
}


def quickstart_task(name: str) -> None:
    """Build a Dataset, plan, train, measure beside the baseline, and say how to go on."""
    road, started = ROADS[name], time.monotonic()
    workspace = output.open_workspace()
    workspace.check_writable()
    output.note(t(road.about))
    _heading(1, t("Data"))
    dataset = _build(road.recipe)
    _heading(2, t("Train"))
    run = _train(road, dataset, name)
    _heading(3, t("Measure it beside the baseline, on rows that were held out"))
    report, record = _evaluate(road, run)
    seconds = time.monotonic() - started
    if output.json_wanted():
        facts = {
            "run": str(run),
            "dataset_folder": str(dataset),
            "report": str(report / "report.html"),
            "seconds": round(seconds, 1),
        }
        output.emit_json({**facts, "task": name, **record.model_dump(mode="json")})
        return
    _show(road, run, report, record, seconds)


def _heading(number: int, text: str) -> None:
    """Where we are, out of three."""
    output.note(f"\n[{number}/3] {text}")


def _build(recipe: str) -> Path:
    """Build a Dataset; it is found again the second time."""
    from studio.core.content import find_content
    from studio.data.kinds import load_recipe

    path = find_content("data_recipes", recipe)
    kind, settings = load_recipe(path)
    workspace = output.open_workspace()
    built = kind.build(settings, workspace, name=path.stem, beside=path.parent, tell=lambda _: None)
    record = built.record
    sizes = ", ".join(f"{rows} {split}" for split, rows in record.splits.items())
    counts = {"name": record.name, "licence": record.sources[0].licence, "read": record.rows_read, "removed": record.rows_removed}
    output.note(t("{name} ({licence}): {read} read, {removed} removed; {sizes}", sizes=sizes, **counts))
    return built.folder


def _train(road: Road, dataset: Path, name: str) -> Path:
    """Train one run."""
    from studio.cli.train import new_run, run_training

    workspace = output.open_workspace()
    run = new_run(workspace, road.preset, data=str(dataset), model=None, settings=road.settings, name=f"quickstart-{name}")
    result: dict[str, Any] = run_training(run, resume=False).result
    output.note(t("{preset}: {time}", preset=road.preset, time=output.duration_text(result.get("training_seconds", 0.0))))
    return run


def _evaluate(road: Road, run: Path) -> tuple[Path, ReportRecord]:
    """Measure the run and its baseline with the suite of its kind."""
    from studio.evals.runner import evaluate_run
    from studio.evals.suites import load_suite

    return evaluate_run(run, load_suite(road.suite, list(road.evaluation)), progress=True)


def _show(road: Road, run: Path, report: Path, record: ReportRecord, seconds: float) -> None:
    """The end: the table, where the report is, and what to try next."""
    output.say("\n" + t("The model against its baseline on {rows} held-out rows", rows=record.dataset["rows"]) + "\n")
    told.scores(record, road.shown, _CALLED)
    output.say("\n" + t("Done in {time}. Report: {page}", time=output.duration_text(seconds), page=report / "report.html"))
    name = f"{run.parent.name}/{run.name}"
    told.try_next({command.replace("RUN", name): t(meaning) for command, meaning in (*road.next, *_every(road, run))})


def _every(road: Road, run: Path) -> list[tuple[str, str]]:
    """Commands that every road ends with."""
    from studio.core.workspace import read_run
    from studio.train.kinds import run_kind

    record = read_run(run)
    app = run_kind(record).app
    shown = [(f"app {app} RUN", later("ask it in the browser, and see why it answers so"))] if app else []
    settings = " ".join(f"--set {setting}" for setting in road.settings)
    search = f"search {road.preset} --data {record.dataset['name']} {settings}".rstrip()
    return [*shown, (search, later("let the settings be searched"))]
