"""From a preset, a Dataset and a wish to the plan of a language model's training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.core.errors import UserError, nearest
from studio.core.workspace import Workspace
from studio.schema.adapter import ChatAdapter
from studio.train.capacity import free_disk, memory_of
from studio.train.chat.objectives.table import objective
from studio.train.kinds import Planned, PlanWish
from studio.train.opening import Say

if TYPE_CHECKING:
    from studio.adapters.chat.start import Start
    from studio.train.chat.plan import Plan
    from studio.train.chat.probe import Probed

Device = Literal["cpu", "cuda"]


def plan_as_wished(
    preset: ChatAdapter, wish: PlanWish, workspace: Workspace, processes: int, say: Say, *, start: Start | None = None
) -> Planned:
    """Plan, search the largest micro batch and probe, as far as that is wished.

    Args:
        start: the run whose adapter is trained on.
    Raises:
        UserError: another device than there is, a search without a known memory, a probe that cannot run here.
    """
    from studio.train.chat.plan import check_fits, largest_micro_batch, plan
    from studio.train.chat.showing import plan_told

    preset = objective(preset.objective).located(preset, workspace)
    device = device_of(wish.device)
    limit = wish.memory if wish.memory is not None else memory_of(device)
    lengths, supervised, parsers, mask = read_rows(preset, workspace, start)
    given: dict[str, Any] = {"lengths": lengths, "supervised": supervised, "device": device, "processes": processes}
    given |= {"start": start.adapter if start else None}
    planned = replace(plan(preset, memory=limit, free_disk=free_disk(workspace), **given), parsers=parsers, mask=mask)
    sweep = None
    if wish.sweep:
        if limit is None:
            raise UserError("--sweep needs to know how much memory there is. Add --memory, for example --memory 24GiB.")
        sweep = largest_micro_batch(preset, limit, **given)
    probed = _probe(preset, planned, lengths, supervised, device, say, given["start"]) if wish.probe and planned.fits else None
    return Planned(plan_told(planned, probed, sweep), partial(check_fits, planned))


def device_of(chosen: str | None) -> Device:
    """``cpu`` or ``cuda``; this machine's when none is chosen.

    Raises:
        UserError: another word.
    """
    if chosen is None:
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"
    devices: dict[str, Device] = {"cpu": "cpu", "cuda": "cuda"}
    if chosen in devices:
        return devices[chosen]
    raise UserError(f"--device {chosen!r} is not known.{nearest(chosen, devices)} Allowed: cpu, cuda.")


def read_rows(
    preset: ChatAdapter, workspace: Workspace, start: Start | None = None
) -> tuple[list[int] | None, list[int] | None, dict[str, str], dict[str, Any]]:
    """Tokens and targets of every training row, what reads calls and thoughts when it is served, and the mask report; when a
    Dataset is named.
    """
    taken_over = start.template(preset) if start else None
    if preset.data is None:
        if taken_over is None:
            _check_template(preset)
        return None, None, {}, {}
    from studio.adapters.chat.speech import choose_parsers, read_speech
    from studio.models.bases import resolve_base
    from studio.models.chat.loading import read_config
    from studio.train.chat.run import context_limit, prepare

    folder, base = workspace.find_dataset(preset.data), resolve_base(preset.model, preset.revision)
    prepared = prepare(preset, base, folder, template=taken_over)
    split = prepared.training
    speech = read_speech(prepared.template, prepared.tokenizer, read_config(base).model_type)
    parsers = dict(zip(("tools", "thoughts"), choose_parsers(speech).told, strict=True))
    lengths, targets = objective(preset.objective).planned(split, preset, context_limit(preset.max_length, base))
    return lengths, targets, parsers, prepared.report.as_dict()


def _check_template(preset: ChatAdapter) -> None:
    """Tell a slip in what is asked of the chat template, where the base's tokenizer lies on this machine; nothing is fetched.

    Raises:
        UserError: the template does not exist, or does not know an argument.
    """
    if not (preset.chat_template or preset.template_arguments or preset.client_arguments):
        return
    from studio.models.bases import resolve_base
    from studio.models.chat.loading import load_tokenizer
    from studio.models.chat.templates import template_of
    from studio.models.starters import STARTERS

    if preset.model in STARTERS or Path(preset.model).expanduser().is_dir():
        base = resolve_base(preset.model, preset.revision)
        template_of(load_tokenizer(base), preset, base.name)


def _probe(
    preset: ChatAdapter,
    planned: Plan,
    lengths: list[int] | None,
    supervised: list[int] | None,
    device: Device,
    say: Say,
    start: Path | None,
) -> Probed:
    """Run the probe.

    Raises:
        UserError: the plan is for another device than this machine's, or for steps that the probe does not know.
    """
    from studio.train.chat.probe import probe

    if device != device_of(None) or planned.processes > 1:
        raise UserError("--probe trains on this machine in one process: leave out --device and --processes.")
    if not objective(preset.objective).probed:
        raise UserError(
            f"--probe knows no steps of 'objective: {preset.objective}'. Leave it out: the memory is planned without it."
        )
    if preset.objective == "grpo" and preset.grpo.writer == "vllm":
        raise UserError("--probe writes answers with transformers. Leave it out, or plan with --set grpo.writer=transformers.")
    say("probing: 3 real steps with the longest rows, 3 with usual ones")
    if lengths is None or supervised is None:
        lengths = [planned.longest.length] * preset.batch_size
        supervised = [planned.longest.targets // planned.longest.rows] * preset.batch_size
    return probe(preset, lengths, supervised, start=start)
