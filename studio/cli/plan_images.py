"""``studio plan`` for image models: memory, disk and time of a training, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio.cli import output

if TYPE_CHECKING:
    from studio.train.images.plan import ImagePlan, ImageProbe

_BAR = 40
_MEANING = {
    "runtime": "interpreter and libraries",
    "weights": "the networks",
    "optimizer": "its memory of past gradients",
    "average": "moving average of the weights, and a copy while it is sampled",
    "gradients": "one number for each that trains",
    "activations": "kept for the backward pass",
    "working": "the backward pass itself",
}


def plan_image_training(
    path: Path, *, data: str | None, model: str | None, settings: list[str], memory: int | None, probe: bool
) -> None:
    """Print the plan of a diffusion preset.

    Raises:
        GateNotMetError: it cannot fit.
        UserError: a probe without a Dataset.
    """
    import shutil

    from studio.cli.plan import memory_of
    from studio.cli.train_images import find_base, find_pictures, read_image_preset
    from studio.core.errors import UserError
    from studio.models.device import pick_device
    from studio.train.images.plan import as_json, check_image_plan, plan_images, probe_images

    workspace = output.open_workspace()
    adapter = read_image_preset(path, data=data, model=model, settings=settings, workspace=workspace)
    base = find_base(adapter)
    place = next(folder for folder in [workspace.root, *workspace.root.parents] if folder.is_dir())
    limit = memory if memory is not None else memory_of("cuda" if pick_device().type == "cuda" else "cpu")
    planned = plan_images(adapter, base, memory=limit, free_disk=shutil.disk_usage(place).free)
    probed = None
    if probe and planned.fits:
        if adapter.data is None:
            raise UserError("--probe trains on real pictures: add --data DATASET.")
        folder, _ = find_pictures(workspace, adapter.data)
        output.note("probing: 5 real steps")
        probed = probe_images(adapter, base, folder)
    if output.json_wanted():
        output.emit_json(as_json(planned, probed))
    else:
        show_image_plan(planned, probed)
    check_image_plan(planned)


def show_image_plan(planned: ImagePlan, probed: ImageProbe | None) -> None:
    """The plan as a table with bars, and what a probe measured beside it."""
    from studio.train.images.plan import PARTS

    passes = f"{planned.micro_batch} pictures per forward pass x {planned.accumulation}"
    output.say(
        f"{planned.device}, {planned.dtype}, {planned.family}; {planned.trained_parameters:,} numbers train; {passes}; "
        f"{planned.size} x {planned.size} pixels\n"
    )
    rows = []
    for part in PARTS:
        size = planned.parts[part]
        bar = "█" * max(1 if size else 0, round(_BAR * size / planned.peak))
        rows.append([part, output.size_text(size), f"{size / planned.peak:.0%}", bar, _MEANING[part]])
    rows.append(["peak", output.size_text(planned.peak), "100%", "", ""])
    output.table(["memory", "size", "share", "", "what"], rows, right=["size", "share"])
    output.say()
    lines: list[tuple[str, object]] = []
    if planned.memory is not None:
        verdict = "fits" if planned.needed <= planned.memory else "does not fit"
        lines.append(("memory", f"{output.size_text(planned.needed)} of {output.size_text(planned.memory)}: {verdict}"))
    room = f" of {output.size_text(planned.free_disk)} free" if planned.free_disk is not None else ""
    lines.append(
        ("disk", f"{output.size_text(planned.disk_bytes)}{room} (one checkpoint {output.size_text(planned.checkpoint_bytes)})")
    )
    lines.append(("steps", f"{planned.steps:,}"))
    lines += [("assumed" if not index else "", text) for index, text in enumerate(planned.assumptions)]
    if probed is not None:
        whole = output.duration_text(probed.step_seconds * planned.steps)
        lines.append(
            ("step", f"{probed.step_seconds:.2f} s measured; {planned.steps:,} steps take about {whole}, samples not counted")
        )
        planned_peak = planned.peak - (planned.parts["runtime"] if planned.device == "cuda" else 0)
        off = f"{planned_peak / probed.peak - 1:+.0%}"
        lines.append(("peak", f"{output.size_text(probed.peak)} measured, {output.size_text(planned_peak)} planned ({off})"))
    else:
        lines.append(("time", "add --probe to measure a step on this machine"))
    output.pairs(lines)
