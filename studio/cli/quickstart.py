"""``studio quickstart``: corpus to measured chatbot on the starter model, the same functions as the single commands."""

from __future__ import annotations

import shutil
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from studio.cli import output
from studio.cli import quickstart_told as told
from studio.core.translation import t

if TYPE_CHECKING:
    from studio.core.records import ReportRecord
    from studio.train.chat.plan import Plan

RECIPE, PRESET, SUITE = "chat/construction-faq-en", "chat/quickstart", "chatbot"
SHOWN = ("perplexity", "bleu", "chrf", "rougeL")
# Enough of everything to show that it works: for CI and for the impatient.
SHORT_TRAINING = ("max_steps=8", "eval_every=4")
SHORT_EVALUATION = ("limit=8", "generation.max_new_tokens=32")


def quickstart(
    short: Annotated[bool, typer.Option("--short", help="Few steps: shows that it works, not what it can.")] = False,
    images: Annotated[bool, typer.Option("--images", help="Pictures: a small model from scratch, then tuned.")] = False,
    task: Annotated[
        str | None, typer.Option("--task", help="Predict instead: text, pictures, table, series or groups (minutes, real data).")
    ] = None,
) -> None:
    """The whole loop on the starter model and corpus: fetch, build, plan, tune, evaluate, compare."""
    if task is not None:
        _predict(task, short=short, images=images)
        return
    if images:
        from studio.cli.quickstart_images import quickstart_images

        quickstart_images(short=short)
        return
    started = time.monotonic()
    workspace = output.open_workspace()
    workspace.check_writable()

    _heading(1, t("Base model and corpus"))
    dataset = _build_dataset()
    _heading(2, t("Plan"))
    planned = _plan(dataset, short)
    _heading(3, t("Tune"))
    run = _train(dataset, planned, short)
    _heading(4, t("Evaluate base and tuned on held-out questions"))
    report, record = _evaluate(run, short)

    seconds = time.monotonic() - started
    if output.json_wanted():
        output.emit_json(
            {
                "run": str(run),
                "dataset_folder": str(dataset),
                "report": str(report / "report.html"),
                "planned_peak_bytes": planned.peak,
                "seconds": round(seconds, 1),
                "short": short,
                **record.model_dump(mode="json"),
            }
        )
        return
    _show(run, report, record, seconds, short)


def _predict(task: str, *, short: bool, images: bool) -> None:
    """One of the roads to a predictor.

    Raises:
        UserError: there is no such task, or it was asked for together with another quickstart.
    """
    from studio.cli.quickstart_predictors import ROADS, quickstart_task
    from studio.core.errors import UserError, nearest

    if task not in ROADS:
        raise UserError(f"--task {task}: there is no such quickstart.{nearest(task, ROADS)} Allowed: {', '.join(ROADS)}.")
    if short or images:
        raise UserError("--task leads another road than --images, and has no short form. Give it alone.")
    quickstart_task(task)


def _heading(number: int, text: str) -> None:
    """Where we are, out of four."""
    output.note(f"\n[{number}/4] {text}")


def _build_dataset() -> Path:
    """Fetch the starter model and build the starter corpus; both are found again the second time."""
    from studio.core.content import find_content
    from studio.data.chat.build import build_chat_dataset
    from studio.models.bases import resolve_base
    from studio.schema.loading import load_yaml
    from studio.schema.recipe import ChatRecipe

    base = resolve_base("smollm2-135m-instruct")
    output.note(t("base model {name} ({licence}), sha256 {hash}…", name=base.name, licence=base.licence, hash=base.sha256[:12]))
    path = find_content("data_recipes", RECIPE)
    built = build_chat_dataset(load_yaml(path, ChatRecipe), output.open_workspace(), name=path.stem)
    record = built.record
    sizes = ", ".join(f"{rows} {split}" for split, rows in record.splits.items())
    counts = {"name": record.name, "licence": record.sources[0].licence, "rows": record.rows_read, "removed": record.rows_removed}
    output.note(t("corpus {name} ({licence}): {rows} rows read, {removed} removed", **counts))
    output.note(t("split without leaks into {sizes}; why rows went: {page}", sizes=sizes, page=built.folder / "report.html"))
    return built.folder


def _plan(dataset: Path, short: bool) -> Plan:
    """Say what the training will take, before it starts; refuse when it cannot fit."""
    from studio.models.device import pick_device
    from studio.schema.adapter import ChatAdapter
    from studio.schema.loading import load_yaml
    from studio.train.capacity import free_disk, memory_of
    from studio.train.chat.plan import check_fits
    from studio.train.chat.plan import plan as make_plan
    from studio.train.chat.planning import read_rows
    from studio.train.opening import Asked, find_preset

    workspace = output.open_workspace()
    asked = Asked(find_preset(PRESET, workspace), PRESET, str(dataset), settings=SHORT_TRAINING if short else ())
    preset = load_yaml(asked.preset, ChatAdapter, asked.overrides)
    lengths, targets, *_ = read_rows(preset, workspace)
    device: Literal["cpu", "cuda"] = "cuda" if pick_device().type == "cuda" else "cpu"
    planned = make_plan(
        preset,
        lengths=lengths,
        supervised=targets,
        device=device,
        memory=memory_of(device),
        free_disk=free_disk(workspace),
    )
    check_fits(planned)
    told.plan(planned.trained_parameters, planned.dtype, device, planned.steps)
    told.memory(planned.peak, planned.memory, planned.disk["total"])
    fits = t("stock vLLM will load the adapter")
    output.note(fits if not planned.vllm else t("stock vLLM: {reason}", reason=planned.vllm[0]))
    return planned


def _train(dataset: Path, planned: Plan, short: bool) -> Path:
    """Tune with the quickstart's preset."""
    from studio.cli.train import new_run, run_training
    from studio.train.record import change_record

    settings = list(SHORT_TRAINING) if short else []
    run = new_run(output.open_workspace(), PRESET, data=str(dataset), model=None, settings=settings, name="quickstart")
    change_record(run, plan={"peak_bytes": planned.peak, "parts": planned.parts})
    run_training(run, resume=False)
    return run


def _evaluate(run: Path, short: bool) -> tuple[Path, ReportRecord]:
    """Measure base and tuned with the chatbot suite."""
    from studio.evals.runner import evaluate_run
    from studio.evals.suites import load_suite

    return evaluate_run(run, load_suite(SUITE, list(SHORT_EVALUATION) if short else []), progress=True)


def _show(run: Path, report: Path, record: ReportRecord, seconds: float, short: bool) -> None:
    """The end: the table, three questions answered twice, where the report is, and what to try next."""
    output.say("\n" + t("Base against tuned on {rows} held-out questions", rows=record.dataset["rows"]) + "\n")
    told.scores(record, SHOWN)
    for example in _examples(report):
        _side_by_side(example)
    if short:
        text = "This was the short form, with too few steps to learn much. The whole one: {command}"
        output.say("\n" + t(text, command="studio quickstart"))
    name = f"{run.parent.name}/{run.name}"
    took = output.duration_text(seconds)
    output.say("\n" + t("Done in {time}. Report: {page}", time=took, page=report / "report.html"))
    told.try_next(
        {
            f"chat {name}": t("talk to it; /base asks the base the same"),
            f"app chat {name}": t("the same in the browser, with thumbs and corrections"),
            f"serve {name}": t("an OpenAI-compatible endpoint on vLLM"),
            "init my-bot": t("the same with your own data"),
            "app": t("all of it in the browser"),
        }
    )


def _examples(report: Path) -> list[dict[str, Any]]:
    """The first three held-out questions, not the three best."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(report / "examples.parquet").slice(0, 3).to_pylist()
    return rows


def _side_by_side(example: dict[str, Any]) -> None:
    """One question with the reference, and below it both answers in two columns."""
    width = min(shutil.get_terminal_size().columns, 120)
    half = (width - 3) // 2
    question = next(turn["content"] for turn in reversed(example["prompt"]) if turn["role"] == "user")
    reference = textwrap.shorten(example["reference"], 3 * width, placeholder=" …")
    output.say("\n" + textwrap.fill(t("Question: {text}", text=question), width))
    output.say(textwrap.fill(t("Reference: {text}", text=reference), width))
    columns = [
        [heading, "-" * half, *textwrap.wrap(textwrap.shorten(answer or t("(empty)"), 8 * half, placeholder=" …"), half)]
        for heading, answer in ((t("Base"), example["base_answer"]), (t("Tuned"), example["tuned_answer"]))
    ]
    for line in range(max(len(column) for column in columns)):
        left, right = (column[line] if line < len(column) else "" for column in columns)
        output.say(f"{left}{' ' * (half - output.screen_width(left))} | {right}".rstrip())
