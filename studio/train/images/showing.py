"""A plan of an image model's training in words: a table of memory with bars, and what a probe measured beside it."""

from __future__ import annotations

from studio.core.telling import Pairs, Table, Told, bar, duration_text, size_text
from studio.train.images.plan import PARTS, ImagePlan, ImageProbe, as_json

_MEANING = {
    "runtime": "interpreter and libraries",
    "weights": "the networks",
    "optimizer": "its memory of past gradients",
    "average": "moving average of the weights, and a copy while it is sampled",
    "gradients": "one number for each that trains",
    "activations": "kept for the backward pass",
    "working": "the backward pass itself",
}


def plan_told(planned: ImagePlan, probed: ImageProbe | None) -> Told:
    """The plan, and what a probe measured."""
    passes = f"{planned.micro_batch} pictures per forward pass x {planned.accumulation}"
    head = (
        f"{planned.device}, {planned.dtype}, {planned.family}; {planned.trained_parameters:,} numbers train; {passes}; "
        f"{planned.size} x {planned.size} pixels\n"
    )
    return Told((head, _memory(planned), "", Pairs(_consequences(planned, probed))), as_json(planned, probed))


def _memory(planned: ImagePlan) -> Table:
    """Memory by what it is for."""
    rows: list[list[object]] = []
    for part in PARTS:
        size = planned.parts[part]
        rows.append([part, size_text(size), f"{size / planned.peak:.0%}", bar(size, planned.peak), _MEANING[part]])
    rows.append(["peak", size_text(planned.peak), "100%", "", ""])
    return Table(["memory", "size", "share", "", "what"], rows, right=["size", "share"])


def _consequences(planned: ImagePlan, probed: ImageProbe | None) -> list[tuple[str, object]]:
    """Whether it fits, disk, steps, what the figures rest on, and time."""
    lines: list[tuple[str, object]] = []
    if planned.memory is not None:
        verdict = "fits" if planned.needed <= planned.memory else "does not fit"
        lines.append(("memory", f"{size_text(planned.needed)} of {size_text(planned.memory)}: {verdict}"))
    room = f" of {size_text(planned.free_disk)} free" if planned.free_disk is not None else ""
    lines.append(("disk", f"{size_text(planned.disk_bytes)}{room} (one checkpoint {size_text(planned.checkpoint_bytes)})"))
    lines.append(("steps", f"{planned.steps:,}"))
    lines += [("assumed" if not index else "", text) for index, text in enumerate(planned.assumptions)]
    if probed is None:
        return [*lines, ("time", "add --probe to measure a step on this machine")]
    whole = duration_text(probed.step_seconds * planned.steps)
    step = f"{probed.step_seconds:.2f} s measured; {planned.steps:,} steps take about {whole}, samples not counted"
    planned_peak = planned.peak - (planned.parts["runtime"] if planned.device == "cuda" else 0)
    off = f"{planned_peak / probed.peak - 1:+.0%}"
    peak = f"{size_text(probed.peak)} measured, {size_text(planned_peak)} planned ({off})"
    return [*lines, ("step", step), ("peak", peak)]
