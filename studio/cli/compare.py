"""``studio compare``: presets on the same folds of a Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli import output

if TYPE_CHECKING:
    from pathlib import Path

    from studio.core.workspace import Workspace
    from studio.search.comparison import ComparisonRecord
    from studio.search.journal import Trial


def compare(
    presets: Annotated[list[str] | None, typer.Argument(help="Presets, YAML files or run folders, all of one kind.")] = None,
    data: Annotated[str | None, typer.Option(help="Dataset: name, fingerprint or folder.")] = None,
    model: Annotated[str | None, typer.Option(help="Base model: starter, local folder or Hub id.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting of all presets, KEY=VALUE.")] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="KEY=A,B,C", help="The same preset with each of these values; several give every pair."),
    ] = None,
    folds: Annotated[int | None, typer.Option("--folds", help="Parts of the rows, each held out once; default 5.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="What they are compared by; default: the kind's own.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the folds.")] = 0,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Trainings at once, each in a process of its own.")] = 1,
    name: Annotated[str | None, typer.Option("--name", help="Name of the comparison; default: that of the Dataset.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", help="Go on with a comparison: name, id, folder or 'last'.")] = None,
) -> None:
    """Compare presets on the same folds: scores, paired differences, ranks, time and size. Test rows are left alone."""
    from studio.core.errors import UserError
    from studio.search.comparing import run_comparison
    from studio.search.comparison import Wish, open_comparison
    from studio.search.comparison_told import told

    workspace = output.open_workspace()
    if resume is not None:
        if presets or data or model or settings or vary or metric or name:
            raise UserError("--resume goes on with a comparison exactly as it was asked for: give nothing but --processes.")
        place = _found(workspace, resume)
    else:
        if not presets:
            raise UserError("which presets? studio compare PRESET PRESET --data DATASET (studio train shows them)")
        wish = Wish(tuple(presets), data, model, tuple(settings or ()), tuple(vary or ()), folds, metric, seed, processes, name)
        place = open_comparison(wish, workspace)
    output.note(f"comparison {place.parent.name}/{place.name}")
    output.tell(told(place, run_comparison(place, processes=processes, say=output.note, show=_show)))


def _found(workspace: Workspace, reference: str) -> Path:
    """The folder of a comparison that can be gone on with.

    Raises:
        UserError: there is none of that name, or it is finished.
    """
    from studio.core.errors import UserError
    from studio.search.comparison import FILE, comparisons, read
    from studio.search.record import find_folder

    remedy = "Start one: studio compare PRESET PRESET --data DATASET"
    place = find_folder(reference, comparisons(workspace), FILE, "comparison", remedy)
    if read(place).status == "finished":
        raise UserError(f"the comparison {place.parent.name}/{place.name} is finished: {place / 'report.html'}.")
    return place


def _show(record: ComparisonRecord, ended: Trial) -> None:
    """One line for the training that has just ended."""
    from studio.search.comparison_told import trial_line

    output.note(trial_line(record, ended))
