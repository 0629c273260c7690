"""What the reader of a report on pictures must know, and one line per picture for those who look closer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from studio.evals.images.corpus import Corpus
from studio.evals.images.drawing import Gallery
from studio.evals.images.measure import Findings, Sight
from studio.evals.images.reference import Eyes
from studio.evals.images.sampling import Order, file_name
from studio.schema.image_scores import ImagesTask

# Shares at which the report speaks up: five times what chance gives, and less than a third of the reference's variety.
_MANY_COPIES = 0.25
_LITTLE_VARIETY = 0.3


def remarks(
    task: ImagesTask, corpus: Corpus, orders: Sequence[Order], findings: Mapping[str, Findings], mark: str | None
) -> list[str]:
    """What the reader should know about these pictures.

    Args:
        mark: which real pictures are the upper mark.
    """
    notes = []
    if len(orders) < 100:
        notes.append(
            f"Only {len(orders)} pictures were made: Inception Score and FID from so few are rough, and FID is too high."
        )
    if not corpus.held_out:
        notes.append("The dataset has no held-out pictures, so there is no upper mark, and memorisation could not be judged.")
    elif mark is not None and len(corpus.held_out) < len(orders):
        notes.append(
            f"The upper mark is {mark}. The models made {len(orders)}: FID of fewer pictures is higher, and few held-out "
            "pictures say only roughly how near a fresh one lies."
        )
    copied = findings["tuned"].by_features
    if copied is not None and copied.copied.mean() > _MANY_COPIES:
        notes.append(
            f"{int(copied.copied.sum())} of {len(copied.copied)} pictures lie nearer to a training picture than 95% of held-out "
            "pictures do: the model gives training pictures back. Look at the nearest ones below."
        )
    diversity = findings["tuned"].measured.get("diversity")
    if (
        diversity is not None
        and not isinstance(diversity, str)
        and float(diversity.at(np.ones((1, len(orders))))[0]) < _LITTLE_VARIETY
    ):
        notes.append(
            "The made pictures are far less varied than the reference: the model makes few different ones (mode collapse)."
        )
    if task.prompts.split == "train" and not task.prompts.texts:
        notes.append("The prompts are captions that were trained on, so good pictures may be remembered ones.")
    return notes


def limits(eyes: Eyes) -> list[str]:
    """What these numbers do not show."""
    found = [
        "A distance between clouds of features says how alike two sets are, not whether a single picture is good "
        "or shows what was asked for.",
        "Memorisation is judged by distances: a training picture that was turned, cropped or recoloured may not be found.",
    ]
    if eyes.clip is None:
        found.append("Without a CLIP, whether a picture shows its prompt is judged by its category only.")
    return found


def examples(
    orders: Sequence[Order],
    gallery: Gallery,
    sights: Mapping[str, Sight],
    findings: Mapping[str, Findings],
    corpus: Corpus,
    eyes: Eyes,
    key: str,
) -> pd.DataFrame:
    """One line per prompt and seed: where the pictures are, what the classifier sees, how near the training pictures are."""
    columns: dict[str, list[Any]] = {
        "id": [file_name(index).removesuffix(".png") for index in range(len(orders))],
        "prompt": [order.prompt for order in orders],
        "seed": [order.seed for order in orders],
        "label": [order.label for order in orders],
    }
    for label in gallery.albums:
        columns[f"{label}_picture"] = [f"samples/{key}/{label}/{file_name(index)}" for index in range(len(orders))]
        named = sights[label].named
        if named is not None and eyes.classifier is not None:
            columns[f"{label}_seen_as"] = [eyes.classifier.record.labels[place] for place in named]
        for name, near in (("features", findings[label].by_features), ("pixels", findings[label].by_pixels)):
            if near is not None:
                columns[f"{label}_distance_{name}"] = near.distances.tolist()
                columns[f"{label}_nearest_{name}"] = [corpus.training[place].id for place in near.places]
        for name, statistic in findings[label].measured.items():
            if not isinstance(statistic, str) and any(value is not None for value in statistic.each):
                columns[f"{label}_{name}"] = list(statistic.each)
    return pd.DataFrame(columns)
