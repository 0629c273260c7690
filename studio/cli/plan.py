"""``studio plan``: what a training will take, before it starts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import output

if TYPE_CHECKING:
    from studio.core.workspace import Workspace
    from studio.schema.adapter import ChatAdapter
    from studio.train.chat.plan import Plan
    from studio.train.chat.probe import Probed

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_BAR = 40
_MEANING = {
    "runtime": "interpreter and libraries",
    "weights": "the model",
    "file": "its file, mapped; the system takes it back when short",
    "adapter": "the low-rank matrices that train",
    "optimizer": "its memory of past gradients",
    "gradients": "one number for each that trains",
    "activations": "kept for the backward pass",
    "logits": "scores of the vocabulary and the loss",
    "working": "the backward pass itself, and slack",
}


def plan(
    adapter: Annotated[str, typer.Argument(help="Preset (chat/lora), a YAML file, or a run folder.")],
    data: Annotated[str | None, typer.Option(help="Dataset whose rows are measured; without one all have max_length.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Base model: starter, local folder or Hub id (only its config is read).")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting of the preset, key=value.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes, one per GPU.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; it need not be in this machine.")] = None,
    memory: Annotated[str | None, typer.Option(help="Plan for this much memory, for example 24GiB.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Train a few real steps and measure memory and time.")] = False,
    sweep: Annotated[bool, typer.Option("--sweep", help="Find the largest micro batch that fits.")] = False,
) -> None:
    """Memory, time and disk of a training run, before it starts; exit code 3 when it cannot fit."""
    from studio.train.chat.plan import check_fits, largest_micro_batch
    from studio.train.chat.plan import plan as make_plan

    workspace = output.open_workspace()
    if _planned_as_images(adapter, data, model, settings or [], memory=memory, probe=probe, other=bool(sweep or device)):
        return
    preset = preset_of(adapter, data, model, settings or [])
    kind = _device(device)
    limit = parse_size(memory) if memory is not None else memory_of(kind)
    lengths, supervised = row_lengths(preset, workspace)
    given: dict[str, Any] = {"lengths": lengths, "supervised": supervised, "device": kind, "processes": processes}
    planned = make_plan(preset, memory=limit, free_disk=_free_disk(workspace), **given)
    best: int | None = None
    tried: list[Plan] = []
    if sweep:
        best, tried = _sweep(largest_micro_batch, preset, limit, given)
    fits = planned.fits
    probed = _probe(preset, planned, lengths, supervised, kind) if probe and fits else None
    if output.json_wanted():
        output.emit_json(_as_json(planned, probed, best if sweep else None, tried))
    else:
        show(planned)
        if sweep:
            _show_sweep(best, tried)
        if probed is not None:
            _show_probe(planned, probed)
    check_fits(planned)


def _planned_as_images(
    name: str, data: str | None, model: str | None, settings: list[str], *, memory: str | None, probe: bool, other: bool
) -> bool:
    """Plan a preset of an image model; False for one of a chat model.

    Raises:
        UserError: options or a kind that cannot be planned.
    """
    from studio.cli.plan_images import plan_image_training
    from studio.cli.train import preset_file
    from studio.core.errors import UserError
    from studio.schema.presets import kind_of

    path = preset_file(name, output.open_workspace())
    kind = kind_of(path)
    if kind == "chat":
        return False
    if kind != "diffusion":
        raise UserError(
            f"{name} is of kind {kind}, whose small networks need no plan. Train it: studio train {name} --data DATASET"
        )
    if other:
        raise UserError("--sweep and --device are for chat models: an image training is planned for this machine's device.")
    limit = parse_size(memory) if memory is not None else None
    plan_image_training(path, data=data, model=model, settings=settings, memory=limit, probe=probe)
    return True


def parse_size(text: str) -> int:
    """Bytes of ``8GiB``, ``24 GB``, ``16g`` (powers of 1,000 without the i).

    Raises:
        UserError: it is not a size.
    """
    from studio.core.errors import UserError

    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", text.lower())
    size = float(match.group(1)) * _UNITS[match.group(2) or ""] if match else 0
    if size < 1:
        raise UserError(f"--memory {text!r} is not a size. Write it as 8GiB or 24GB.")
    return int(size)


def memory_of(kind: str) -> int | None:
    """Bytes that this machine can give now: free memory within the container's limit, or of the first GPU; None without one."""
    if kind == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else None
    import psutil

    available = int(psutil.virtual_memory().available)
    limit = Path("/sys/fs/cgroup/memory.max")
    used = Path("/sys/fs/cgroup/memory.current")
    try:
        return min(available, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return available


def show(planned: Plan) -> None:
    """The plan as a table with bars, and what follows from it."""
    from studio.train.chat.plan_parts import PARTS

    longest = planned.longest
    passes = f"{planned.micro_batch} rows per forward pass x {planned.accumulation} x {planned.processes} processes"
    output.say(
        f"{planned.device}, {planned.dtype}; {planned.trained_parameters:,} numbers train; {passes}; "
        f"largest pass {longest.rows} x {longest.length} tokens, {longest.targets} with loss\n"
    )
    scale = max(planned.peak, planned.memory or 0)
    rows = []
    for part in PARTS:
        size = planned.parts[part]
        rows.append([part, output.size_text(size), f"{size / planned.peak:.0%}", _bar(size, planned.peak), _MEANING[part]])
    rows.append(["peak", output.size_text(planned.peak), "100%", "", "per process" if planned.device == "cpu" else "per GPU"])
    output.table(["memory", "size", "share", "", "what"], rows, right=["size", "share"])
    output.say()
    lines: list[tuple[str, object]] = []
    if planned.memory is not None:
        share = planned.needed / planned.memory
        verdict = "fits" if planned.needed <= planned.memory else "does not fit"
        both = f"{output.size_text(planned.needed)} of {output.size_text(planned.memory)}"
        lines.append(("memory", f"{_bar(planned.needed, scale)} {both} ({share:.0%}): {verdict}"))
    disk = planned.disk
    room = f" of {output.size_text(planned.free_disk)} free" if planned.free_disk is not None else ""
    each = output.size_text(disk["one checkpoint"])
    lines.append(
        ("disk", f"{output.size_text(disk['total'])}{room} (one checkpoint {each}, result {output.size_text(disk['final'])})")
    )
    if planned.steps is not None:
        lines.append(("steps", f"{planned.steps:,}"))
    if planned.tokens_per_epoch is not None:
        lines.append(("epoch", f"{planned.steps_per_epoch:,} steps, {planned.tokens_per_epoch:,} tokens"))
    lines.append(("stock vLLM", "loads the result" if not planned.vllm else f"will not load the adapter: {planned.vllm[0]}"))
    lines += [("", reason) for reason in planned.vllm[1:]]
    lines += [("serving" if not index else "", text) for index, text in enumerate(planned.serving)]
    lines += [("assumed" if not index else "", text) for index, text in enumerate(planned.assumptions)]
    output.pairs(lines)


def preset_of(name: str, data: str | None, model: str | None, settings: list[str]) -> ChatAdapter:
    """Read the preset with what the command line changes."""
    from studio.cli.train import preset_file
    from studio.schema.adapter import ChatAdapter
    from studio.schema.loading import load_yaml

    given = {"data": data, "model": model}
    overrides = [*settings, *(f"{key}={json.dumps(value)}" for key, value in given.items() if value)]
    return load_yaml(preset_file(name, output.open_workspace()), ChatAdapter, overrides)


def _device(chosen: str | None) -> Any:
    """``cpu`` or ``cuda``; this machine's when none is chosen.

    Raises:
        UserError: another word.
    """
    from studio.core.errors import UserError, nearest

    if chosen is None:
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    if chosen not in {"cpu", "cuda"}:
        raise UserError(f"--device {chosen!r} is not known.{nearest(chosen, ['cpu', 'cuda'])} Allowed: cpu, cuda.")
    return chosen


def row_lengths(preset: ChatAdapter, workspace: Workspace) -> tuple[list[int] | None, list[int] | None]:
    """Tokens and targets of every training row, when a Dataset is named."""
    if preset.data is None:
        return None, None
    from studio.models.bases import resolve_base
    from studio.train.chat.run import prepare

    folder = workspace.find_dataset(preset.data)
    split = prepare(preset, resolve_base(preset.model, preset.revision), folder).training
    return split.lengths, [sum(row.trained[1:]) for row in split.rows]


def _free_disk(workspace: Workspace) -> int | None:
    """Bytes free where runs are written; the folder itself may not exist yet."""
    import shutil

    place = next((folder for folder in [workspace.root, *workspace.root.parents] if folder.is_dir()), None)
    return shutil.disk_usage(place).free if place is not None else None


def _sweep(search: Any, preset: ChatAdapter, limit: int | None, given: dict[str, Any]) -> tuple[int | None, list[Plan]]:
    """Search the largest micro batch.

    Raises:
        UserError: it is not known how much memory there is.
    """
    from studio.core.errors import UserError

    if limit is None:
        raise UserError("--sweep needs to know how much memory there is. Add --memory, for example --memory 24GiB.")
    found: tuple[int | None, list[Plan]] = search(preset, limit, **given)
    return found


def _probe(preset: ChatAdapter, planned: Plan, lengths: list[int] | None, supervised: list[int] | None, kind: str) -> Probed:
    """Run the probe.

    Raises:
        UserError: the plan is for another device than this machine's.
    """
    from studio.core.errors import UserError
    from studio.train.chat.probe import probe

    if kind != _device(None) or planned.processes > 1:
        raise UserError("--probe trains on this machine in one process: leave out --device and --processes.")
    if preset.objective != "sft":
        raise UserError(
            f"--probe knows no steps of 'objective: {preset.objective}'. Leave it out: the memory is planned without it."
        )
    output.note("probing: 3 real steps with the longest rows, 3 with usual ones")
    if lengths is None or supervised is None:
        lengths = [planned.longest.length] * preset.batch_size
        supervised = [planned.longest.targets // planned.longest.rows] * preset.batch_size
    return probe(preset, lengths, supervised)


def _show_sweep(best: int | None, tried: list[Plan]) -> None:
    """What the search tried and found."""
    output.say()
    rows = [[one.micro_batch, one.accumulation, output.size_text(one.needed), "yes" if one.fits else "no"] for one in tried]
    output.table(["micro batch", "passes per step", "memory", "fits"], rows, right=["micro batch", "passes per step", "memory"])
    if best is None:
        output.say("Not even one row per forward pass fits.")
    else:
        output.say(f"Largest that fits: --set micro_batch_size={best}")


def _show_probe(planned: Plan, probed: Probed) -> None:
    """What the probe measured, beside what was planned."""
    output.say()
    predicted = _comparable(planned)
    lines: list[tuple[str, object]] = [
        ("step", f"{output.duration_text(probed.step_seconds)} for {probed.step_tokens:,} tokens (the longest rows)"),
    ]
    if planned.tokens_per_epoch is not None:
        seconds = probed.epoch_seconds(planned.tokens_per_epoch)
        lines.append(("epoch", f"about {output.duration_text(seconds)}, validation and saving not counted"))
    off = predicted / probed.peak - 1
    lines.append(("peak", f"{output.size_text(probed.peak)} measured, {output.size_text(predicted)} planned ({off:+.0%})"))
    output.pairs(lines)


def _comparable(planned: Plan) -> int:
    """The planned peak as it is measured: PyTorch does not count the CUDA context."""
    return planned.peak - (planned.parts["runtime"] if planned.device == "cuda" else 0)


def _as_json(planned: Plan, probed: Probed | None, best: int | None, tried: list[Plan]) -> dict[str, Any]:
    """The one JSON document."""
    from dataclasses import asdict

    value = {**asdict(planned), "needed": planned.needed, "fits": planned.fits}
    if tried:
        value["sweep"] = {"micro_batch_size": best, "tried": {str(one.micro_batch): one.needed for one in tried}}
    if probed is not None:
        epoch = probed.epoch_seconds(planned.tokens_per_epoch) if planned.tokens_per_epoch is not None else None
        value["probe"] = {**asdict(probed), "epoch_seconds": epoch, "planned_peak": _comparable(planned)}
    return value


def _bar(size: int, whole: int) -> str:
    """A bar of at most 40 characters."""
    return "█" * max(1 if size else 0, round(_BAR * size / max(1, whole)))
