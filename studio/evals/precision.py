"""The number type that models computed in, as it is told beside every score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.records import Score, TaskRecord
from studio.evals.tasks import ASKED

_EXACT = "float32"


def with_types(
    task: TaskRecord, scores: Mapping[str, Sequence[Score]], about: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[Score]]:
    """Scores by label that say in their settings what each model computed in; unchanged for predictions made elsewhere.

    Args:
        about: label to the model's description.
    """
    if task.type not in ASKED or task.settings.get("predictions"):
        return {label: list(items) for label, items in scores.items()}
    told = {label: computed_in(about.get(label, {})) for label in scores}
    return {
        label: [
            item if item.value is None else item.model_copy(update={"made_with": item.made_with + told[label]}) for item in items
        ]
        for label, items in scores.items()
    }


def computed_in(about: Mapping[str, Any]) -> str:
    """How a model computed, as the end of a score's settings; empty where no model was asked.

    Args:
        about: the model's description.
    """
    if about.get("kind") == "endpoint":
        return "; computed by the server, in a number type it does not tell"
    return f"; the model computed in {about['dtype']}" if about.get("dtype") else ""


def rounding_limit(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a coarser number type means for the figures; nothing where all was float32 or somewhere else."""
    ours = [about for about in models if about.get("kind") != "export"]  # an export computes as it was written
    types = sorted({str(about["dtype"]) for about in ours if about.get("dtype")} - {_EXACT})
    if not types:
        return []
    return [
        f"The models computed in {' and '.join(types)}, which rounds, and otherwise in another batch: likelihoods move by a few "
        "hundredths of a nat per token, and close pairs change sides. --set dtype=float32 computes them to five digits, whatever "
        "the batch, and takes longer."
    ]


def type_warnings(models: Mapping[str, Mapping[str, Any]], wanted: str) -> list[str]:
    """Warnings where models computed in different number types, or in one that nobody here could choose.

    Args:
        wanted: what the suite asks for, ``auto`` for nothing.
    """
    served = [label for label, about in models.items() if about.get("kind") == "endpoint"]
    if wanted != "auto" and served:
        return [f"dtype: {wanted} was asked for, and the server of {' and '.join(served)} computes in a type of its own."]
    exports = [label for label, about in models.items() if about.get("kind") == "export"]
    if wanted != "auto" and exports:
        return [f"dtype: {wanted} was asked for, and the export of {' and '.join(exports)} computes as it was written."]
    types = {label: str(about["dtype"]) for label, about in models.items() if about.get("dtype") and label not in exports}
    if len(set(types.values())) < 2:
        return []
    told = " and ".join(f"{label} in {name}" for label, name in types.items())
    return [f"The models did not compute alike ({told}): a small difference may be one of rounding. Take --set dtype=float32."]
