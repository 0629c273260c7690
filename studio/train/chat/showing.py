"""A plan of a language model's training in words: a table of memory with bars, and what follows from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from studio.core.telling import Pairs, Table, Told, bar, duration_text, size_text
from studio.train.chat.plan import Plan
from studio.train.chat.plan_parts import PARTS
from studio.train.chat.probe import Probed

_MEANING = {
    "runtime": "interpreter and libraries",
    "weights": "the model",
    "file": "its file, mapped; the system takes it back when short",
    "adapter": "its numbers, all of which train",
    "optimizer": "its memory of past gradients",
    "gradients": "one number for each that trains",
    "activations": "kept for the backward pass",
    "logits": "scores of the vocabulary and the loss",
    "working": "the backward pass itself, and slack",
    "rollouts": "keys and values of the answers that are written",
    "teacher": "the model that is followed, beyond what training takes",
}


def plan_told(planned: Plan, probed: Probed | None, sweep: tuple[int | None, list[Plan]] | None) -> Told:
    """The plan, with what a search for the largest micro batch tried and what a probe measured.

    Args:
        sweep: the largest that fits (None: not even one row) and the plans that were tried.
    """
    blocks: list[str | Table | Pairs] = [
        _head(planned),
        _memory(planned),
        "",
        _coverage(planned),
        "",
        Pairs(_consequences(planned)),
    ]
    if sweep is not None:
        blocks += _swept(*sweep)
    if probed is not None:
        blocks += ["", Pairs(_probed(planned, probed))]
    return Told(tuple(blocks), _document(planned, probed, sweep))


def _head(planned: Plan) -> str:
    """Device, what trains, and the passes of a step."""
    longest = planned.longest
    passes = f"{planned.micro_batch} rows per forward pass x {planned.accumulation} x {planned.processes} processes"
    return (
        f"{planned.device}, {planned.dtype}; {planned.trained_parameters:,} numbers train; {passes}; "
        f"largest pass {longest.rows} x {longest.length} tokens, {longest.targets} with loss\n"
    )


def _memory(planned: Plan) -> Table:
    """Memory by what it is for."""
    rows: list[list[object]] = []
    for part in PARTS:
        size = planned.parts[part]
        if part in {"rollouts", "teacher"} and not size:
            continue
        rows.append([part, size_text(size), f"{size / planned.peak:.0%}", bar(size, planned.peak), _MEANING[part]])
    rows.append(["peak", size_text(planned.peak), "100%", "", "per process" if planned.device == "cpu" else "per GPU"])
    return Table(["memory", "size", "share", "", "what"], rows, right=["size", "share"])


def _coverage(planned: Plan) -> Table:
    """What trains, by kind of layer."""
    rows: list[list[object]] = [
        [each.kind, f"{each.weights:,}", f"{each.adapted / each.weights:.0%}", bar(each.adapted, each.weights)]
        for each in planned.coverage
    ]
    return Table(["layers", "numbers", "trained or adapted", ""], rows, right=["numbers", "trained or adapted"])


def _consequences(planned: Plan) -> list[tuple[str, object]]:
    """Whether it fits, disk, steps, what serves the result, and what the figures rest on."""
    lines: list[tuple[str, object]] = []
    if planned.memory is not None:
        share = planned.needed / planned.memory
        verdict = "fits" if planned.needed <= planned.memory else "does not fit"
        both = f"{size_text(planned.needed)} of {size_text(planned.memory)}"
        scale = max(planned.peak, planned.memory)
        lines.append(("memory", f"{bar(planned.needed, scale)} {both} ({share:.0%}): {verdict}"))
    disk = planned.disk
    room = f" of {size_text(planned.free_disk)} free" if planned.free_disk is not None else ""
    each = size_text(disk["one checkpoint"])
    lines.append(("disk", f"{size_text(disk['total'])}{room} (one checkpoint {each}, result {size_text(disk['final'])})"))
    if planned.steps is not None:
        lines.append(("steps", f"{planned.steps:,}"))
    if planned.tokens_per_epoch is not None:
        lines.append(("epoch", f"{planned.steps_per_epoch:,} steps, {planned.tokens_per_epoch:,} tokens"))
    if planned.mask:
        report = planned.mask
        lines.append(("loss", f"on {report['trained_tokens']:,} of {report['tokens']:,} tokens ({report['trained_share']:.0%})"))
    lines.append(("stock vLLM", "loads the result" if not planned.vllm else f"will not load the adapter: {planned.vllm[0]}"))
    lines += [("", reason) for reason in planned.vllm[1:]]
    lines += [(name, told) for name, told in planned.parsers.items()]
    lines += [("serving" if not index else "", text) for index, text in enumerate(planned.serving)]
    lines += [("assumed" if not index else "", text) for index, text in enumerate(planned.assumptions)]
    return lines


def _swept(best: int | None, tried: list[Plan]) -> list[str | Table | Pairs]:
    """What the search tried and found."""
    rows = [[one.micro_batch, one.accumulation, size_text(one.needed), "yes" if one.fits else "no"] for one in tried]
    columns = ["micro batch", "passes per step", "memory", "fits"]
    found = "Not even one row per forward pass fits." if best is None else f"Largest that fits: --set micro_batch_size={best}"
    return ["", Table(columns, rows, right=columns[:3]), found]


def _probed(planned: Plan, probed: Probed) -> list[tuple[str, object]]:
    """What the probe measured, beside what was planned."""
    predicted = _comparable(planned)
    step = f"{duration_text(probed.step_seconds)} for {probed.step_tokens:,} tokens (the longest rows)"
    lines: list[tuple[str, object]] = [("step", step)]
    if probed.writing_seconds:
        told = f"{duration_text(probed.writing_seconds)} a step for answers of full length, before it learns from them"
        lines.append(("writing", told))
    if planned.tokens_per_epoch is not None:
        seconds = probed.epoch_seconds(planned.tokens_per_epoch)
        lines.append(("epoch", f"about {duration_text(seconds)}, validation and saving not counted"))
    off = predicted / probed.peak - 1
    lines.append(("peak", f"{size_text(probed.peak)} measured, {size_text(predicted)} planned ({off:+.0%})"))
    return lines


def _comparable(planned: Plan) -> int:
    """The planned peak as it is measured: PyTorch does not count the CUDA context."""
    return planned.peak - (planned.parts["runtime"] if planned.device == "cuda" else 0)


def _document(planned: Plan, probed: Probed | None, sweep: tuple[int | None, list[Plan]] | None) -> dict[str, Any]:
    """The one JSON document."""
    value = {**asdict(planned), "needed": planned.needed, "fits": planned.fits}
    if sweep is not None and sweep[1]:
        value["sweep"] = {"micro_batch_size": sweep[0], "tried": {str(one.micro_batch): one.needed for one in sweep[1]}}
    if probed is not None:
        epoch = probed.epoch_seconds(planned.tokens_per_epoch) if planned.tokens_per_epoch is not None else None
        value["probe"] = {**asdict(probed), "epoch_seconds": epoch, "planned_peak": _comparable(planned)}
    return value
