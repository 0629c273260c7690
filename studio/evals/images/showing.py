"""Choosing what of the pictures goes on the page: marks, pairs before and after, grids, nearest training pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from studio.core.records import Score
from studio.evals.images.corpus import Corpus
from studio.evals.images.drawing import Gallery
from studio.evals.images.measure import Findings
from studio.evals.images.page import (
    Grid,
    Neighbour,
    Pair,
    grids_panel,
    marks_panel,
    neighbours_panel,
    pairs_panel,
)
from studio.evals.images.sampling import Order, RealPictures
from studio.evals.metrics.base import Metric
from studio.evals.task import Panel
from studio.schema.image_scores import ImagesTask

# Pictures of one grid; more say no more on a page, and all lie beside it as files.
_IN_A_GRID = 60


@dataclass(frozen=True)
class Shown:
    """All that the page is made from. scores, findings: by label, the marks among them."""

    task: ImagesTask
    orders: Sequence[Order]
    gallery: Gallery
    corpus: Corpus
    metrics: Sequence[Metric]
    scores: Mapping[str, Sequence[Score]]
    findings: Mapping[str, Findings]


def panels_of(shown: Shown) -> list[Panel]:
    """The blocks of the page, in order."""
    by_metric = {label: {score.metric: score for score in scores} for label, scores in shown.scores.items()}
    counts = {label: _count(scores) for label, scores in shown.scores.items()}
    names = [(metric.key, metric.title) for metric in shown.metrics]
    panels = [Panel("Between noise and real pictures", marks_panel(names, by_metric, counts))]
    title = "Before and after" if "base" in shown.gallery.albums else "Prompt by prompt"
    panels.append(Panel(title, pairs_panel(_pairs(shown))))
    panels.append(Panel("Samples", grids_panel(_grids(shown))))
    if shown.findings["tuned"].by_pixels is not None:
        panels.append(Panel("Nearest training pictures", _neighbours(shown)))
    return panels


def _count(scores: Sequence[Score]) -> str:
    """How many pictures stand behind a column: ``256``, or ``10 to 73`` where the measures take different ones."""
    counts = {score.n for score in scores if score.value is not None}
    return "0" if not counts else str(min(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _pairs(shown: Shown) -> list[Pair]:
    """The first pictures of as many different prompts as the page shows."""
    tuned, base = shown.gallery.albums["tuned"], shown.gallery.albums.get("base")
    first: dict[str, int] = {}
    for index, order in enumerate(shown.orders):
        first.setdefault(order.prompt, index)
    wanted = max(1, 2 * shown.task.examples_shown)
    return [
        Pair(prompt, f"seed {shown.orders[index].seed}", base.open(index) if base else None, tuned.open(index))
        for prompt, index in list(first.items())[:wanted]
    ]


def _grids(shown: Shown) -> list[Grid]:
    """The first pictures of each model, and as many held-out real ones."""
    count = min(_IN_A_GRID, len(shown.orders))
    grids = [
        Grid(label.capitalize(), [album.open(index) for index in range(count)])
        for label, album in sorted(shown.gallery.albums.items(), key=lambda item: item[0] != "base")
    ]
    rows = shown.corpus.held_out or shown.corpus.reference
    real = RealPictures(shown.corpus.folder, rows[:count], shown.gallery.size)
    name = "Real, held out" if shown.corpus.held_out else "Real, from the reference"
    return [*grids, Grid(name, list(real))]


def _neighbours(shown: Shown) -> Markup:
    """The pictures nearest to a training picture, by features where there are any, each training picture once."""
    found = shown.findings["tuned"]
    assert found.by_pixels is not None
    leading = found.by_features or found.by_pixels
    training = RealPictures(shown.corpus.folder, shown.corpus.training, shown.gallery.size)
    chosen: list[int] = []
    for index in np.argsort(leading.distances, kind="stable").tolist():
        if all(leading.places[index] != leading.places[other] for other in chosen):
            chosen.append(index)
        if len(chosen) > shown.task.examples_shown:
            break
    album, copied = shown.gallery.albums["tuned"], leading.copied
    neighbours = []
    for index in chosen:
        features = found.by_features
        neighbours.append(
            Neighbour(
                shown.orders[index].prompt,
                album.open(index),
                training.open(int(features.places[index])) if features else None,
                training.open(int(found.by_pixels.places[index])),
                float(features.distances[index]) if features else None,
                float(found.by_pixels.distances[index]),
                bool(copied[index]),
                shown.corpus.training[int(leading.places[index])].caption,
            )
        )
    return neighbours_panel(
        neighbours,
        copied=int(copied.sum()),
        count=len(album),
        threshold=found.by_features.threshold if found.by_features else None,
        pixel_threshold=found.by_pixels.threshold,
    )
