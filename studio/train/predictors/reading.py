"""Texts of a job as the numbers that a network reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from studio.models.predictors.text_layers import filled_up
from studio.models.predictors.text_network import TextReader, texts_of
from studio.train.predictors.job import Job
from studio.train.predictors.learning import known_rows
from studio.train.predictors.objective import Readable, label_targets


def readable_texts(job: Job, reader: TextReader) -> tuple[Readable, Readable | None]:
    """Training and validation rows as numbers; says how many texts were cut."""
    found: list[Readable | None] = []
    for split, rows in (("training", job.train), ("validation", job.validation)):
        if rows is None or not len(rows):
            found.append(None)
            continue
        numbers, cut = reader.numbers(texts_of(rows.features[rows.columns[0].name]))
        if cut:
            job.note(
                f"{cut} of {len(rows)} {split} texts are longer than the {reader.max_length} words or tokens that are read, and "
                "were cut on the right (estimator.max_length)"
            )
        found.append(Readable(_batches(numbers, reader.padding), label_targets(rows, job.labels)))
    train, held = found
    assert train is not None
    return train, held if known_rows(held) else None


def _batches(numbers: list[list[int]], padding: int) -> Any:
    """What :class:`Readable` calls for the rows of a batch."""

    def inputs(places: Sequence[int], _draws: torch.Generator | None) -> tuple[Tensor, ...]:
        return filled_up([numbers[place] for place in places], padding)

    return inputs
