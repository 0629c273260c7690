"""What was exported of a run, side by side; how a kind's exports are measured stands in one table."""

from __future__ import annotations

from pathlib import Path

from studio.core.errors import UserError
from studio.core.registry import Registry
from studio.core.telling import Told
from studio.core.workspace import read_run
from studio.models.exported import read_exports

COMPARING = Registry(
    "comparison of exports",
    {
        "chat": "studio.exports.chat.comparing:compare_exports",
        "classifier": "studio.exports.predictors.comparing:compare_exports",
        "regressor": "studio.exports.predictors.comparing:compare_exports",
        "forecast": "studio.exports.forecast.comparing:compare_exports",
        "vae": "studio.exports.images.comparing:compare_decoders",
        "gan": "studio.exports.images.comparing:compare_decoders",
        "embedding": "studio.exports.embed.comparing:compare_exports",
        "reranker": "studio.exports.embed.comparing:compare_exports",
        "diffusion": "studio.exports.images.comparing:compare_exports",
    },
)
"""Kind of Run to ``compare(run_folder, lines) -> Told``."""


def compare(run_folder: Path) -> Told:
    """Measure the exports of a run beside the run itself.

    Raises:
        UserError: nothing was exported of it, or exports of its kind are not compared.
    """
    name, kind = f"{run_folder.parent.name}/{run_folder.name}", read_run(run_folder).kind
    lines = read_exports(run_folder)
    if not lines:
        raise UserError(f"nothing was exported of {name} that could be compared. Export it first: studio export {name} --to FORM")
    if kind not in COMPARING:
        raise UserError(f"--compare measures exports of runs of kind {', '.join(COMPARING)}, and {name} is of kind {kind!r}.")
    told: Told = COMPARING.get(kind)(run_folder, lines)
    return told
