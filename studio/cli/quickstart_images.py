"""``studio quickstart --images``: pictures to a measured image model, from nothing, the same functions as the single commands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.cli import output
from studio.cli import quickstart_told as told
from studio.core.translation import t

if TYPE_CHECKING:
    from studio.core.records import ReportRecord

BASE_RECIPE, TUNING_RECIPE = "image/openmoji-small", "image/openmoji-sweets"
BASE_PRESET, TUNING_PRESET, SUITE = "diffusion/pixel", "diffusion/pixel-lora", "images"
SHOWN = ("label_accuracy", "coverage", "inception_score_own", "inception_score", "fid_own", "fid", "copied")
# The captions that were tuned on: a set this small has no words to spare for captions of its own.
EVALUATION = ("tasks.0.prompts.split=train", "tasks.0.samples=64", "tasks.0.kid_subset_size=20")
# Enough of everything to show that it works: for CI and for the impatient.
SHORT_NETWORK = ("network.width=64", "network.depth=2", "network.heads=2", "network.channels=8")
SHORT_TRAINING = (
    "steps=12",
    "batch_size=8",
    "eval_every=6",
    "save_every=6",
    "sample_every=12",
    "sample.count=4",
    "sample.steps=4",
)
SHORT_EVALUATION = (
    "tasks.0.samples=16",
    "tasks.0.kid_subset_size=8",
    "tasks.0.classifier.epochs=1",
    "tasks.0.steps=4",
    "resamples=100",
)
_COMPARED = 12


def quickstart_images(*, short: bool) -> None:
    """Build two small sets of pictures, train a model on the first, tune it on the second, paint, measure."""
    started = time.monotonic()
    workspace = output.open_workspace()
    workspace.check_writable()
    _heading(1, t("Two sets of pictures"))
    first, second = _build(BASE_RECIPE), _build(TUNING_RECIPE)
    _heading(2, t("Plan"))
    _plan(first, short)
    _heading(3, t("Train a small model from scratch"))
    base = _train(BASE_PRESET, first, None, "quickstart-images", [*SHORT_NETWORK, *SHORT_TRAINING] if short else [])
    _heading(4, t("Tune it on things it has not seen"))
    tuned = _train(TUNING_PRESET, second, base, "quickstart-images-lora", list(SHORT_TRAINING) if short else [])
    grid = _before_and_after(tuned, second, short)
    _heading(5, t("Measure base and tuned"))
    report, record = _evaluate(tuned, short)
    seconds = time.monotonic() - started
    if output.json_wanted():
        output.emit_json(
            {
                "base_run": str(base),
                "run": str(tuned),
                "datasets": [str(first), str(second)],
                "before_and_after": str(grid),
                "report": str(report / "report.html"),
                "seconds": round(seconds, 1),
                "short": short,
                **record.model_dump(mode="json"),
            }
        )
        return
    _show(base, tuned, grid, report, record, seconds, short)


def _heading(number: int, text: str) -> None:
    """Where we are, out of five."""
    output.note(f"\n[{number}/5] {text}")


def _build(recipe_name: str) -> Path:
    """Build a Dataset of pictures; it is found again the second time."""
    from studio.core.content import find_content
    from studio.data.images.build import build_image_dataset
    from studio.schema.image_recipe import ImageRecipe
    from studio.schema.loading import load_yaml

    path = find_content("data_recipes", recipe_name)
    built = build_image_dataset(load_yaml(path, ImageRecipe), output.open_workspace(), name=path.stem)
    record = built.record
    sizes = ", ".join(f"{rows} {split}" for split, rows in record.splits.items())
    counts = {"name": record.name, "licence": record.sources[0].licence, "read": record.rows_read, "removed": record.rows_removed}
    output.note(t("{name} ({licence}): {read} read, {removed} removed; {sizes}", sizes=sizes, **counts))
    return built.folder


def _plan(dataset: Path, short: bool) -> None:
    """Say what the training will take, before it starts; refuse when it cannot fit."""
    from studio.models.device import pick_device
    from studio.train.capacity import free_disk, memory_of
    from studio.train.images.opening import read_image_preset
    from studio.train.images.plan import check_image_plan, plan_images
    from studio.train.opening import Asked, find_preset

    workspace = output.open_workspace()
    settings = [*SHORT_NETWORK, *SHORT_TRAINING] if short else []
    asked = Asked(find_preset(BASE_PRESET, workspace), BASE_PRESET, str(dataset), settings=settings)
    limit = memory_of("cuda" if pick_device().type == "cuda" else "cpu")
    planned = plan_images(read_image_preset(asked, workspace), None, memory=limit, free_disk=free_disk(workspace))
    check_image_plan(planned)
    told.plan(planned.trained_parameters, planned.dtype, planned.device, planned.steps)
    told.memory(planned.peak, planned.memory, planned.disk_bytes)


def _train(preset: str, dataset: Path, base: Path | None, name: str, settings: list[str]) -> Path:
    """Train one run."""
    from studio.cli.train import new_run, run_training

    workspace = output.open_workspace()
    model = str(base) if base else None
    run = new_run(workspace, preset, data=str(dataset), model=model, settings=settings, name=name)
    record = run_training(run, resume=False)
    result: dict[str, Any] = record.result
    took = output.duration_text(result["training_seconds"])
    figures = {"steps": result["steps"], "first": result["first_loss"], "last": result["final_loss"], "folder": run / "samples"}
    output.note(t("{steps} steps in {time}, loss {first:.3f} -> {last:.3f}; {folder}", time=took, **figures))
    return run


def _before_and_after(run: Path, dataset: Path, short: bool) -> Path:
    """The same captions and noise painted by the base (above) and by the tuned model (below), in one PNG."""
    from studio.adapters.images.loading import load_image_run
    from studio.data.images.rows import read_image_split
    from studio.models.images.grid import save_picture_grid

    loaded = load_image_run(run)
    captions = [row.caption for row in read_image_split(dataset, "train")][: 4 if short else _COMPARED]
    seeds, steps = list(range(len(captions))), 4 if short else None
    with loaded.base() as base:
        before = base.sample(captions, seeds, steps=steps)
    after = loaded.sample(captions, seeds, steps=steps)
    words = [*(f"base: {text}" for text in captions), *(f"tuned: {text}" for text in captions)]
    target = run / "samples" / "before-and-after.png"
    name = f"{run.parent.name}/{run.name}"
    save_picture_grid([*before, *after], words, target, model=name, columns=min(6, len(captions)))
    return target


def _evaluate(run: Path, short: bool) -> tuple[Path, ReportRecord]:
    """Score base and tuned with the suite for pictures."""
    from studio.evals.runner import evaluate_run
    from studio.evals.suites import load_suite

    settings = [*EVALUATION, *SHORT_EVALUATION] if short else list(EVALUATION)
    return evaluate_run(run, load_suite(SUITE, settings), progress=True)


def _show(base: Path, run: Path, grid: Path, report: Path, record: ReportRecord, seconds: float, short: bool) -> None:
    """The end: the table, where the pictures and the report are, and what to try next."""
    output.say("\n" + t("Base against tuned, painting the captions it was tuned on") + "\n")
    told.scores(record, SHOWN)
    text = "This was the short form, with too few steps to learn much. The whole one: {command}"
    learnt = t("A few dozen pictures are learnt by heart: what it paints is one of them or close to one; see the report.")
    output.say("\n" + (t(text, command="studio quickstart --images") if short else learnt))
    last = sorted((base / "samples").glob("step-*.png"))[-1]
    output.pairs([(t("from scratch"), last), (t("base and tuned"), grid), (t("report"), report / "report.html")])
    name, base_name = f"{run.parent.name}/{run.name}", f"{base.parent.name}/{base.name}"
    output.say("\n" + t("Done in {time}.", time=output.duration_text(seconds)))
    told.try_next(
        {
            f"app image {name}": t("paint in the browser, base and tuned side by side"),
            "data build image/openmoji-line": t("a style instead of things: line drawings"),
            f"train {TUNING_PRESET} --data openmoji-line --model {base_name}": t("and tune the base on it"),
        }
    )
