"""``studio train``: open a Run and train it, in this process or in several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli import output
from studio.train.kinds import EXAMPLE_PRESET, PURPOSE

if TYPE_CHECKING:
    from studio.core.records import RunRecord
    from studio.core.workspace import Workspace


def train(
    adapter: Annotated[str | None, typer.Argument(help=f"Preset ({EXAMPLE_PRESET}), a YAML file, or a run folder.")] = None,
    data: Annotated[str | None, typer.Option(help="Dataset: name, fingerprint or folder.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Base model: starter, local folder or Hub id; or a LoRA run to go on from.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting of the preset, key=value.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: dataset and preset.")] = None,
    resume: Annotated[str | None, typer.Option(help="Go on with an interrupted run: name, id or folder.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes on this machine, one per GPU.")] = 1,
    accelerate_config: Annotated[
        Path | None, typer.Option(help="accelerate's config file (FSDP2, DeepSpeed, several machines).")
    ] = None,
) -> None:
    """What it says in its help stands where the kinds are listed."""
    from studio.core.errors import UserError

    workspace = output.open_workspace()
    if resume is not None:
        if adapter or data or model or settings or name:
            raise UserError("--resume goes on with a run exactly as it was: give no preset, --data, --model, --name or --set.")
        folder = workspace.find_run(resume)
        _check_resumable(folder)
        _name(folder)
    else:
        if adapter is None:
            from studio.core.content import list_content

            known = ", ".join(list_content("adapters"))
            raise UserError(f"which preset? studio train PRESET --data DATASET. Known: {known}")
        folder = new_run(workspace, adapter, data=data, model=model, settings=settings or [], name=name, processes=processes)
    record = run_training(folder, resume=resume is not None, processes=processes, accelerate_config=accelerate_config)
    from studio.train.kinds import run_kind

    output.tell(run_kind(record).told(folder, record))


train.__doc__ = PURPOSE


def new_run(
    workspace: Workspace,
    preset: str,
    *,
    data: str | None,
    model: str | None,
    settings: Sequence[str],
    name: str | None = None,
    processes: int = 1,
) -> Path:
    """Check everything that can be checked without loading weights, and open the Run.

    Raises:
        UserError: preset, Dataset, base or setting is wrong.
    """
    if data is not None:
        workspace.find_dataset(data)  # a name that is wrong is told before torch is imported, which takes seconds
    from studio.train.kinds import preset_kind
    from studio.train.opening import Asked, find_preset

    path = find_preset(preset, workspace)
    folder = preset_kind(path).open(Asked(path, preset, data, model, settings, name, processes), workspace)
    _name(folder)
    return folder


def _name(folder: Path) -> None:
    """Say which Run it is, in a line by which jobs and pages know it too."""
    output.note(f"run {folder.parent.name}/{folder.name}")


def run_training(folder: Path, *, resume: bool, processes: int = 1, accelerate_config: Path | None = None) -> RunRecord:
    """Train an opened Run here, or launch the processes that do.

    Raises:
        StudioError: as :meth:`studio.train.kinds.RunKind.train`, or a process failed.
    """
    from studio.core.workspace import read_run
    from studio.train.kinds import run_kind

    kind = run_kind(read_run(folder))
    return kind.train(folder, resume=resume, processes=processes, accelerate_config=accelerate_config, say=output.note)


def _check_resumable(folder: Path) -> None:
    """Refuse to resume what is finished."""
    from studio.core.errors import UserError
    from studio.core.workspace import read_run

    if read_run(folder).status == "finished":
        raise UserError(f"{folder.parent.name}/{folder.name} is finished. Train on with: studio train {folder} --set seed=1")
