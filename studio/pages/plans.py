"""What ``studio plan`` and ``studio data show --tokens`` answered, as the page of a training shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from studio.core.workspace import Workspace
from studio.pages.answers import Answer
from studio.pages.choosing import Choice, find_preset_here
from studio.schema.loading import read_value

State = Literal["none", "pending", "fits", "short", "failed"]

_SHORT = 3
"""Exit code of a plan that does not fit."""
_ROWS = 3
"""Rows that are shown as the model sees them."""
_LOOKED_AT = ("chat_template", "train_on", "thinking", "max_length")
"""Settings of a preset that ``studio data show`` takes too."""
_ELSEWHERE = {"memory_bytes", "free_bytes", "fits", "seconds", "steps", "trained_parameters"}
"""What stands in a tile already, or is told by the exit code."""


@dataclass(frozen=True)
class PlanView:
    """A plan for people.

    state: nobody asked, it is being made, it fits, it does not, or it could not be made. said: why it does not fit, or what went
    wrong. needed, memory, disk, free_disk: bytes, None where unknown. seconds: of the whole training, None where unmeasured.
    parts: bytes by what they are for. others: what else is said, as words.
    """

    state: State
    said: str = ""
    made: str | None = None
    device: str = ""
    needed: int | None = None
    memory: int | None = None
    disk: int | None = None
    free_disk: int | None = None
    steps: int | None = None
    tokens: int | None = None
    trained: int | None = None
    seconds: float | None = None
    parts: dict[str, int] = field(default_factory=dict)
    mask: dict[str, Any] = field(default_factory=dict)
    refused: tuple[str, ...] | None = None
    serving: tuple[str, ...] = ()
    others: tuple[tuple[str, Any], ...] = ()

    @property
    def share(self) -> float | None:
        """Memory that is needed, of what there is."""
        return self.needed / self.memory if self.needed is not None and self.memory else None


def view_of(answer: Answer | None) -> PlanView:
    """What a plan says."""
    if answer is None:
        return PlanView("none")
    if answer.pending:
        return PlanView("pending")
    record, told = answer.job.record, answer.value
    if not isinstance(told, dict) or record.code not in {0, _SHORT}:
        return PlanView("failed", record.said or "", record.finished)
    disk = told.get("disk")
    probe: dict[str, Any] = told.get("probe") or {}
    return PlanView(
        "fits" if record.code == 0 else "short",
        (record.said or "") if record.code else "",
        record.finished,
        str(told.get("device", "")),
        _number(told.get("needed", told.get("memory_bytes"))),
        _number(told["memory"] if "needed" in told and "memory" in told else told.get("free_bytes")),
        _number(disk.get("total") if isinstance(disk, dict) else told.get("disk_bytes", disk)),
        _number(told.get("free_disk", told.get("free"))),
        _number(told.get("steps")),
        _number(told.get("tokens_per_epoch")),
        _number(told.get("trained_parameters", told.get("trained"))),
        _seconds(told, probe),
        {name: size for name, size in told.get("parts", {}).items() if size} if isinstance(told.get("parts"), dict) else {},
        told.get("mask") or {},
        tuple(told["vllm"]) if isinstance(told.get("vllm"), list) else None,
        tuple(told["serving"]) if isinstance(told.get("serving"), list) else (),
        tuple((key, value) for key, value in told.items() if "needed" not in told and key not in _ELSEWHERE and _plain(value)),
    )


def _seconds(told: dict[str, Any], probe: dict[str, Any]) -> float | None:
    """How long the training takes, where it was measured."""
    per_epoch = told.get("steps_per_epoch")
    if isinstance(probe.get("epoch_seconds"), int | float) and told.get("steps") and per_epoch:
        return float(probe["epoch_seconds"]) * float(told["steps"]) / float(per_epoch)
    if isinstance(probe.get("training_seconds"), int | float):
        return float(probe["training_seconds"])
    seconds = told.get("seconds")
    if not isinstance(seconds, int | float):
        return None
    # Of networks that take steps it is the time of one.
    return float(seconds) * float(told["steps"]) if told.get("steps") else float(seconds)


def _number(value: Any) -> int | None:
    """A whole number, or None."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _plain(value: Any) -> bool:
    """True for what a line can say."""
    return isinstance(value, str | int | float) and value != ""


def mask_command(choice: Choice, workspace: Workspace) -> list[str]:
    """The command that shows the first rows as the model sees them."""
    model = _base_of(choice.model, workspace)
    arguments = ["data", "show", choice.data, "--tokens", "--json"]
    # A run's preset is found by its file.
    path = find_preset_here(choice.preset, workspace)
    named = str(path) if path.name == "config.yaml" else choice.preset
    arguments += ["--preset", named, *(["--model", model] if model else [])]
    for each in choice.settings:
        key, _, text = each.partition("=")
        if key in _LOOKED_AT and (value := read_value(text, key)) is not None:
            arguments += [f"--{key.replace('_', '-')}", str(value)]
    return arguments


def _base_of(model: str, workspace: Workspace) -> str:
    """The base itself, where a run is gone on with."""
    from studio.core.errors import StudioError
    from studio.core.workspace import read_run

    for folder in workspace.list_runs() if model else []:
        if model in {folder.name, f"{folder.parent.name}/{folder.name}", str(folder)} and (folder / "adapter").is_dir():
            try:
                base = read_run(folder).base
            except StudioError:
                return model
            return str(base.get("path") if base.get("source") == "local" else base.get("name"))
    return model


def tokens_of(rows: Any) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Id and tokens of the first rows, each with whether it trains; neighbours alike are put together."""
    found = []
    for row in rows[:_ROWS] if isinstance(rows, list) else []:
        pieces: list[tuple[str, bool]] = []
        for token, trained in zip(row.get("tokens", []), row.get("trained", []), strict=False):
            text = _text_of(str(token))
            if pieces and pieces[-1][1] == bool(trained):
                pieces[-1] = (pieces[-1][0] + text, bool(trained))
            else:
                pieces.append((text, bool(trained)))
        found.append((str(row.get("id", "")), pieces))
    return found


# What byte-level tokenizers write for bytes that cannot be seen (GPT-2).
_SEEN = [*range(33, 127), *range(161, 173), *range(174, 256)]
_BYTE_OF = {chr(byte): byte for byte in _SEEN} | {
    chr(256 + at): byte for at, byte in enumerate(byte for byte in range(256) if byte not in _SEEN)
}


def _text_of(token: str) -> str:
    """A token as people read it."""
    if all(sign in _BYTE_OF for sign in token):
        return bytes(_BYTE_OF[sign] for sign in token).decode("utf-8", errors="replace")
    return token.replace("\u2581", " ")
