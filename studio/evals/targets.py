"""Finding what is measured by its name, and what it is compared with: a run, a base or merged folder, an endpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from studio.core.errors import UserError
from studio.core.records import RunRecord
from studio.core.workspace import Workspace, read_run
from studio.models.bases import ResolvedBase, resolve_base
from studio.models.exported import BASES, is_export, read_export
from studio.models.starters import ALL_STARTERS

OWN_BASE: Literal["base"] = "base"
NO_BASE = "none"
KEY_VARIABLE = "STUDIO_API_KEY"
JUDGE_KEY_VARIABLE = "STUDIO_JUDGE_KEY"


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served.

    url: up to and with ``/v1``. model: its name there; None takes the only one. tokenizer: run, base or folder whose tokenizer
    and template the served model uses; None looks for a run of the model's name. key_variable: the environment variable
    that holds its key.
    """

    url: str
    model: str | None = None
    tokenizer: str | None = None
    key_variable: str = KEY_VARIABLE


def parse_endpoint(reference: str, tokenizer: str | None = None) -> Endpoint:
    """Read ``http://host:port/v1#name``.

    Raises:
        UserError: no host is in it, or a password is.
    """
    parts = urlsplit(reference)
    if not parts.hostname:
        raise UserError(f"{reference} names no server. Write http://host:port/v1#model-name.")
    if parts.username or parts.password:
        raise UserError(f"the endpoint {parts.hostname} is given with a password in it. Put the key into {KEY_VARIABLE} instead.")
    path = parts.path.rstrip("/") or "/v1"
    return Endpoint(urlunsplit((parts.scheme, parts.netloc, path, "", "")), parts.fragment or None, tokenizer)


@dataclass(frozen=True)
class Target:
    """A model that was found and not opened yet.

    run: a Run's folder. base: base weights or a merged folder. endpoint: a server. own_base: the base of the run that is
    measured, with the adapter off. export: a folder that ``studio export`` wrote. Where it answers row by row, ``run`` is the Run
    that it is asked instead of; of a chat ``of`` is the Run that it was written of, where that is in the workspace. With none of
    them there is no model, only predictions made elsewhere.
    """

    name: str
    run: Path | None = None
    base: ResolvedBase | None = None
    endpoint: Endpoint | None = None
    own_base: bool = False
    export: Path | None = None
    of: Path | None = None


def predictions_target(tasks: Iterable[Any]) -> Target:
    """What stands for predictions that were made elsewhere, named after their files."""
    files = dict.fromkeys(Path(task.predictions.file).name for task in tasks if getattr(task, "predictions", None))
    return Target(f"predictions {', '.join(files)}")


def find_model(reference: str, workspace: Workspace, *, tokenizer: str | None = None, option: str = "--model") -> Target:
    """A run by name, id or folder; an export by its folder; a base or merged model by name, folder or Hub id; or an endpoint,
    ``http://host:port/v1#name``.

    Args:
        tokenizer: for an endpoint, the run, base or folder whose tokenizer and template it uses.
        option: how the person gave it, for the message.
    Raises:
        UserError: it is none of these.
    """
    if reference.startswith(("http://", "https://")):
        return Target(reference, endpoint=parse_endpoint(reference, tokenizer))
    if is_export(exported := Path(reference).expanduser()) and read_export(exported, whole=False).form not in BASES:
        return _export_target(exported.resolve(), workspace)
    try:
        folder = workspace.find_run(reference)
        return Target(f"{folder.parent.name}/{folder.name}", run=folder)
    except UserError as error:
        no_run = error
    try:
        starter = ALL_STARTERS.get(reference)
        use = starter.use if starter is not None and starter.use == "text encoder" else "language model"
        return Target(reference, base=resolve_base(reference, use=use))
    except UserError as error:
        if option == "--model" and not any(mark in reference for mark in "/\\"):
            raise no_run from None
        raise UserError(f"{option} {reference} is no run in {workspace.runs}, and {error}") from error


def _export_target(folder: Path, workspace: Workspace) -> Target:
    """An export, and the Run that it was written of.

    Raises:
        UserError: the run is not in the workspace, and the export answers row by row: it says which rows were trained on.
    """
    record = read_export(folder, whole=False)
    of = str(record.run.get("id"))
    if {"reading", "forecaster"} & record.extra.keys():  # what reads rows for it, or makes windows of series
        quant = f" {record.quant}" if record.quant else ""
        return Target(f"{record.run['name']} as {record.form}{quant}", run=workspace.find_run(of), export=folder)
    name = f"{record.run.get('name')}-{record.form}{f'-{record.quant}' if record.quant else ''}"
    try:
        return Target(name, export=folder, of=workspace.find_run(of))
    except UserError:
        return Target(name, export=folder)


def find_baseline(baseline: str, tuned: Target, workspace: Workspace, *, tokenizer: str | None = None) -> Target | None:
    """What a model is compared with; None when no baseline is wanted, or when ``base`` is asked of a model that has no own
    base.
    """
    if baseline == NO_BASE:
        return None
    if tuned.run is not None:
        base = read_run(tuned.run).base
        if baseline in {OWN_BASE, base.get("name"), base.get("path")}:
            return Target(OWN_BASE, own_base=True)
    elif baseline == OWN_BASE:
        return None
    return find_model(baseline, workspace, tokenizer=tokenizer, option="--baseline")


def run_record(target: Target) -> RunRecord | None:
    """The record of a run that is measured, or of that which an export was written of; None for other models."""
    folder = target.run or target.of
    return read_run(folder) if folder is not None else None
