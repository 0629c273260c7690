"""The upper mark: real pictures treated as if a model had made them, real against real.

Legend: n pictures that the models made, h held-out pictures, r all real pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.evals.images.measure import Findings, Measured, Yardstick, join, measure
from studio.schema.image_scores import ImagesTask

# Held-out pictures from which on they alone are the mark; fewer say too little about a cloud of features.
ENOUGH = 100
_FROM_HELD_OUT = ("label_accuracy", "clip_score", "copied", "copied_pixels", "nearness")


@dataclass(frozen=True)
class RealMark:
    """Findings on real pictures, and in words which pictures they are."""

    findings: Findings
    note: str


def real_mark(yardstick: Yardstick, task: ImagesTask, made: int, seed: int) -> RealMark | None:
    """Measure real pictures as a model's pictures are measured; None without held-out pictures.

    Where there are enough of them, held-out pictures stand against the reference, as many as the models made. A small corpus has
    too few: there one half of all its real pictures stands against the other half, the Inception Score takes all of them, and
    what asks whether a picture was seen in training is left to the held-out ones.

    Args:
        made: n, pictures that each model made.
    """
    held_out = yardstick.held_out
    if not len(held_out):
        return None
    generator = np.random.default_rng(seed)
    if len(held_out) >= min(made, ENOUGH):
        sight = held_out.take(generator.permutation(len(held_out))[:made])
        found = measure(sight, yardstick, _fitting(task, len(sight), len(yardstick.reference), made))
        return RealMark(found, f"{len(sight)} held-out pictures")
    everything = join(yardstick.training, held_out)
    order = generator.permutation(len(everything))
    half = len(everything) // 2
    first, second = everything.take(order[:half]), everything.take(order[half:])
    halves = Yardstick(second, yardstick.training, held_out, yardstick.labels)
    measured: dict[str, Measured] = dict(measure(first, halves, _fitting(task, half, len(second), made)).measured)
    whole = measure(everything, halves, _fitting(task, len(everything), len(second), made, metrics=["inception_score"]))
    fresh = measure(held_out, yardstick, _fitting(task, len(held_out), len(second), made, metrics=list(_FROM_HELD_OUT)))
    measured |= {name: value for name, value in {**whole.measured, **fresh.measured}.items() if name in measured}
    return RealMark(
        Findings(measured, fresh.by_features, fresh.by_pixels),
        f"{half} real pictures against {len(second)} others, because only {len(held_out)} were held out; the Inception Score of "
        f"all {len(everything)}; memorisation and label accuracy of the {len(held_out)}",
    )


def _fitting(task: ImagesTask, count: int, others: int, made: int, metrics: list[str] | None = None) -> ImagesTask:
    """The task for fewer pictures: as many per split as the models have, and KID subsets that can be drawn.

    The Inception Score cannot exceed the pictures of a split, and KID estimates the same with any size of subset.
    """
    return task.model_copy(
        update={
            "splits": min(count, max(1, round(task.splits * count / made))),
            "kid_subset_size": min(task.kid_subset_size, count, others),
            **({"metrics": metrics} if metrics is not None else {}),
        }
    )
