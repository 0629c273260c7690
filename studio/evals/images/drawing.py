"""Having the models draw: the run, and what it is compared with, from the same prompts and the same noise."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.core.records import RunRecord
from studio.core.workspace import read_run
from studio.evals.images.sampling import Album, Order, make_pictures
from studio.evals.task import NotComputedError, TaskContext
from studio.schema.image_scores import ImagesTask

if TYPE_CHECKING:
    from studio.adapters.images.loading import LoadedImageRun


@dataclass
class Gallery:
    """The pictures of the models that were measured, with what they are called. size: width and height of the tuned model's."""

    albums: dict[str, Album]
    about: dict[str, dict[str, Any]]
    size: tuple[int, int]
    notes: list[str]


def draw(context: TaskContext[ImagesTask], task: ImagesTask, orders: Sequence[Order], folder: Path) -> Gallery:
    """Have every model draw the same prompts from the same noise, one model after the other.

    Raises:
        NotComputedError: the model that is measured makes no pictures.
    """
    albums: dict[str, Album] = {}
    about: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    told: list[str] = []
    opened = open_samplers(context, notes)
    try:
        for label, loaded, described in opened:
            if label == "tuned" or described["kind"] == "run":
                notes += [f"{label}, while it was trained: {warning}" for warning in loaded.record.result.get("warnings") or []]
            asked = as_understood(loaded.labels, orders)
            if asked != list(orders):
                notes.append(f"{label}: told the label of each prompt, which is all that it understands.")
            unknown = loaded.unknown_words([order.prompt for order in asked])
            if unknown and unknown != told:
                told = unknown
                notes.append(
                    f"{label}: {len(unknown)} words of the prompts stood in no caption it was trained on, so it can only guess: "
                    f"{', '.join(unknown[:12])}{' …' if len(unknown) > 12 else ''}."
                )
            with context.bar(f"{label}: pictures", len(orders)) as advance:
                albums[label] = make_pictures(
                    loaded,
                    asked,
                    folder / label,
                    steps=task.steps,
                    guidance=task.guidance,
                    batch_size=task.batch_size,
                    advance=advance,
                )
            guidance = loaded.guidance if task.guidance is None else task.guidance
            about[label] = {**described, "steps": task.steps or loaded.steps, "guidance": guidance}
    finally:
        # Leaves the state in which the adapter is off, also after an error.
        opened.close()
    return Gallery(albums, about, albums["tuned"].open(0).size, notes)


def as_understood(labels: Sequence[str], orders: Sequence[Order]) -> list[Order]:
    """The orders with labels in place of prompts for a VAE or GAN, which knows of captions only those it was trained on."""
    return [replace(order, prompt=order.label) if order.label and order.label in labels else order for order in orders]


def open_samplers(
    context: TaskContext[ImagesTask], notes: list[str]
) -> Generator[tuple[str, LoadedImageRun, dict[str, Any]], None, None]:
    """Each model in turn with its label and description; the own base is the run with its adapter off.

    Args:
        notes: gets a sentence where there is nothing to compare with.
    """
    from studio.adapters.images.loading import KINDS, load_image_run

    if context.run is None or context.run_folder is None or context.run.kind not in KINDS:
        raise NotComputedError("the model is not a run that makes pictures. Give one: --model RUN")
    loaded = load_image_run(context.run_folder)
    yield "tuned", loaded, _about(loaded.record, context.run_folder)
    target = context.targets.get("base")
    if target is None:
        return
    base = loaded.record.base
    if target.run is not None and read_run(target.run).kind in KINDS:
        other = load_image_run(target.run)
        yield "base", other, _about(other.record, target.run)
    elif not target.own_base:
        notes.append(f"{target.name} is no run that makes pictures, so there is nothing to compare with.")
    elif base.get("source") == "scratch":
        notes.append(
            "The run was trained from scratch and has no base to compare it with; --baseline RUN compares with another run."
        )
    else:
        with loaded.base():
            described = {
                "kind": "base",
                "name": _short(str(base["name"])),
                "path": base.get("path"),
                "base_sha256": base.get("sha256"),
            }
            yield "base", loaded, described


def _short(name: str) -> str:
    """A base as people say it: of a path the last two parts, which name a run."""
    return "/".join(Path(name).parts[-2:]) if Path(name).is_absolute() else name


def _about(record: RunRecord, folder: Path) -> dict[str, Any]:
    """A run as the report names it."""
    return {
        "kind": "run",
        "name": record.name,
        "id": record.id,
        "path": str(folder),
        "method": record.method,
        "family": record.kind,
        "base": _short(str(record.base.get("name") or "nothing (from scratch)")),
        "base_sha256": record.base.get("sha256"),
    }
