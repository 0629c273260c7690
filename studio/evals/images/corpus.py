"""The Dataset by what its pictures are used for when a model is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import UserError
from studio.core.workspace import read_dataset
from studio.data.images.rows import ImageRow, read_image_split
from studio.data.kinds import rows_of
from studio.evals.images.sampling import Order, orders_from_rows, orders_from_texts
from studio.evals.task import NotComputedError, TaskContext
from studio.schema.image_scores import ImagesTask

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """A Dataset of pictures, all splits read.

    training: what models learnt from. held_out: what they did not see. reference: what made pictures are compared with.
    """

    folder: Path
    fingerprint: str
    name: str
    splits: dict[str, list[ImageRow]]
    training: list[ImageRow]
    held_out: list[ImageRow]
    reference: list[ImageRow]


def read_corpus(context: TaskContext[ImagesTask], task: ImagesTask) -> Corpus:
    """Read all splits of the Dataset.

    Raises:
        NotComputedError: it holds no pictures, or none in the split asked for.
    """
    folder = context.dataset_folder(task.dataset)
    record = read_dataset(folder)
    if record.kind != "image":
        raise NotComputedError(
            f"the dataset {record.name} holds {rows_of(record)}, not pictures. Give one with pictures: --data DATASET"
        )
    splits = {name: read_image_split(folder, name) for name in SPLITS if record.splits.get(name)}
    for name, wanted in (("reference", task.reference), ("prompts.split", task.prompts.split)):
        if wanted not in splits and not (name == "prompts.split" and task.prompts.texts):
            raise UserError(
                f"the split '{wanted}' of the dataset {record.name} has no pictures (with pictures: "
                f"{', '.join(splits) or 'none'}). Choose another for '{name}', or build the dataset with a share for it."
            )
    held_out = [row for name in ("test", "validation") if name != task.reference for row in splits.get(name, [])]
    return Corpus(
        folder,
        record.fingerprint,
        record.name,
        splits,
        context.draw(splits.get("train", []), task.reference_limit or len(splits.get("train", []))),
        held_out,
        context.draw(splits[task.reference], task.reference_limit or len(splits[task.reference])),
    )


def orders_of(task: ImagesTask, corpus: Corpus, seed: int) -> list[Order]:
    """What is to be drawn."""
    if task.prompts.texts:
        return orders_from_texts(task.prompts.texts, task.samples, seed)
    return orders_from_rows(corpus.splits[task.prompts.split], task.samples, seed)
