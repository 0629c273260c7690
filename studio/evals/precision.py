"""The number type that models computed in, as it is told beside every score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.core.records import TaskRecord
from studio.evals.tasks import ASKED

_EXACT = "float32"


def asks_a_model(task: TaskRecord) -> bool:
    """True when the scores of a task come from what models said, False for predictions made elsewhere."""
    return task.type in ASKED and not task.settings.get("predictions")


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
    types = sorted({str(about["dtype"]) for about in models if about.get("dtype")} - {_EXACT})
    if not types:
        return []
    return [
        f"The models computed in {' and '.join(types)}, which rounds, and otherwise in another batch: likelihoods move by a few "
        "hundredths of a nat per token, and close pairs change sides. --set dtype=float32 computes them to five digits, whatever "
        "the batch, and takes longer."
    ]


def unlike_types(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A warning where the models under comparison computed in different number types."""
    types = {label: str(about["dtype"]) for label, about in models.items() if about.get("dtype")}
    if len(set(types.values())) < 2:
        return []
    told = " and ".join(f"{label} in {name}" for label, name in types.items())
    return [f"The models did not compute alike ({told}): a small difference may be one of rounding. Take --set dtype=float32."]
