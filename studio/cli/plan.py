"""``studio plan``: what a training will take, before it starts."""

from __future__ import annotations

from typing import Annotated

import typer

from studio.cli import output
from studio.core.telling import bytes_of
from studio.train.kinds import EXAMPLE_PRESET


def plan(
    adapter: Annotated[str, typer.Argument(help=f"Preset ({EXAMPLE_PRESET}), a YAML file, or a run folder.")],
    data: Annotated[str | None, typer.Option(help="Dataset whose rows are measured; without one all have max_length.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Base model: starter, local folder or Hub id (only its config is read); or a LoRA run to go on from."),
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting of the preset, key=value.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes, one per GPU.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; it need not be in this machine.")] = None,
    memory: Annotated[str | None, typer.Option(help="Plan for this much memory, for example 24GiB.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Train a few real steps and measure memory and time.")] = False,
    sweep: Annotated[bool, typer.Option("--sweep", help="Find the largest micro batch that fits.")] = False,
) -> None:
    """Memory, time and disk of a training run, before it starts; exit code 3 when it cannot fit."""
    from studio.train.kinds import PlanWish, preset_kind
    from studio.train.opening import Asked, find_preset

    workspace = output.open_workspace()
    if data is not None:
        workspace.find_dataset(data)  # a name that is wrong is told before torch is imported, which takes seconds
    preset = find_preset(adapter, workspace)
    kind = preset_kind(preset)
    wish = PlanWish(device, parse_size(memory) if memory is not None else None, probe, sweep)
    asked = Asked(preset, adapter, data, model, settings or [], processes=processes)
    planned = kind.plan(asked, wish, workspace, output.note)
    output.tell(planned.told)
    planned.check()


def parse_size(text: str) -> int:
    """Bytes of ``--memory``; see :func:`studio.core.telling.bytes_of`."""
    return bytes_of(text, "--memory")
