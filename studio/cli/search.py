"""``studio search``: try settings of a preset, and say whether the best are better than the preset's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from studio.cli import output
from studio.train.kinds import EXAMPLE_PRESET

if TYPE_CHECKING:
    from studio.core.workspace import Workspace
    from studio.search.journal import Trial
    from studio.search.record import SearchRecord


def search(
    preset: Annotated[str | None, typer.Argument(help=f"Preset ({EXAMPLE_PRESET}), a YAML file, or a run folder.")] = None,
    data: Annotated[str | None, typer.Option(help="Dataset: name, fingerprint or folder.")] = None,
    model: Annotated[str | None, typer.Option(help="Base model: starter, local folder or Hub id.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE is the same in every trial; KEY=low..high[:log] or 'KEY=[a, b]' is tried. Without any, what the "
            "studio knows to be worth trying.",
        ),
    ] = None,
    space: Annotated[Path | None, typer.Option("--space", help="YAML file with the space and the fields of a search.")] = None,
    by: Annotated[str | None, typer.Option("--by", help="tpe (goes by what went well), random or grid.")] = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Settings to try beside the preset's own; default 20.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Start no trial after so many minutes.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="What trials are judged by on the validation rows.")] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", help="Memory for each trial, for example 8GiB; what cannot fit is not started.")
    ] = None,
    prune: Annotated[
        bool | None, typer.Option("--prune/--no-prune", help="Stop trainings early that do worse than the others did.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of what is drawn.")] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Trainings at once, each in a process of its own.")] = 1,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Suite that measures the best trial at the end; 'none' for no suite.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the search; default: dataset and preset.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", help="Go on with a search: name, id, folder or 'last'.")] = None,
    engine: Annotated[str, typer.Option("--engine", help="'here', or 'ray' for a cluster (RAY_ADDRESS).")] = "here",
) -> None:
    """Try settings of a preset on the validation rows, and hold the best against the preset's own on rows never seen."""
    from studio.core.errors import UserError
    from studio.search.opening import Wish, open_search
    from studio.search.run import run_search

    workspace = output.open_workspace()
    if resume is not None:
        if preset or data or model or settings or space or by or trials or minutes or metric or memory or suite or name:
            raise UserError("--resume goes on with a search exactly as it was asked for: give nothing but --processes.")
        place = _found(workspace, resume)
    else:
        if preset is None:
            raise UserError("which preset? studio search PRESET --data DATASET (studio train shows the presets)")
        wish = Wish(
            preset, data, model, tuple(settings or ()), space, _way(by), trials, minutes, metric, prune, seed,
            _bytes(memory), processes, name, suite, _engine(engine),
        )  # fmt: skip
        place = open_search(wish, workspace)
    output.note(f"search {place.parent.name}/{place.name}")
    record = run_search(place, processes=processes, say=output.note, show=_show)
    from studio.search.journal import Journal
    from studio.search.told import told

    output.tell(told(place, record, Journal(place).trials))


def _way(by: str | None) -> str | None:
    """The way of trying.

    Raises:
        UserError: there is no such way.
    """
    from studio.core.errors import UserError, nearest

    ways = ("tpe", "random", "grid")
    if by is not None and by not in ways:
        raise UserError(f"--by {by!r} is no way of searching.{nearest(by, ways)} Allowed: {', '.join(ways)}.")
    return by


def _bytes(memory: str | None) -> int | None:
    """``8GiB`` in bytes."""
    from studio.cli.plan import parse_size

    return parse_size(memory) if memory is not None else None


def _engine(name: str) -> Literal["here", "ray"]:
    """Where trials train; without Ray that is told before anything else.

    Raises:
        UserError: there is no such engine. MissingExtraError: Ray is not installed.
    """
    from studio.core.ray_cluster import wants_ray

    return "ray" if wants_ray(name) else "here"


def _found(workspace: Workspace, reference: str) -> Path:
    """The folder of a search that can be gone on with.

    Raises:
        UserError: there is none of that name, or it is finished.
    """
    from studio.core.errors import UserError
    from studio.search import record

    remedy = "Start one: studio search PRESET --data DATASET"
    place = record.find_folder(reference, record.searches(workspace), record.FILE, "search", remedy)
    if record.read(place).status == "finished":
        raise UserError(
            f"the search {place.parent.name}/{place.name} is finished: {place / 'report.html'}. Start another for more."
        )
    return place


def _show(record: SearchRecord, trials: list[Trial], ended: Trial) -> None:
    """One line for the trial that has just ended."""
    from studio.search.told import trial_line

    output.note(trial_line(record, trials, ended))
